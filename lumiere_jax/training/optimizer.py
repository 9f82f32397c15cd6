"""AdamW, Adafactor and Muon, the learning rate, and the clipping of gradients."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from lumiere_jax.parallel.collectives import sum_squares
from lumiere_jax.parallel.sharding import replicated
from lumiere_jax.structure import check_fields
from lumiere_jax.training.adafactor import scale_by_adafactor
from lumiere_jax.training.muon import is_masked, scale_by_muon


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning rate.

    Attributes:
      name: "adamw" (Loshchilov & Hutter 2019), or "adafactor" (Shazeer & Stern 2018; second moment
        only, factored, so that its state is small), or "muon" (Jordan et al. 2024: the update of a
        matrix is its orthogonalized momentum; vectors, embeddings and the output use NAdamW).
      learning_rate: peak of the learning rate.
      schedule: learning rate after the warm-up, "constant" or "cosine".
      warmup_steps: steps over which the learning rate rises linearly to its peak.
      final_fraction: fraction of the peak at which the cosine ends.
      beta1: decay of AdamW's first moment.
      beta2: decay of AdamW's second moment.
      epsilon: constant added to AdamW's denominator.
      weight_decay: decoupled weight decay, times the learning rate; biases and norms do not decay.
      clip_norm: largest global norm of a gradient; 0 for no clipping.
      matrix_rms: root mean square of Muon's update of a matrix, in learning rates; 0.2 is about
        that of AdamW (arXiv 2502.16982), so that AdamW's learning rates can be used.
    """

    name: Literal["adamw", "adafactor", "muon"] = "adamw"
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    final_fraction: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    matrix_rms: float = 0.2

    def __post_init__(self):
        # The bounds refuse NaN, infinity and wrong signs; they are not recommendations.
        decays = dict.fromkeys(("beta1", "beta2"), (0, 1 - 1e-9))  # at 1 the bias correction is 0/0
        check_fields(
            self,
            whole={"warmup_steps": (0, 10**9)},
            ranges=decays
            | {
                "learning_rate": (0, 100),
                "final_fraction": (0, 1),
                "epsilon": (0, 1),
                "weight_decay": (0, 1e6),
                "clip_norm": (0, 1e12),
                "matrix_rms": (1e-6, 1e6),
            },
        )


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Return the learning rate as a function of the number of earlier updates.

    Args:
      config: peak, warm-up and schedule.
      steps: number of updates of the run.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(1, steps - warmup), config.final_fraction)
    else:
        after = optax.constant_schedule(peak)
    if not warmup:
        return after
    # The learning rate of the first update is 1/warmup of the peak, not 0.
    rise = optax.linear_schedule(peak / warmup, peak, max(1, warmup - 1))
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(
    config: OptimizerConfig, steps: int, divisions: Any = None
) -> optax.GradientTransformation:
    """Return the optax transformation of a run.

    `init` takes whole arrays, and the structure of the state does not depend on `divisions`. With
    divided parameters, `update` is called inside `jax.shard_map` over all mesh axes, with this
    device's parts of summed gradients, parameters and state (see `optimizer_shardings`).

    Args:
      config: optimizer and learning rate.
      steps: number of updates of the run.
      divisions: tree of `Division`s like the trained parameters; None if every one is whole.
    """
    if all(division.parts == 1 for division in jax.tree.leaves(divisions)):
        divisions = None
    if config.name == "adamw":
        scale = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    elif config.name == "muon":
        scale = scale_by_muon(
            config.beta1, config.beta2, config.epsilon, config.matrix_rms, divisions
        )
    else:
        scale = scale_by_adafactor(divisions)
    return optax.chain(
        _clip_by_global_norm(config.clip_norm, divisions),
        scale,
        optax.add_decayed_weights(config.weight_decay, mask=_decays),
        optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
    )


def optimizer_shardings(optimizer: optax.GradientTransformation, state: Any, params: Any) -> Any:
    """Return the sharding of each array of an optimizer's state.

    An array with the shape of its parameter is divided as that is; all others are whole on every
    device: counters, Adafactor's means of rows and columns, and placeholders.

    Args:
      optimizer: optimizer of the state.
      state: state of whole arrays or `jax.ShapeDtypeStruct`s.
      params: tree of `NamedSharding`s like the trained parameters, see `storage_shardings`.
    """
    whole = replicated(jax.tree.leaves(params)[0].mesh)

    def place(leaf, sharding):
        if is_masked(leaf):
            return leaf
        # The spec of a divided parameter names all its dimensions; means of it have one fewer, and
        # placeholders have one element.
        same_shape = leaf.ndim == len(sharding.spec) and leaf.size > 1
        return sharding if same_shape else whole

    return optax.tree.map_params(
        optimizer, place, state, params, transform_non_params=lambda _: whole, is_leaf=is_masked
    )


def _clip_by_global_norm(largest: float, divisions: Any) -> optax.GradientTransformation:
    """Return the clipping of gradients to a norm over all elements of all arrays; 0 for none."""
    if not largest:
        return optax.identity()
    if divisions is None:
        return optax.clip_by_global_norm(largest)

    def update(updates, state, params=None):
        norm = jnp.sqrt(sum_squares(updates, divisions))
        clipped = jax.tree.map(lambda leaf: leaf / norm.astype(leaf.dtype) * largest, updates)
        return optax.tree.where(norm < largest, updates, clipped), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _decays(params: Any) -> Any:
    """Return True for kernels and tables, which decay; False for biases and other vectors."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
