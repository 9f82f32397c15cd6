"""Dictionaries become dataclasses, or one line that names the wrong field."""

import dataclasses
import json
import re
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumiere_jax.structure import check_fields, differences, flatten, from_dict, to_dict


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


def test_tuples_of_tuples_and_alternatives_survive_json():
    @dataclasses.dataclass(frozen=True)
    class Nested:
        pairs: tuple[tuple[int, int], ...] = ()
        blocks: int | tuple[int, ...] = 2

    for config in (Nested(), Nested(((1, 2), (3, 4)), (1, 2))):
        assert from_dict(Nested, json.loads(json.dumps(to_dict(config)))) == config


def test_a_dictionary_of_dataclasses_is_stored_and_an_array_is_not():
    stored = {"a": {"kernel": 3, "resize": [True]}, "b": [1]}
    assert to_dict({"a": Inner(resize=(True,)), "b": (1,)}) == stored
    with pytest.raises(TypeError, match=r"cannot store array.*ndarray"):
        to_dict({"a": np.zeros(1)})


def test_a_list_in_the_place_of_the_fields_is_refused():
    with pytest.raises(ValueError, match=r"^c\.json: expected the fields of Outer, found \[1\]$"):
        from_dict(Outer, [1], "c.json: ")


def test_defaults_fill_what_is_missing():
    assert from_dict(Outer, {"channels": [4]}) == Outer(channels=(4,))


def test_a_whole_number_becomes_a_float_if_the_field_is_one():
    assert from_dict(Outer, {"channels": (4,), "rate": 1}).rate == 1.0


def test_none_for_a_tuple_is_none_as_flags_give_it():
    values = {"channels": (4,), "inner": {"resize": (None,)}}
    assert from_dict(Outer, values).inner.resize is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"chanels": (4,)},
            r"--config\.chanels is not a setting; did you mean --config\.channels\?",
        ),
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounded:
    steps: int = 1
    shares: tuple[float, ...] = (0.5,)
    limit: float | None = None

    def __post_init__(self):
        check_fields(self, whole={"steps": (0, 9)}, ranges={"shares": (0, 1), "limit": (0, 1)})
        if self.steps == 9:
            raise ValueError("nine is too much")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    train: Bounded


@pytest.mark.parametrize(
    ("values", "flag", "message"),
    [
        ({"steps": -1}, "--config", "--config.train.steps=-1 lies outside [0, 9]; try 0"),
        ({"shares": (1, float("nan"))}, "--config", "--config.train.shares[1]=nan lies outside"),
        ({"limit": 2}, "--config", "--config.train.limit=2.0 lies outside"),
        ({"steps": 9}, "--config", "nine is too much"),
        ({"steps": -1}, "c.json: ", "c.json: train.steps=-1 lies outside"),
        ({"steps": 9}, "c.json: ", "c.json: train: nine is too much"),
        ({"limit": 10**400}, "c.json: ", "c.json: train.limit=1000"),
    ],
    ids=str,
)
def test_an_error_of_a_dataclass_has_the_name_under_its_flag(values, flag, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_dict(Whole, {"train": values}, flag)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["channels", "rate", "kind", "inner", "remat"]), JSON))
def test_any_json_is_a_dataclass_or_one_line_that_names_the_flag(values):
    problem = None
    try:
        made = from_dict(Outer, values)
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("--config.") if problem else isinstance(made, Outer)


def test_a_list_is_not_a_number():
    @dataclasses.dataclass(frozen=True)
    class Sizes:
        width: int
        channels: tuple[int, ...] = (1,)

    check_fields(Sizes(4, (1, 2)), whole={"width": (1, 8), "channels": (1, 8)})
    with pytest.raises(ValueError, match=r"width=\[4\] is not a whole number"):
        check_fields(Sizes([4]), whole={"width": (1, 8)})
    with pytest.raises(ValueError, match=r"channels\[1\]=9 lies outside"):
        check_fields(Sizes(4, (1, 9)), whole={"channels": (1, 8)})
