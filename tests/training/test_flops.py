"""FLOPs of small functions, compared with values computed by hand."""

import jax
import jax.numpy as jnp

from lumiere_jax.training.flops import count_flops


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def convolve(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_a_matrix_product():
    assert count_flops(jnp.dot, shape(3, 4), shape(4, 5)) == 2 * 3 * 4 * 5


def test_batched_attention_counts_both_products():
    def attend(q, k, v):
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k))
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v)

    q, k = shape(2, 6, 3, 8), shape(2, 7, 3, 8)
    assert count_flops(attend, q, k, k) == 2 * (2 * 2 * 3 * 6 * 7 * 8)


def test_a_convolution():
    assert count_flops(convolve, shape(2, 8, 8, 3), shape(3, 3, 3, 16)) == 2 * (
        2 * 8 * 8 * 16 * 9 * 3
    )


def test_gradients_of_a_strided_convolution_cost_what_its_forward_costs_each():
    def loss(x, kernel):
        return (convolve(x, kernel, stride=2) ** 2).sum()

    forward = 2 * 2 * 4 * 4 * 16 * 9 * 3
    arguments = (shape(2, 8, 8, 3), shape(3, 3, 3, 16))
    assert count_flops(lambda x, k: convolve(x, k, 2), *arguments) == forward
    assert count_flops(jax.grad(loss, argnums=(0, 1)), *arguments) == 3 * forward


def test_a_loop_counts_as_often_as_it_runs():
    def loop(x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, length=5)[0]

    assert count_flops(loop, shape(4, 4)) == 5 * 2 * 4**3


def test_nested_jit_and_custom_gradients_are_seen():
    @jax.custom_vjp
    def square(x):
        return jax.jit(jnp.dot)(x, x)

    square.defvjp(lambda x: (square(x), x), lambda x, g: (g @ x.T + x.T @ g,))
    assert count_flops(square, shape(4, 4)) == 2 * 4**3
    assert count_flops(jax.grad(lambda x: square(x).sum()), shape(4, 4)) == 3 * 2 * 4**3


def test_one_branch_runs_the_dearer_one():
    def choose(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x)

    assert count_flops(choose, shape(4, 4)) == 2 * 4**3
