"""AdamW, Adafactor and Muon, their learning rate, and the clipping of gradients."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from lumiere_jax.structure import check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How gradients become updates.

    Attributes:
      name: "adamw" (Loshchilov & Hutter 2019), or "adafactor" (Shazeer & Stern 2018; second moment
        only, factored, so that its state is small), or "muon" (Jordan et al. 2024: a matrix moves
        by its momentum made orthogonal; vectors, embeddings and the output by NAdamW).
      learning_rate: its peak.
      schedule: after the warm-up, "constant" or "cosine".
      warmup_steps: steps over which the learning rate rises from 0.
      final_fraction: of the peak, where the cosine ends.
      beta1: decay of AdamW's first moment.
      beta2: decay of AdamW's second moment.
      epsilon: added to AdamW's denominator.
      weight_decay: decoupled, times the learning rate; not on biases and norms.
      clip_norm: largest global norm of a gradient; 0 does not clip.
      matrix_rms: root mean square by which Muon moves a matrix, in learning rates; with 0.2 about
        what AdamW does (arXiv 2502.16982), so that its learning rates serve.
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
        # NaN, infinity and signs turned round are refused; the bounds are no advice.
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
    """Learning rate of each update out of `steps`."""
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(1, steps - warmup), config.final_fraction)
    else:
        after = optax.constant_schedule(peak)
    if not warmup:
        return after
    # The first update already moves: 1/warmup of the peak, not 0.
    rise = optax.linear_schedule(peak / warmup, peak, max(1, warmup - 1))
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """The optax transformation for a run of `steps`."""
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
    return optax.chain(descent, optax.scale(-1.0))  # the learning rate turns it downhill again


def _matrices(params: Any) -> Any:
    """Which axes of a parameter are summed over; None for those that Muon leaves to AdamW.

    Those are vectors, tables of embeddings, whose rows are looked up one at a time, and the U-Net's
    last convolution.
    """

    def axes(path, leaf):
        names = [entry.key for entry in path]
        if leaf.ndim < 2 or names[-1] == "embedding" or names[1:-1] == ["conv_out"]:
            return None
        # A convolution is the matrix that its unfolded patches are multiplied by.
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)


def _decays(params: Any) -> Any:
    """Kernels and tables decay; biases, scales and other vectors do not."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
