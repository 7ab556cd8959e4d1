"""Which residues matter, in systems where that is known."""

from __future__ import annotations

from dataclasses import replace

import MDAnalysis as mda
import numpy as np
import pytest
from dipeptide import Dipeptide, lively
from flip import flips, write_flips
from scipy.spatial.transform import Rotation

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.explain import (
    HeldOut,
    QuantityKind,
    draw_sample,
    exchange_in_folds,
    exchange_tokens,
    network_gradients,
    outputs_of_networks,
    quantities_of,
    summarize,
    token_gradients,
)
from mdgeomfeat.explain.importance import rank_correlation
from mdgeomfeat.kinetics import CVModel, LinearMap, StudySettings, run_study
from mdgeomfeat.kinetics.standardize import Standardizer
from mdgeomfeat.kinetics.vampnet import Lobe, LobeStack, TrainingOptions
from mdgeomfeat.mixing import MixerSpec
from mdgeomfeat.variables import CollectiveVariables

FRAMES = 4000


def linear(matrix) -> CVModel:
    """Return a model of (F, N, 1) features that is a linear map (N, d)."""
    matrix = np.asarray(matrix, float)
    n, d = matrix.shape
    rotation = LinearMap(
        standardizer=Standardizer(np.zeros(n, np.float32), np.ones(n, np.float32)),
        matrix=matrix,
        offset=np.zeros(d),
        timescales=np.full(d, np.nan),
        width=n,
    )
    return CVModel(
        method="tica", lag=1, input_shape=(n, 1), lobe=None, rotation=rotation
    )


def independent(correlations, n=FRAMES, seed=0) -> np.ndarray:
    """Return (F, N, 1) unit-variance numbers, each with its lag-1 correlation."""
    rho = np.asarray(correlations)
    draws = np.random.default_rng(seed).normal(size=(n, len(rho)))
    x = draws.copy()
    for t in range(1, n):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * draws[t]
    return x[:, :, None].astype(np.float32)


def held_out(x, variables, states=None, weights=None) -> HeldOut:
    states = np.zeros(len(x), int) if states is None else states
    return HeldOut(
        features=[x],
        variables=[variables],
        states=[states],
        weights=None if weights is None else [weights],
    )


def variables_only(d):
    return quantities_of([np.zeros((3, d))], [np.zeros(3, int)], 1, 1)


def test_shares_of_independent_tokens_are_shares_of_the_variance():
    x = independent([0.0, 0.0, 0.0, 0.0])
    slopes = np.array([[3.0], [1.0], [2.0], [0.0]])
    model = linear(slopes)
    variable = model.transform([x])[0]
    found = exchange_tokens(model, held_out(x, variable), variables_only(1), seed=0)
    share = slopes[:, 0] ** 2 / (slopes**2).sum()
    assert np.allclose(found.effects[0, 1], share, atol=0.08)
    assert found.effects[0, 1, 3] == 0  # a token that the model does not see


def test_the_score_falls_by_what_is_slow_and_not_by_what_is_large():
    x = independent([0.95, 0.0, 0.95])
    model = linear([[1.0], [2.0], [0.0]])
    variable = model.transform([x])[0]
    effects = exchange_tokens(
        model, held_out(x, variable), variables_only(1), seed=0
    ).effects[0]
    # of the variance 1/5 has the correlation 0.95; nothing slow is left without it
    assert effects[0, 0] == pytest.approx((0.95 / 5) ** 2, abs=0.02)
    # an order of its own for each half: noise in place of noise changes nothing
    assert abs(effects[0, 1]) < 0.02
    assert effects[1, 1] > 3 * effects[1, 0]


def test_variables_of_a_fold_are_those_of_the_study_whatever_their_order_and_signs():
    x = independent([0.9, 0.8, 0.7])
    study = linear(np.eye(3)[:, :2])
    variables = study.transform([x])[0]
    fold = linear(np.array([[0.0, -3.0, 0.0], [2.0, 0.0, 0.0]]).T)
    effects, other = (
        exchange_tokens(
            model, held_out(x, variables), variables_only(2), seed=0
        ).effects[0, 1:]
        for model in (fold, study)
    )
    assert np.allclose(effects, other, atol=1e-6)
    assert np.allclose(effects, np.eye(2, 3), atol=0.1)


def test_frames_count_by_their_weights():
    # two halves of the frames, in each of which another token does everything
    rng = np.random.default_rng(0)
    x = rng.normal(size=(FRAMES, 2, 1)).astype(np.float32)
    first = rng.random(FRAMES) < 0.5
    x[first, 1] = x[~first, 0] = 0
    model = linear([[1.0], [1.0]])
    variable = model.transform([x])[0]
    weights = np.where(first, 1.0, 1e-6)
    found = exchange_tokens(
        model, held_out(x, variable, weights=weights), variables_only(1), seed=0
    )
    assert np.allclose(found.effects[0, 1], [1, 0], atol=0.1)


def test_boundaries_are_about_their_two_states_only():
    rng = np.random.default_rng(0)
    states = rng.integers(0, 3, FRAMES)
    x = 0.1 * rng.normal(size=(FRAMES, 3, 1))
    # token 0 tells state 1 from the others, token 1 tells state 2, token 2 nothing
    x[states == 1, 0] += 1
    x[states == 2, 1] += 1
    x = x.astype(np.float32)
    model = linear(np.eye(3)[:, :2])
    variables = model.transform([x])[0]
    quantities = quantities_of([variables], [states], 3, 1)
    names = [q.name for q in quantities]
    assert names == ["score", "cv1", "cv2", "states 1-2", "states 1-3", "states 2-3"]
    effects = exchange_tokens(
        model, held_out(x, variables, states), quantities, seed=0
    ).effects[0]
    share = dict(zip(names, effects, strict=True))
    assert np.allclose(share["states 1-2"], [1, 0, 0], atol=0.12)
    assert np.allclose(share["states 1-3"], [0, 1, 0], atol=0.12)
    # either token says which of the two it is: half of the variance is each one's
    assert share["states 2-3"][:2] == pytest.approx([0.25, 0.25], abs=0.08)


def test_boundaries_that_no_frame_crosses_are_left_out():
    variables = [np.arange(20.0)[:, None]]
    states = [np.repeat([0, 1, -1, 2], 5)]
    names = [q.name for q in quantities_of(variables, states, 3, 1)]
    assert names == ["score", "cv1", "states 1-2"]


def test_few_boundaries_where_there_are_many_tokens():
    rng = np.random.default_rng(0)
    states = [np.r_[rng.integers(0, 4, 300), np.tile([1, 3], 200)]]
    variables = [rng.normal(size=(700, 2))]
    for n_tokens, most in ((10, 6), (150, 4), (5000, 1)):
        found = quantities_of(variables, states, 4, 1, n_tokens)
        names = [q.name for q in found if q.kind is QuantityKind.BOUNDARY]
        assert len(names) == most
        assert "states 2-4" in names  # the one that is crossed most often


@pytest.fixture
def equivariant_stack():
    spec = MixerSpec(
        kind="equivariant",
        n_tokens=4,
        n_features=6,
        n_outputs=1,
        width=8,
        depth=1,
        readout="joined",
    )
    shape = (4, 4, 6)
    first = Standardizer(np.zeros(shape, np.float32), np.ones(shape, np.float32))
    stack = LobeStack([Lobe(spec, first, seed).eval() for seed in range(3)])
    rotation = LinearMap(
        standardizer=Standardizer(np.zeros(3, np.float32), np.ones(3, np.float32)),
        matrix=np.ones((3, 1)),
        offset=np.zeros(1),
        timescales=np.full(1, np.nan),
        width=3,
    )
    return CVModel(
        method="vampnet", lag=1, input_shape=shape, lobe=stack, rotation=rotation
    )


def test_vectors_are_exchanged_as_the_molecule_lies(equivariant_stack):
    rng = np.random.default_rng(0)
    still = rng.normal(size=(1, 4, 4, 6)) + 0.2 * rng.normal(size=(200, 4, 4, 6))
    turns = Rotation.random(200, rng=rng).as_matrix()
    turned = still.copy()
    turned[:, :, 1:] = np.einsum("fab,fnbc->fnac", turns, still[:, :, 1:])
    found = []
    for x in (still.astype(np.float32), turned.astype(np.float32)):
        variable = equivariant_stack.transform([x])[0]
        found.append(
            exchange_tokens(
                equivariant_stack, held_out(x, variable), variables_only(1), seed=0
            ).effects
        )
    assert found[0].shape == (1 + 3, 2, 4)  # joined, and each of three networks
    assert np.allclose(found[0], found[1], atol=2e-3)


def test_means_and_spreads_over_folds_and_seeds():
    rng = np.random.default_rng(0)
    folds = list(rng.normal(size=(4, 1 + 3, 2, 5)))
    folds[1][:, 1] = np.nan  # a boundary without frames in one part
    known = np.delete(np.stack(folds)[:, :, 1], 1, axis=0)
    one = summarize(folds, folds[:1])
    assert np.allclose(one.values[0], np.mean([f[0, 0] for f in folds], axis=0))
    assert np.allclose(one.values[1], known[:, 0].mean(axis=0))
    assert np.allclose(one.sd_folds[1], known[:, 0].std(axis=0, ddof=1))
    variances = known[:, 1:].var(axis=1, ddof=1)
    assert np.allclose(one.sd_seeds[1], np.sqrt(variances.mean(axis=0)))
    assert np.array_equal(one.twin[0], folds[0][0, 0])
    alone = summarize([folds[0][:1]], [])
    for unknown in (alone.sd_folds, alone.sd_seeds, alone.twin):
        assert np.isnan(unknown).all()


def test_rank_correlation_is_stated_where_it_means_something():
    up = np.arange(6.0)
    one = np.array([up, up, np.full(6, np.nan), np.ones(6)])
    other = np.array([up**3, -up, up, up])
    assert rank_correlation(one, other)[:2] == pytest.approx([1, -1])
    assert np.isnan(rank_correlation(one, other)[2:]).all()
    assert np.isnan(rank_correlation(one[:, :3], other[:, :3])).all()


def test_gradients_are_norms_over_the_atoms_of_a_token():
    system = Dipeptide(lively("et"))
    model = system.model("flat")
    variables = system.variables(model)
    positions = system.positions
    _, exact = variables.differentiate(positions)
    states = np.array([0, 1, 1])
    sample = draw_sample(states, np.zeros(3), 2)
    s = model.transform(system.arrays("geometric"))
    quantities = quantities_of(s, [np.arange(len(s[0])) % 2], 2, 1)
    found = token_gradients(variables, positions, None, sample, quantities)
    token = system.structure.token_of_atom
    boundary = quantities[-1]
    assert boundary.kind is QuantityKind.BOUNDARY
    for k in range(3):
        own = exact[:, :, token == k]
        norms = np.sqrt((own**2).sum(axis=(2, 3)))  # (F, d)
        assert np.allclose(found[1:3, k], norms.mean(axis=0))
        along = np.einsum("fdax,d->fax", own, boundary.direction)
        norm = np.sqrt((along**2).sum(axis=(1, 2)))
        # both states count the same, though one has twice the frames
        assert found[-1, k] == pytest.approx((norm[0] + norm[1:].mean()) / 2)
    assert np.isnan(found[0]).all()  # the score has none

    swap = np.array([[0.0, 2.0], [1.0, 0.0]])
    mapped = token_gradients(variables, positions, None, sample, quantities, swap)
    assert np.allclose(mapped[1], found[2])
    assert np.allclose(mapped[2], 2 * found[1])


def test_gradients_of_networks_by_themselves():
    system = Dipeptide(lively("et"))
    model = system.model("flat", seeds=3)
    positions = system.positions
    sample = draw_sample(np.zeros(len(positions), int), np.zeros(len(positions)), 1)
    quantities = variables_only(2)
    found = network_gradients(
        system.variables(outputs_of_networks(model)),
        model.rotation,
        3,
        positions,
        None,
        sample,
        quantities,
    )
    joined = system.variables(model)
    wanted, _ = joined.differentiate(positions)
    expected = token_gradients(joined, positions, None, sample, quantities)
    assert found.shape == (1 + 3, 3, 3)
    assert np.allclose(found[0, 1:], expected[1:], rtol=1e-5)
    for network, own in zip(model.lobe.members, found[1:], strict=True):
        alone = replace(model, lobe=LobeStack([network]))
        single = system.variables(outputs_of_networks(alone))
        values, _ = single.differentiate(positions)
        design = np.c_[values, np.ones(len(values))]
        reader = (np.linalg.pinv(design) @ wanted)[:-1]
        slopes = token_gradients(single, positions, None, sample, quantities, reader)
        assert np.allclose(own[1:], slopes[1:], rtol=1e-4)
        assert not np.allclose(own[1:], found[0, 1:], rtol=0.01)


def fifty_tokens(n_runs=4, length=800) -> tuple[list[np.ndarray], int]:
    """Return fifty tokens of noise, of which one has two states."""
    rng = np.random.default_rng(0)
    token, runs = 31, []
    for _ in range(n_runs):
        x = rng.normal(size=(length, 50, 3))
        x[:, token, 1] += 4 * flips(rng, length, 0.03)
        runs.append(x.astype(np.float32))
    return runs, token


@pytest.mark.parametrize("method", ["tica", "vampnet"])
@pytest.mark.filterwarnings("ignore::mdgeomfeat.kinetics.DoubtWarning")
def test_one_flip_among_fifty_tokens_ranks_first(method):
    runs, token = fifty_tokens()
    settings = StudySettings(
        method=method,
        lag=3,
        dim=1,
        n_states=2,
        seeds=1,
        max_folds=2,
        mixer="flat",
        mixer_options={"width": 8, "depth": 1},
        training=TrainingOptions(max_steps=300),
        n_bootstrap=3,
    )
    study = run_study({"tokens": runs}, "tokens", settings)
    quantities = quantities_of(study.cvs, study.states.dtrajs, 2, study.lag)
    found = exchange_in_folds(study, runs, "tokens", quantities)
    values = summarize([e.effects for e in found.exchanged], []).values
    assert len(found.models) == len(study.folds)
    for row in values:
        order = np.argsort(-row)
        assert order[0] == token
        assert row[order[0]] > 5 * abs(row[order[1]])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mdgeomfeat.kinetics.DoubtWarning")
@pytest.mark.filterwarnings("ignore:.*chemically:UserWarning")
def test_one_side_chain_among_fifty_ranks_first_by_both_methods(tmp_path):
    token = 10
    topology, *files = write_flips(tmp_path, token, sigma=0.1)
    universe = mda.Universe(str(topology), *map(str, files))
    network = lively("et", n_channels=8, cutoff=5.0)
    featurizer = GeomGNNFeaturizer(
        universe,
        select="all",
        model=network,
        invariants="norms",
        allow_unseen=True,
        allow_implausible=True,
        periodic=False,
    )
    results = featurizer.run().results
    runs = results.split(np.asarray(results.token_features))
    metadata = {
        "features": results.spec.to_dict(),
        "model_fingerprint": network.fingerprint,
        "structure": {
            "numbers": featurizer.structure.numbers.tolist(),
            "token_of_atom": featurizer.structure.token_of_atom.tolist(),
            "labels": featurizer.structure.token_labels(),
        },
    }
    settings = StudySettings(
        method="tica", lag=5, dim=1, n_states=2, n_bootstrap=3, metadata=metadata
    )
    study = run_study({"tokens": runs}, "tokens", settings)
    assert study.evidence.established
    quantities = quantities_of(study.cvs, study.states.dtrajs, 2, study.lag)
    found = exchange_in_folds(study, runs, "tokens", quantities)
    values = summarize([e.effects for e in found.exchanged], []).values
    sample = draw_sample(
        np.concatenate(study.states.dtrajs), results.trajectory, 2, max_frames=10
    )
    slopes = token_gradients(
        CollectiveVariables(
            study.model, replace(results.spec, model=network), featurizer.structure
        ),
        np.asarray(results.positions[sample.rows]),
        None,
        sample,
        quantities,
    )
    assert (values.argmax(axis=1) == token).all()
    assert (slopes[1:].argmax(axis=1) == token).all()
