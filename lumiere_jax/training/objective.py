"""The training objective: a batch of clips and captions becomes a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Key

from lumiere_jax.checkpoints.style import add_factors
from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.loss import diffusion_loss
from lumiere_jax.models.network import Network, network
from lumiere_jax.parallel.rows import Rows, all_rows
from lumiere_jax.parallel.sharding import layout_of
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.data import null_text
from lumiere_jax.training.state import Params
from lumiere_jax.training.style import add_divided_factors, factor_shapes, init_factors
from lumiere_jax.training.super_resolution import degrade
from lumiere_jax.video.pixel_values import from_uint8

Video = Float[Array, "b t h w c"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The networks of an experiment and their loss.

    The parameters are `{"unet": …}`, with "text" where the text encoder is trained or run in the
    step, and "low_rank" where a low-rank difference to the U-Net is trained (`training.style`).

    Attributes:
      experiment: settings of the run.
      unet: network whose loss is computed.
      text: encoder of the batch's tokens; None if the batch carries embeddings.
      null: tokens of the empty string [1, l], or its embedding.
      divisions: `Division` of each parameter, for an objective that runs inside `jax.shard_map`;
        every parameter is whole when None.
    """

    experiment: Experiment
    unet: Network
    text: Network | None
    null: Tokens | Text | None
    divisions: Params | None = None

    @property
    def dtype(self) -> Any:
        """Return the compute dtype."""
        return self.unet.dtype

    @property
    def networks(self) -> dict[str, Network]:
        """Return the networks by their names in the parameter tree."""
        return {"unet": self.unet} | ({"text": self.text} if self.text is not None else {})

    def on_mesh(self, divisions: Params, mesh: Mesh) -> Objective:
        """Return the objective that runs inside `jax.shard_map` on this device's parts.

        Args:
          divisions: `Division` of each parameter, see `parallel.divisions_of`.
          mesh: mesh of the devices; its axis `context` divides the height of the frames.
        """
        rows = "context" if mesh.shape["context"] > 1 else None
        gradient_dtype = self.experiment.train.gradient_dtype
        unet = layout_of(divisions["unet"], rows=rows, gradient_dtype=gradient_dtype)
        text = self.text
        if text is not None:
            layout = layout_of(divisions["text"], gradient_dtype=gradient_dtype)
            text = text.with_layout(layout)
        return dataclasses.replace(
            self, unet=self.unet.with_layout(unet), text=text, divisions=divisions
        )

    def shapes(self) -> Params:
        """Return all parameters as shapes; nothing is allocated."""
        shapes = {name: net.shapes() for name, net in self.networks.items()}
        rank = self.experiment.train.low_rank
        return shapes | ({"low_rank": factor_shapes(shapes["unet"], rank)} if rank else {})

    def init(
        self,
        key: Key[Array, ""],
        *,
        shardings: Params | None = None,
        given: Params | None = None,
    ) -> Params:
        """Return fresh parameters, except for those that are given; see `Network.init`.

        Args:
          key: random key of all of them.
          shardings: placement of every parameter; the default device when None.
          given: parameters to take as they are, part of the tree.
        """
        given, shardings = given or {}, shardings or {}
        params = {
            name: net.init(
                jax.random.fold_in(key, index),
                shardings=shardings.get(name),
                given=given.get(name),
            )
            for index, (name, net) in enumerate(self.networks.items())
        }
        if not self.experiment.train.low_rank:
            return params
        factors = given.get("low_rank")
        if factors is None:
            seed = np.asarray(jax.random.key_data(key)).astype(np.uint64)
            factors = init_factors(self.shapes()["low_rank"], np.random.default_rng(seed))
            factors = jax.device_put(factors, shardings.get("low_rank"))
        return params | {"low_rank": factors}

    def unet_params(self, params: Params) -> Params:
        """Return the parameters that the U-Net runs with.

        Args:
          params: all parameters.
        """
        if "low_rank" not in params:
            return params["unet"]
        if self.divisions is None:
            return add_factors(params["unet"], params["low_rank"])
        return add_divided_factors(params["unet"], params["low_rank"], self.divisions)

    def loss(
        self,
        params: Params,
        batch: dict[str, Array],
        key: Key[Array, ""],
        rows: Rows | None = None,
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Return the mean loss of a batch, and its metrics.

        Args:
          params: all parameters.
          batch: "video" uint8 [b, t, h, w, c]; "tokens" and "token_mask" [b, l], or
            "text_embedding" [b, l, d] and "text_mask" [b, l]; for a conditional model "mask"
            [b, t, h, w, 1] and "still" [b].
          key: random key of the noise, the times, and the text dropout.
          rows: rows of the global batch that these are; all of it when None.
        """
        chex.assert_rank(batch["video"], 5)
        chex.assert_equal_shape_prefix(jax.tree.leaves(batch), 1)
        dropout_key, noise_key = jax.random.split(key)
        rows = rows or all_rows(len(batch["video"]))
        experiment, degrade_key = self.experiment, jax.random.fold_in(key, 2)
        clean, observed, mask = observe(from_uint8(batch["video"]), batch)
        text = self.encode(params, self.drop_text(batch, dropout_key, rows))
        given = degrade(
            clean,
            degrade_key,
            experiment.super_resolution,
            experiment.model,
            experiment.diffusion,
            rows=rows,
        )
        return diffusion_loss(
            self.unet.apply,
            self.unet_params(params),
            clean,
            Conditions(text=text, observed=observed, mask=mask, **given),
            noise_key,
            experiment.diffusion,
            rows=rows,
        )

    def drop_text(
        self, batch: dict[str, Array], key: Key[Array, ""], rows: Rows | None = None
    ) -> Tokens | Text | None:
        """Return the batch's captions, some of them replaced by the null text.

        Args:
          batch: captions as in `loss`, and the video for its number of rows.
          key: random key; each caption is replaced with probability `train.text_dropout`.
          rows: rows of the global batch that these are; all of it when None.
        """
        if self.unet.config.text_dim is None:
            return None
        if "tokens" in batch:
            text = Tokens(batch["tokens"], batch["token_mask"])
        else:
            text = Text(batch["text_embedding"], batch["text_mask"])
        chance = self.experiment.train.text_dropout
        if chance == 0 or self.null is None:
            return text
        rows = rows or all_rows(batch["video"].shape[0])
        dropped = rows.of(jax.random.bernoulli(key, chance, (rows.total,)))
        return jax.tree.map(
            lambda null, given: jnp.where(
                dropped.reshape(-1, *[1] * (given.ndim - 1)), null.astype(given.dtype), given
            ),
            type(text)(*map(jnp.asarray, self.null)),
            text,
        )

    def encode(self, params: Params, text: Tokens | Text | None) -> Text | None:
        """Return the embeddings of tokens; embeddings are returned as they are.

        Args:
          params: all parameters.
          text: captions of a batch.
        """
        if isinstance(text, Tokens):
            return Text(self.text.apply(params["text"], text.ids, text.mask), text.mask)
        return text


def observe(
    clean: Video, batch: dict[str, Array]
) -> tuple[Video, Video | None, Float[Array, "b t h w 1"] | None]:
    """Return the clip to learn, the observed video C and its mask M (Lumiere, section 4).

    The clip to learn equals C wherever M is 1. For a cinemagraph that makes it still outside of the
    region, as in sampling, which holds those pixels. C and M are None for a batch without masks.

    Args:
      clean: clips in [-1, 1].
      batch: "mask" bool [b, t, h, w, 1], and "still" bool [b], True if the observed video is the
        clip's first frame, repeated.
    """
    if "mask" not in batch:
        return clean, None, None
    mask: Bool[Array, "b t h w 1"] = batch["mask"]
    chex.assert_shape(mask, (*clean.shape[:-1], 1))
    still = batch["still"].reshape(-1, 1, 1, 1, 1)
    shown = jnp.where(still, clean[:, :1], clean)
    observed = jnp.where(mask, shown, 0)
    return jnp.where(mask, shown, clean), observed, mask.astype(clean.dtype)


def make_objective(
    experiment: Experiment, *, remat: bool | None = None, null: Tokens | Text | None = None
) -> Objective:
    """Return the networks of an experiment and their loss; nothing is allocated.

    Args:
      experiment: settings of the run.
      remat: True to recompute activations in the backward pass; the experiment's choice when None.
      null: text of the unconditional model; read by `null_text` when None.
    """
    train = experiment.train
    options = {"dtype": train.dtype, "remat": train.remat if remat is None else remat}
    return Objective(
        experiment=experiment,
        unet=network(experiment.model, **options),
        text=network(experiment.text, **options) if experiment.text else None,
        null=null_text(experiment) if null is None else null,
    )
