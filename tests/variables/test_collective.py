"""The differentiable path: the values of ``apply``, and gradients that are right."""

from __future__ import annotations

import csv
from itertools import product

import numpy as np
import pytest
import torch
from dipeptide import BOX, DATA, EVERY, STEP, Dipeptide, lively

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.gnn import load_model, save_model
from mdgeomfeat.mixing import KINDS, READOUTS
from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.variables import CollectiveVariables, jump_at_cutoff

# Every network with a linear map and with lobes, with and without a box; between them
# every kind of invariants, pooling, mixer and read-out, merged tokens, stacked seeds.
TICA, FLAT = ("tica", {}), ("flat", {})
COVERING = [
    ("et", TICA, "geometric", "mean", None),
    ("et", TICA, "norms", "sidechain", BOX),
    ("et", FLAT, "geometric", "element", None),
    ("et", ("flat", {"seeds": 2}), "norms", "sum", BOX),
    ("et", ("mlp", {"readout": "pooled"}), "scalars", "sidechain", BOX),
    ("et", ("attention", {"readout": "joined", "merge": 2}), "norms", "sum", None),
    ("et", ("equivariant", {"readout": "joined"}), "geometric", "element", BOX),
    ("visnet", TICA, "geometric", "element", BOX),
    ("visnet", TICA, "scalars", "sum", None),
    ("visnet", ("mlp", {"readout": "joined"}), "geometric", "mean", BOX),
    ("visnet", ("equivariant", {"readout": "class"}), "norms", "sidechain", None),
    ("tensornet", TICA, "geometric", "sidechain", None),
    ("tensornet", TICA, "norms", "element", BOX),
    ("tensornet", ("attention", {"readout": "class"}), "geometric", "sum", BOX),
    ("tensornet", ("mlp", {"readout": "mean"}), "scalars", "mean", None),
]
# Of pairs of atoms as tokens, so that there are some around each, and a box may cut
# them. Images do not count in this box.
PAIRS = (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
LARGE = (45.0, 47.0, 50.0, 70.0, 80.0, 100.0)
SPATIAL = [
    ("et", TICA, "spatial", "mean", LARGE),
    ("et", FLAT, "spatial", "mean", None),
    ("et", ("attention", {"readout": "joined", "seeds": 2}), "spatial", "mean", LARGE),
    ("visnet", TICA, "spatial", "mean", None),
    ("tensornet", ("mlp", {"readout": "joined"}), "spatial", "mean", LARGE),
]
ALL = [
    case
    for case in product(
        ("et", "visnet", "tensornet"),
        [TICA, *((k, {"readout": r}) for k in KINDS for r in READOUTS[k])],
        ("geometric", "norms", "scalars"),
        ("mean", "sum", "sidechain", "element"),
        (None, BOX),
    )
    if case[1][0] != "equivariant" or case[2] == "geometric"
]


def wrapped(positions, box):
    """Return the molecule broken across a box."""
    lattice = lattice_vectors(box)
    fraction = positions @ np.linalg.inv(lattice)
    return (fraction - np.floor(fraction)) @ lattice


def finite_differences(variables, positions, box, step=1e-4):
    """Return central differences in float64, (d, A, 3)."""
    moves = step * np.eye(positions.size).reshape(-1, *positions.shape)
    frames = torch.from_numpy(np.concatenate([positions + moves, positions - moves]))
    with torch.no_grad():
        ahead, behind = variables(frames, box).numpy().reshape(2, positions.size, -1)
    return ((ahead - behind) / (2 * step)).T.reshape(-1, *positions.shape)


def name(case):
    architecture, (method, options), kind, pool, box = case
    words = [architecture, method, *map(str, options.values()), kind, pool]
    return " ".join([*words, *(() if box is None else ("box",))])


@pytest.mark.parametrize(
    "case",
    [
        *COVERING,
        *(pytest.param(c, marks=pytest.mark.slow) for c in ALL if c not in COVERING),
    ],
    ids=name,
)
def test_values_and_gradients(dipeptides, case):
    agrees(dipeptides(case[0]), case)


@pytest.mark.parametrize("case", SPATIAL, ids=name)
def test_surroundings_have_values_and_gradients(dipeptides, case):
    system = Dipeptide(dipeptides(case[0]).network, tokens=PAIRS)
    assert (system.arrays("spatial")[0][:, :, -8:].std(axis=0) > 0.01).sum() > 10
    agrees(system, case)


def agrees(system, case):
    """Compare values with those of ``apply``, gradients with differences of values."""
    architecture, (method, options), kind, pool, box = case
    model = system.model(method, kind, pool, **options)
    positions = system.positions
    if box is not None:
        positions = wrapped(positions - positions.mean(axis=1, keepdims=True), box)
    exact = system.variables(model, engine="torch")
    values, gradients = exact.differentiate(positions, box)
    arrays = system.arrays(kind, pool, method == "equivariant")
    applied = model.transform(arrays)[0][::EVERY]
    # Maps of features in float64 are exact. apply computes lobes in float32, and
    # these networks, never trained, give features of a small spread.
    assert np.abs(values - applied).max() < (1e-8 if method == "tica" else 3e-5)

    expected = finite_differences(exact, positions[1], box)
    size = np.linalg.norm(expected, axis=-1)
    error = np.linalg.norm(gradients[1] - expected, axis=-1)
    assert (error < 1e-4 * np.maximum(size, 1e-2 * size.max())).all()

    assert np.abs(gradients.sum(axis=2)).max() < 1e-9 * np.abs(gradients).max()
    if box is None:
        torque = np.cross(positions[:, None], gradients).sum(axis=2)
        assert np.abs(torque).max() < 1e-9 * np.abs(gradients).max()

    auto = system.variables(model, dtype="float32")
    assert auto.engine == ("cpu" if architecture == "et" else "torch")
    fast_values, fast = auto.differentiate(positions, box)
    # Features are rounded to 3e-7 of their size, which in these networks that were
    # never trained is up to some hundred times their spread.
    assert np.abs(fast_values - values).max() < 1e-4
    assert np.linalg.norm(fast - gradients) < 1e-5 * np.linalg.norm(gradients)


def test_windows_have_gradients(dipeptides):
    system = dipeptides("et")
    model = system.model("tica")
    model.metadata["features"]["window"] = 0
    variables = system.variables(model)
    assert "whole frames" in variables.reason or "float32" in variables.reason
    positions = system.positions
    _, gradients = variables.differentiate(positions)
    expected = finite_differences(variables, positions[0], None)
    assert np.allclose(gradients[0], expected, atol=1e-5 * np.abs(expected).max())


def test_values_of_a_trained_network_hold_in_float32():
    """The map has 336 columns and 100 frames, so it magnifies rounding.

    Eager torch in float32 is off by 1e-5, too.
    """
    system = Dipeptide(load_model("et-64"))
    model = system.model("tica")
    positions = np.array(system.results().positions, np.float64)
    exact, exact_gradients = system.variables(model).differentiate(positions[:9])
    variables = system.variables(model, engine="cpu", dtype="float32")
    values, gradients = variables.differentiate(positions)
    applied = model.transform(system.arrays("geometric"))[0]
    assert np.abs(exact - applied[:9]).max() < 1e-8
    assert np.abs(values - applied).max() < 3e-5
    error = np.linalg.norm(gradients[:9] - exact_gradients)
    assert error < 1e-5 * np.linalg.norm(exact_gradients)


def test_compiled_variables_are_a_node_of_a_graph(dipeptides):
    system = dipeptides("et")
    variables = system.variables(system.model("flat"), engine="cpu", dtype="float32")
    positions = torch.tensor(system.positions, requires_grad=True)
    values = variables(positions)
    weights = torch.linspace(-1, 1, values.numel()).double().view_as(values)
    (got,) = torch.autograd.grad((values * weights).sum(), positions, create_graph=True)
    _, gradients = variables.differentiate(system.positions)
    expected = np.einsum("fd,fdak->fak", weights.numpy(), gradients)
    assert np.allclose(got.detach(), expected)
    with pytest.raises(RuntimeError, match=r"once_diff|require grad"):
        torch.autograd.grad(got.sum(), positions)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_no_neighbour_search_drops_gradients(backend):
    positions = torch.rand(1, 9, 3, dtype=torch.float64) * 4
    positions.requires_grad_()
    edges = neighbor_list(positions, 5.0, BOX, backend=backend)
    (gradient,) = torch.autograd.grad(edges.vector[:, 0].sum(), positions)
    counts = torch.zeros(9, dtype=torch.float64)
    counts.index_add_(0, edges.sender, torch.ones(edges.n_edges).double())
    counts.index_add_(0, edges.receiver, -torch.ones(edges.n_edges).double())
    assert torch.allclose(gradient[0, :, 0], counts)


@pytest.mark.parametrize("architecture", ["et", "visnet", "tensornet"])
def test_networks_that_jump_are_refused_for_biasing(dipeptides, architecture):
    assert jump_at_cutoff(lively(architecture), [6, 8]) < 1e-10
    published = lively(architecture, smooth=False)
    jumps = architecture != "tensornet"
    assert (jump_at_cutoff(published, [6, 8]) > 1e-3) == jumps
    system = dipeptides("et")
    model = system.model("tica")
    system.variables(model).require_smooth()
    model.metadata["model_fingerprint"] = published.fingerprint
    variables = CollectiveVariables(
        model, FeatureSpec(model=published), system.structure, engine="torch"
    )
    if jumps:
        with pytest.raises(InputError, match=r"jump by .* crosses its cutoff"):
            variables.require_smooth()


@pytest.mark.parametrize(("jump", "refused"), [(2e-4, True), (5e-5, False)])
def test_a_jump_above_a_ten_thousandth_counts(dipeptides, monkeypatch, jump, refused):
    system = dipeptides("et")
    variables = system.variables(system.model("tica"))
    where = "mdgeomfeat.variables.collective.jump_at_cutoff"
    monkeypatch.setattr(where, lambda *_: jump)
    if refused:
        with pytest.raises(InputError, match=r"jump by 0\.02 % where"):
            variables.require_smooth()
    else:
        variables.require_smooth()


def test_what_has_no_gradient_is_refused(dipeptides):
    system = dipeptides("et")
    model = system.model("tica")
    variables = system.variables(model)
    r = torch.tensor(system.positions)
    with pytest.raises(InputError, match="has no gradient"):
        variables(r.long())
    with pytest.raises(InputError, match="box is not available"):
        variables(r, torch.tensor(BOX, requires_grad=True))
    with pytest.raises(InputError, match=r"need \(frames, 10, 3\)"):
        variables(r[:, :4])
    with pytest.raises(InputError, match="not finite"):
        variables.differentiate(np.full((1, 10, 3), np.nan))
    with pytest.raises(InputError, match="float32"):
        system.variables(model, engine="cpu")
    visnet = dipeptides("visnet")
    of_visnet = visnet.model("tica")
    with pytest.raises(InputError, match="et only, not for visnet"):
        visnet.variables(of_visnet, engine="cpu", dtype="float32")
    with pytest.raises(InputError, match="not the one that made"):
        CollectiveVariables(
            model, FeatureSpec(model=lively("visnet")), system.structure
        )
    with pytest.raises(InputError, match="half the shortest box height"):
        variables(r, [6.0, 6.0, 6.0, 90.0, 90.0, 90.0])
    model.metadata["structure"]["numbers"][0] = 16
    with pytest.raises(InputError, match="not those that the model was made for"):
        system.variables(model)


@pytest.mark.parametrize("engine", ["cpu", "torch"])
def test_a_box_where_the_model_had_none_is_refused(dipeptides, engine):
    system = dipeptides("et")
    model = system.model("tica")
    for periodic, box, said in (
        (False, BOX, r"hence no box, and here it gets one; leave it out"),
        (True, None, r"hence a box, and here it gets none; give the box"),
    ):
        model.metadata["features"]["periodic"] = periodic
        variables = system.variables(model, engine=engine, dtype="float32")
        with pytest.raises(InputError, match=said):
            variables.differentiate(system.positions, box)


@pytest.mark.parametrize("engine", ["cpu", "torch"])
def test_broken_positions_are_named(dipeptides, engine):
    system = dipeptides("et")
    variables = system.variables(system.model("tica"), engine=engine, dtype="float32")
    positions = system.positions
    positions[1, 4, 2] = np.nan
    with pytest.raises(InputError, match=r"Atom 4 of frame 1 .* not finite"):
        variables.differentiate(positions)


def test_nearest_neighbours_are_refused_for_biasing(dipeptides):
    system = dipeptides("et")
    model = system.model("tica")
    model.metadata["features"]["max_neighbors"] = 4
    variables = system.variables(model)
    assert variables.engine == "torch"
    with pytest.raises(InputError, match=r"nearest 4 neighbours .* change places"):
        variables.require_smooth()


def test_a_saved_model_gives_what_apply_writes(dipeptides, tmp_path, run_cli):
    pdb, xtc = DATA / "ala2.pdb", DATA / "ala2-0.xtc"
    system = dipeptides("et")
    model = system.model("flat", "geometric", "element", seeds=2)
    metadata = model.metadata
    metadata["states"] = {"centres": [[0.0, 0.0]], "state_of_centre": [0]}
    model.save(tmp_path / "model" / "cvs")
    save_model(system.network, tmp_path / "model" / "network.safetensors")
    out = tmp_path / "out"
    done = run_cli(
        "apply", tmp_path, pdb, xtc, "--no-pbc", "--out", out, "--step", STEP
    )
    assert done.exit_code == 0, done.output
    with (out / "cvs.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = [[float(row[f"cv{k}"]) for k in (1, 2)] for row in rows]
    variables = CollectiveVariables.load(tmp_path, system.structure)
    positions = np.array(system.results().positions, np.float64)
    values, _ = variables.differentiate(positions)
    assert np.abs(values - written).max() < 1e-5
