"""Where clips come from: commands that prepare datasets. The library itself is lumiere_jax."""
