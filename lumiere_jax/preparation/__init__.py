"""Videos into clips and shards, and captions into embeddings; `lumiere_jax.prepare` runs it."""
