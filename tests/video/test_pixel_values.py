import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lumiere_jax.video import from_uint8, to_uint8

EVERY = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_bytes_to_numbers_and_back_is_the_identity(array):
    numbers = from_uint8(array(EVERY))
    assert numbers.dtype == np.float32
    assert (float(numbers[0]), float(numbers[-1])) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_uint8(numbers), EVERY)


def test_numpy_and_compiled_jax_agree_and_clip():
    numbers = np.linspace(-1.5, 1.5, 3001, dtype=np.float32)
    compiled = jax.jit(to_uint8)(numbers)
    np.testing.assert_array_equal(to_uint8(numbers), compiled)
    assert (int(compiled.min()), int(compiled.max())) == (0, 255)
