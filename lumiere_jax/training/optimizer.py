"""AdamW, Adafactor and Muon, the learning rate, and the clipping of gradients."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from lumiere_jax.structure import check_fields


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


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Return the optax transformation of a run.

    Args:
      config: optimizer and learning rate.
      steps: number of updates of the run.
    """
    if config.name == "adamw":
        scale = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    elif config.name == "muon":
        scale = _scale_by_muon(config)
    else:
        scale = optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0))
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        scale,
        optax.add_decayed_weights(config.weight_decay, mask=_decays),
        optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
    )


def _scale_by_muon(config: OptimizerConfig) -> optax.GradientTransformation:
    descent = muon(
        1.0,
        adam_b1=config.beta1,
        adam_b2=config.beta2,
        eps=config.epsilon,
        consistent_rms=config.matrix_rms,
        muon_weight_dimension_numbers=_matrices,
    )
    return optax.chain(descent, optax.scale(-1.0))  # `scale_by_learning_rate` changes the sign too


def _matrices(params: Any) -> Any:
    """Return the axes of each parameter that are summed over; None if Muon updates it with AdamW.

    Those are vectors, tables of embeddings, whose rows are looked up one at a time, and the U-Net's
    last convolution.
    """

    def axes(path, leaf):
        names = [entry.key for entry in path]
        if leaf.ndim < 2 or names[-1] == "embedding" or names[1:-1] == ["conv_out"]:
            return None
        # A convolution is the product of unfolded patches with a matrix.
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)


def _decays(params: Any) -> Any:
    """Return True for kernels and tables, which decay; False for biases and other vectors."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
