"""Embeddings of prompts, and the assignment of prompts to windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from lumiere_jax.diffusion.multidiffusion import Windows
from lumiere_jax.models.network import Network, Params
from lumiere_jax.parallel.rows import map_rows
from lumiere_jax.parallel.sharding import divisions_of, layout_of
from lumiere_jax.structure import check_whole
from lumiere_jax.text.text import Text
from lumiere_jax.text.tokenizers import Tokenizer, open_tokenizer
from lumiere_jax.text.unread import Unread, find_unread


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Tokenizer of prompts.

    Attributes:
      tokenizer: "bytes", or the path of a SentencePiece model file.
      length: number of tokens that every prompt is padded or cut to.
    """

    tokenizer: str = "bytes"
    length: int = 77

    def __post_init__(self):
        check_whole("length", self.length, 1, 8192)  # attention over more exceeds any memory


class TextEncoder:
    """A text encoder with its tokenizer.

    Args:
      model: network of the text encoder and its parameters; None if the cascade reads no text.
      settings: tokenizer.
      mesh: devices that the prompts are divided over; the default device when None.
    """

    def __init__(
        self,
        model: tuple[Network, Params] | None,
        settings: TextConfig,
        mesh: Mesh | None = None,
    ):
        self._model, self._length = model, settings.length
        self._embed = None if model is None else _embedding(*model, mesh)
        rows = None if model is None else model[0].config.vocabulary_size
        self._tokenizer: Tokenizer = open_tokenizer(settings.tokenizer, rows)

    def __call__(self, prompts: Sequence[str]) -> Text | None:
        """Return the embeddings of prompts; None if the cascade reads no text."""
        if self._model is None:
            return None
        tokens = self._tokenizer.encode(list(prompts), self._length)
        ids, mask = map(jnp.asarray, tokens)
        return Text(self._embed(self._model[1], (ids, mask)), mask)

    def unread(self, text: str) -> Unread | None:
        """Return the parts of a text that the model cannot read; None if there are none."""
        if self._model is None:
            return None
        return find_unread(self._tokenizer, text, self._length)


def _embedding(network: Network, params: Params, mesh: Mesh | None) -> Callable[..., Array]:
    """Return the compiled function (parameters, (ids, mask)) -> embeddings, on the mesh if any."""
    if mesh is None:
        return lambda params, tokens: network.apply(params, *tokens)
    layout = layout_of(divisions_of(params))
    local = network.with_layout(layout)
    run = map_rows(lambda params, tokens: local.apply(params, *tokens), mesh, layout.specs(params))
    return jax.jit(run)


def shots_of_windows(shots: Sequence[str], windows: Windows, first: Windows) -> list[str]:
    """Return the prompt of each window of a stage, for a clip of several shots.

    The first stage's windows are divided among the shots, in order and evenly. A window of a later
    stage has the prompt of the first stage's window whose middle is nearest to its own.

    Args:
      shots: prompts of the shots, in order.
      windows: windows of the stage.
      first: windows of the first stage that runs.

    Raises:
      ValueError: there are more shots than windows of the first stage, or no shot.
    """
    texts = _spread(shots, len(first))
    return [
        texts[nearest] for nearest in np.abs(_middles(windows)[:, None] - _middles(first)).argmin(1)
    ]


def _middles(windows: Windows) -> np.ndarray:
    return np.asarray(windows.starts) + windows.size / 2


def _spread(shots: Sequence[str], windows: int) -> list[str]:
    """Return a prompt for each window: the shots in order, in equal parts."""
    if not shots or len(shots) > windows:
        raise ValueError(
            f"{len(shots)} prompts for {windows} windows: give at most one a window, "
            "or ask for more --frames"
        )
    return [shots[i * len(shots) // windows] for i in range(windows)]
