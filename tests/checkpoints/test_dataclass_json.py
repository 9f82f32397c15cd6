"""Configurations survive JSON, and wrong fields are named."""

import dataclasses
import json

import pytest

from lumiere_jax.checkpoints import from_json, to_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    rate: float
    name: str = "a"
    inner: Inner | None = None
    pair: tuple[tuple[int, int], ...] = ()
    blocks: int | tuple[int, ...] = 2


@pytest.mark.parametrize(
    "config",
    [
        Outer(rate=0.5),
        Outer(rate=1.0, inner=Inner(sizes=(3,)), pair=((1, 2), (3, 4)), blocks=(1, 2)),
    ],
)
def test_nested_dataclasses_and_tuples_come_back_equal(config):
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Outer.rate is missing"),
        ({"rate": 1, "inner": {"sizes": 3}}, r"Outer.inner.sizes=3: expected tuple"),
        ({"rate": 1, "colour": 1}, "Outer.colour is no setting"),
        ({"rate": "x"}, "Outer.rate='x': expected float"),
        ({"rate": 1, "name": None}, "Outer.name=None: expected str"),
    ],
)
def test_a_wrong_field_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        from_json(Outer, value)
