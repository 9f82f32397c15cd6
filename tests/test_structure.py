"""Dictionaries become dataclasses, or one line that says which setting is wrong."""

import dataclasses
import json
from typing import Literal

import pytest

from lumiere_jax.structure import differences, flatten, from_dict, to_dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    kernel: int = 3
    resize: tuple[bool, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    channels: tuple[int, ...]
    rate: float = 1e-3
    kind: Literal["cosine", "linear"] = "cosine"
    remat: bool = False
    name: str | None = None
    inner: Inner | None = None


FULL = Outer(channels=(8, 16), inner=Inner(resize=(True, False)), name="x")


def test_a_dataclass_survives_json():
    assert from_dict(Outer, json.loads(json.dumps(to_dict(FULL)))) == FULL


def test_defaults_fill_what_is_missing():
    assert from_dict(Outer, {"channels": [4]}) == Outer(channels=(4,))


def test_a_whole_number_is_a_float_where_a_float_is_meant():
    assert from_dict(Outer, {"channels": (4,), "rate": 1}).rate == 1.0


def test_none_for_a_tuple_is_none_as_flags_give_it():
    values = {"channels": (4,), "inner": {"resize": (None,)}}
    assert from_dict(Outer, values).inner.resize is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chanels": (4,)}, r"--config\.chanels is no setting; did you mean --config\.channels\?"),
        ({"channels": (4,), "inner": {"kernal": 1}}, r"did you mean --config\.inner\.kernel\?"),
        ({}, r"--config\.channels is missing"),
        ({"channels": (4, "a")}, r"--config\.channels\[1\]='a': expected int"),
        ({"channels": 4}, r"--config\.channels=4: expected tuple"),
        ({"channels": (4,), "kind": "cosin"}, r"one of cosine, linear; did you mean cosine\?"),
        ({"channels": (4,), "remat": 1}, r"--config\.remat=1: expected bool"),
        ({"channels": (True,)}, r"expected int"),
    ],
)
def test_a_wrong_setting_is_named(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        from_dict(Outer, values)
    assert "\n" not in str(caught.value)


def test_flatten_and_differences_use_dotted_names():
    assert flatten({"a": {"b": 1}, "c": 2}) == {"a.b": 1, "c": 2}
    other = dataclasses.replace(FULL, rate=0.1, inner=Inner(kernel=5, resize=(True, False)))
    assert differences(FULL, other) == {"rate": (1e-3, 0.1), "inner.kernel": (3, 5)}
    assert differences(FULL, FULL) == {}
