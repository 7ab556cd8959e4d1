"""Engines that see windows or the nearest neighbours only."""

from __future__ import annotations

import numpy as np
import pytest
from engine_checks import (
    ARCHITECTURES,
    BOX,
    N_ATOMS,
    TORCH_LIMIT,
    assert_close,
    chain_windows,
    limit_of,
    lively,
    random_system,
    reference,
    window_reference,
)

from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.testing import relative_error


@pytest.fixture(scope="module")
def system():
    return random_system()


@pytest.fixture(scope="module")
def windows():
    return chain_windows(np.arange(N_ATOMS) // 5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("boxes", [None, BOX], ids=["no box", "box"])
def test_a_window_sees_its_own_atoms_only(engine, boxes, architecture, system, windows):
    numbers, positions = system[0], system[1][:2]
    model = lively(architecture=architecture)
    fast = make_engine(model, engine=engine)
    got = fast.compute(numbers, positions, boxes, windows)
    expected = window_reference(model, numbers, positions, windows, boxes)
    assert_close(got, expected, limit_of(engine, architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_windows_do_not_depend_on_how_many_fit_the_cache(
    engine, architecture, system, windows, monkeypatch
):
    fast = make_engine(lively(architecture=architecture), engine=engine)
    whole = fast.compute(*system, None, windows)
    if engine == "cpu":
        from mdgeomfeat.gnn.engine.cpu import engine as cpu

        monkeypatch.setattr(cpu, "NODES_AT_ONCE", 20)
    else:
        fast._edges_at_once = 1
    limit = limit_of(engine, architecture)
    assert_close(fast.compute(*system, None, windows), whole, limit)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_only_the_nearest_where_asked(engine, architecture, system):
    model = lively(architecture=architecture)
    fast = make_engine(model, engine=engine, max_neighbors=6)
    got = fast.compute(*system, BOX)
    expected = reference(model, *system, BOX, max_neighbors=6)
    assert_close(got, expected, limit_of(engine, architecture))
    everything = make_engine(model, engine=engine).compute(*system, BOX)
    assert relative_error(got[0], everything[0]) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nearest_inside_windows_is_the_same_in_both_engines(
    architecture, system, windows
):
    model = lively(architecture=architecture)
    got = [
        make_engine(model, engine=engine, max_neighbors=6).compute(
            *system, BOX, windows
        )
        for engine in ("cpu", "torch")
    ]
    assert_close(*got, TORCH_LIMIT[architecture])
