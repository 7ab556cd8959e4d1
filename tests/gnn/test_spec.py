"""Specs refuse what no network can be, and survive a round trip through JSON."""

from __future__ import annotations

import json

import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import ModelSpec


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(),
        ModelSpec(architecture="visnet", lmax=2, vector_norm="rms", elements=(8, 1)),
        ModelSpec(architecture="tensornet", cutoff=5, n_heads=1, n_layers=3),
    ],
)
def test_round_trip(spec):
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_elements_are_sorted_and_unique():
    assert ModelSpec(elements=(8, 1, 8)).elements == (1, 8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "gcn"}, "architecture='gcn' is unknown; choose one of et"),
        ({"n_channels": 10**9}, "n_channels=1000000000 .* from 1 to 4096"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"n_layers": True}, "n_layers=True"),
        ({"n_channels": 60}, "n_channels=60 cannot be divided among n_heads=8"),
        ({"cutoff": -1.0}, "between 0.5 and 50"),
        ({"cutoff": float("nan")}, "between 0.5 and 50"),
        ({"cutoff": "7.5"}, "between 0.5 and 50"),
        ({"smooth": 1}, "smooth=1 must be true or false"),
        ({"lmax": 2}, "lmax=2 exists for visnet only"),
        ({"vector_norm": "rms"}, "exists for visnet only"),
        ({"architecture": "visnet", "vector_norm": "max_min"}, "last neighbour"),
        ({"elements": (0, 1)}, "atomic numbers from 1 to 99"),
        ({"elements": (1, 120)}, "atomic numbers from 1 to 99"),
        ({"elements": 6}, "atomic numbers from 1 to 99"),
        ({"envelope": "step"}, "choose one of cosine, polynomial"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(InputError, match=message):
        ModelSpec(**fields)


def test_from_dict_is_strict():
    good = ModelSpec().to_dict()
    with pytest.raises(InputError, match="format 2 and this version reads 1"):
        ModelSpec.from_dict({**good, "format": 2})
    with pytest.raises(InputError, match=r"missing or unknown fields \(dropout"):
        ModelSpec.from_dict({**good, "dropout": 0.1})
    del good["cutoff"]
    with pytest.raises(InputError, match="cutoff"):
        ModelSpec.from_dict(good)
    with pytest.raises(InputError, match="JSON object, not list"):
        ModelSpec.from_dict([])
