"""The input of PLUMED: what stands in it is what was proposed."""

from __future__ import annotations

import re

import pytest

from mdgeomfeat.bias.plumed import plumed_input
from mdgeomfeat.bias.ranges import BiasRange

RANGES = [
    BiasRange(width=0.25, lower=-1.5, upper=2.0, grid=(-2.5, 2.5)),
    BiasRange(width=0.125, lower=0.0, upper=8.0, grid=(-4.0, 10.0)),
]


@pytest.fixture
def text():
    return plumed_input(
        [3, 1, 7], ["A:ALA1"] * 3, RANGES, file="model.ptc", n_outputs=3,
        temperature=310, barrier=35, pace=250,
    )  # fmt: skip


def value(text, word):
    (found,) = re.findall(rf"(?:^| ){word}=(\S+)", text, re.M)
    return found


@pytest.mark.parametrize("k", [0, 1])
def test_walls_are_200_kj_mol_high_where_the_grid_ends(text, k):
    for side, r, at, end in (
        ("LOWER", RANGES[k], RANGES[k].lower, RANGES[k].grid[0]),
        ("UPPER", RANGES[k], RANGES[k].upper, RANGES[k].grid[1]),
    ):
        (line,) = re.findall(rf"^.*{side}_WALLS ARG=cv.node-{k} .*$", text, re.M)
        assert float(value(line, "AT")) == at
        assert r.grid[0] < at < r.grid[1]
        # PLUMED's wall is KAPPA times the square, without a half
        assert float(value(line, "KAPPA")) * (end - at) ** 2 == pytest.approx(200)


def test_opes_has_the_widths_and_the_numbers_of_the_call(text):
    opes = text[text.index("opes: OPES_METAD") : text.index("PRINT")]
    assert value(opes, "SIGMA") == "0.25,0.125"
    assert (value(opes, "BARRIER"), value(opes, "TEMP"), value(opes, "PACE")) == (
        "35", "310", "250"
    )  # fmt: skip


def test_the_distance_is_printed_and_not_biased(text):
    opes = text[text.index("opes: OPES_METAD") : text.index("PRINT")]
    assert value(opes, "ARG") == "cv.node-0,cv.node-1"
    printed = text[text.index("PRINT") :]
    assert value(printed, "ARG") == "cv.node-0,cv.node-1,cv.node-2,opes.bias"
    without = plumed_input([1], ["x"], RANGES, file="m", n_outputs=2)
    assert "node-2" not in without


def test_atoms_keep_the_order_of_the_model(text):
    assert re.findall(r"^(p\d): POSITION ATOM=(\d)", text, re.M) == [
        ("p1", "3"), ("p2", "1"), ("p3", "7")
    ]  # fmt: skip
    assert value(text, "ENTITY0") == "3,1,7"
    asked = "p1.x,p1.y,p1.z,p2.x,p2.y,p2.z,p3.x,p3.y,p3.z"
    assert f"FILE=model.ptc ARG={asked}\n" in text
