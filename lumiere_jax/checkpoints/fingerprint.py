"""A name for a network that changes with any number in it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from lumiere_jax.checkpoints.dataclass_json import to_json
from lumiere_jax.checkpoints.tree import Params, flatten


def fingerprint(config: Any, params: Params) -> str:
    """SHA-256 of the configuration and of every parameter with its path, dtype and shape."""
    digest = hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode())
    for path, leaf in flatten(params).items():
        array = np.ascontiguousarray(np.asarray(leaf))
        digest.update(f"{path} {array.dtype.name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
