"""What a diffusion model is trained on: a batch of clips and captions becomes a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lumiere_jax.diffusion.estimate import Conditions
from lumiere_jax.diffusion.loss import diffusion_loss
from lumiere_jax.models.network import Network, network
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.training.config import Experiment
from lumiere_jax.training.data import null_text
from lumiere_jax.training.state import Params
from lumiere_jax.training.super_resolution import degrade


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The networks of an experiment and their loss.

    Attributes:
      experiment: the settings.
      unet: the network that is trained.
      text: the encoder of the batch's tokens; None where the batch carries embeddings.
      null: tokens of the empty string [1, l], or its embedding.
    """

    experiment: Experiment
    unet: Network
    text: Network | None
    null: Tokens | Text | None

    @property
    def dtype(self) -> Any:
        """Compute dtype."""
        return self.unet.dtype

    def shapes(self) -> Params:
        """All parameters as shapes."""
        return {name: net.shapes() for name, net in self.networks().items()}

    def init(
        self,
        key: Key[Array, ""],
        *,
        shardings: Params | None = None,
        given: Params | None = None,
    ) -> Params:
        """Fresh parameters, `{"unet": …, "text": …}`, but for `given`; see `Network.init`."""
        return {
            name: net.init(
                jax.random.fold_in(key, index),
                shardings=shardings and shardings[name],
                given=(given or {}).get(name),
            )
            for index, (name, net) in enumerate(self.networks().items())
        }

    def networks(self) -> dict[str, Network]:
        """By their names in the parameter tree."""
        return {"unet": self.unet} | ({"text": self.text} if self.text is not None else {})

    def unet_params(self, params: Params) -> Params:
        """Those that the U-Net runs with."""
        return params["unet"]

    def loss(self, params: Params, batch: dict[str, Array], key: Key[Array, ""]):
        """Mean loss of a batch (a scalar), and its metrics.

        Args:
          params: all parameters.
          batch: "video" uint8 [b, t, h, w, c]; "tokens" and "token_mask" [b, l], or
            "text_embedding" [b, l, d] and "text_mask" [b, l]; for a conditional model "mask"
            [b, t, h, w, 1] and "still" [b].
          key: of the noise, the times, and the text dropout.
        """
        dropout_key, noise_key = jax.random.split(key)
        experiment, degrade_key = self.experiment, jax.random.fold_in(key, 2)
        clean, observed, mask = observe(scale_video(batch["video"]), batch)
        text = self.encode(params, self.drop_text(batch, dropout_key))
        given = degrade(
            clean, degrade_key, experiment.super_resolution, experiment.model, experiment.diffusion
        )
        return diffusion_loss(
            self.unet.apply,
            self.unet_params(params),
            clean,
            Conditions(text=text, observed=observed, mask=mask, **given),
            noise_key,
            experiment.diffusion,
        )

    def drop_text(self, batch: dict[str, Array], key: Key[Array, ""]) -> Tokens | Text | None:
        """The batch's captions, each replaced by the null text with chance `text_dropout`."""
        if self.unet.config.text_dim is None:
            return None
        if "tokens" in batch:
            text = Tokens(batch["tokens"], batch["token_mask"])
        else:
            text = Text(batch["text_embedding"], batch["text_mask"])
        chance = self.experiment.train.text_dropout
        if chance == 0:
            return text
        dropped = jax.random.bernoulli(key, chance, (batch["video"].shape[0],))
        return jax.tree.map(
            lambda null, given: jnp.where(
                dropped.reshape(-1, *[1] * (given.ndim - 1)), null.astype(given.dtype), given
            ),
            type(text)(*map(jnp.asarray, self.null)),
            text,
        )

    def encode(self, params: Params, text: Tokens | Text | None) -> Text | None:
        """Tokens as the U-Net reads them; embeddings as they are."""
        if isinstance(text, Tokens):
            return Text(self.text.apply(params["text"], text.ids, text.mask), text.mask)
        return text


def scale_video(video: Array) -> Float[Array, "b t h w c"]:
    """Bytes 0…255 as float32 in [−1, 1]."""
    return video.astype(jnp.float32) / 127.5 - 1


def make_objective(experiment: Experiment, *, remat: bool | None = None) -> Objective:
    """The networks of `experiment`; nothing is allocated.

    Args:
      remat: instead of the experiment's own choice.
    """
    train = experiment.train
    options = {"dtype": train.dtype, "remat": train.remat if remat is None else remat}
    kind = Objective
    if train.low_rank:
        from lumiere_jax.training.style import LowRankObjective

        kind = LowRankObjective
    return kind(
        experiment=experiment,
        unet=network(experiment.model, **options),
        text=network(experiment.text, **options) if experiment.text else None,
        null=null_text(experiment),
    )


Video = Float[Array, "b t h w c"]


def observe(
    clean: Video, batch: dict[str, Any]
) -> tuple[Video, Video | None, Float[Array, "b t h w 1"] | None]:
    """The clip to learn, the observed video C and its mask M; C and M None without masks.

    The clip to learn agrees with C wherever M is 1. For a cinemagraph that makes it the still
    outside of the region, as it is when sampling, where those pixels are held: the model always
    finds there what M promises.

    Args:
      clean: the clip in [-1, 1].
      batch: "mask" bool [b, t, h, w, 1], and "still" bool [b], whether the observed video is the
        clip's first frame, repeated.
    """
    if "mask" not in batch:
        return clean, None, None
    mask = batch["mask"]
    still = batch["still"].reshape(-1, 1, 1, 1, 1)
    shown = jnp.where(still, clean[:, :1], clean)
    observed = jnp.where(mask, shown, 0)
    return jnp.where(mask, shown, clean), observed, mask.astype(clean.dtype)
