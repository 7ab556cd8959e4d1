"""What differs between states, of motions that are known: it is told first, alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from motions import atom, molecule, shaken, turned, visits

from mdgeomfeat.errors import InputError
from mdgeomfeat.explain import Kind, compare_states, draw_sample
from mdgeomfeat.explain.differences import compare_measured
from mdgeomfeat.explain.observables import Classes, Shares
from mdgeomfeat.explain.sample import MIN_FRAMES


def differ(structure, positions, states, runs, n_states=2, boxes=None, weights=None):
    sample = draw_sample(states, runs, n_states, weights=weights)
    rows = sample.rows
    return compare_states(
        structure, positions[rows], None if boxes is None else boxes[rows], sample
    )


def ranked(found, state=1):
    return next(c for c in found.compared if c.state == state).differences


@pytest.fixture(scope="module")
def protease():
    """Two chains of 48 residues and their inhibitor."""
    return molecule("1hvr")


def side_chain(structure, token):
    """Return what chi1 turns."""
    own = structure.token_of_atom == token
    return own & ~np.isin(structure.names, ["N", "CA", "C", "O", "CB"])


@pytest.mark.parametrize(
    ("name", "degrees", "kinds"),
    [
        ("A:ILE47", 120.0, {Kind.TORSION, Kind.CONTACT}),
        ("A:ILE47", -120.0, {Kind.TORSION, Kind.CONTACT}),
        ("B:LYS70", 120.0, {Kind.TORSION}),
    ],
)
def test_the_one_side_chain_that_flips_among_many_comes_first(
    protease, name, degrees, kinds
):
    structure, x = protease
    token = structure.token_labels().index(name)
    axis = [atom(structure, token, end) for end in ("CA", "CB")]
    flipped = turned(x, side_chain(structure, token), *axis, degrees)
    states, runs = visits()
    found = ranked(differ(structure, shaken(x, flipped, states, 0.1), states, runs))
    # what lies beside it is covered or not
    covered = Kind.SOLVENT_EXPOSURE
    sure = [d for d in found if d.held_out > 0.3 and d.kind is not covered]
    # what it touches changes with it
    assert {d.kind for d in sure} == kinds
    assert all(token in d.tokens for d in sure)
    (first,) = [d for d in sure if d.kind is Kind.TORSION]
    assert first.name == f"{name}:chi1"
    assert first is sure[0] or len(kinds) > 1
    turn = (first.after - first.before + 180) % 360 - 180
    assert turn == pytest.approx(degrees, abs=4)
    # noise of 0.1 Å turns an angle by some 7°, which shortens both mean points
    assert first.effect == pytest.approx(np.sin(np.radians(60)), abs=0.04)
    assert first.held_out == pytest.approx(first.effect, abs=0.01)
    assert first.stable


def test_states_that_are_none_differ_in_nothing(protease):
    structure, x = protease
    states, runs = visits()
    states = np.random.default_rng(5).permutation(states)
    found = ranked(differ(structure, shaken(x, x, states), states, runs))
    # what looks different in some of hundreds of things does so by chance
    assert all(d.held_out < 0.2 and d.effect < 0.35 for d in found)


def test_a_hinge_changes_what_lies_on_both_sides_of_it():
    structure, x = molecule("1lmb")
    hinge = 20
    axis = [atom(structure, hinge, name) for name in ("N", "CA")]
    moved = structure.token_of_atom > hinge
    moved |= (structure.token_of_atom == hinge) & ~np.isin(structure.names, ["N", "CA"])
    states, runs = visits()
    bent = turned(x, moved, *axis, 90.0)
    differences = differ(structure, shaken(x, bent, states, 0.05), states, runs)
    sure = [d for d in ranked(differences) if d.held_out > 0.3]
    angles = [d.name for d in sure if d.kind is Kind.TORSION]
    assert angles == [f"{structure.token_labels()[hinge]}:phi"]
    pairs = [d for d in sure if d.kind in (Kind.CONTACT, Kind.HYDROGEN_BOND)]
    assert len(pairs) > 3
    assert all(min(d.tokens) <= hinge <= max(d.tokens) for d in pairs)
    radii = [np.sqrt(3 * y.var(axis=0).mean()) for y in (x, bent)]
    assert differences.radius_of_gyration == pytest.approx(radii, rel=1e-3)


def far_ligand(structure, x, shift):
    ligand = np.asarray(structure.tokens["resname"])[structure.token_of_atom] == "XK2"
    gone = x.copy()
    gone[ligand] += shift
    return ligand, gone


def closest(x, ligand):
    return np.linalg.norm(x[ligand][:, None] - x[~ligand][None], axis=2).min()


def test_a_ligand_that_leaves_comes_first(protease):
    structure, x = protease
    ligand, gone = far_ligand(structure, x, [0.0, 0.0, 60.0])
    states, runs = visits()
    positions = shaken(x, gone, states, 0.05)
    found = ranked(differ(structure, positions, states, runs))
    assert found[0].kind is Kind.LIGAND_DISTANCE
    assert found[0].effect == pytest.approx(1.0)
    for value, state in ((found[0].before, 0), (found[0].after, 1)):
        mean = np.mean([closest(p, ligand) for p in positions[states == state]])
        assert value == pytest.approx(mean, abs=0.01)
    lost = [d for d in found if d.kind is Kind.CONTACT and d.held_out > 0.5]
    token = int(structure.token_of_atom[ligand][0])
    assert len(lost) > 5
    assert all(token in d.tokens and d.after == 0 for d in lost)


def test_a_ligand_on_the_other_side_of_the_box_has_not_left(protease):
    structure, x = protease
    box = np.array([70.0, 70.0, 70.0, 90.0, 90.0, 90.0])
    _, wrapped = far_ligand(structure, x, [0.0, 0.0, 70.0])
    states, runs = visits()
    boxes = np.tile(box, (len(states), 1))
    positions = shaken(x, wrapped, states, 0.05)
    found = ranked(differ(structure, positions, states, runs, boxes=boxes))
    kinds = (Kind.LIGAND_DISTANCE, Kind.CONTACT)
    assert not [d for d in found if d.kind in kinds and d.held_out > 0.2]


def test_half_a_turn_of_a_phenyl_ring_is_no_difference():
    structure, x = molecule("1hvr")
    token = structure.token_labels().index("A:PHE53")
    axis = [atom(structure, token, name) for name in ("CB", "CG")]
    ring = (structure.token_of_atom == token) & np.isin(
        structure.names, ["CD1", "CD2", "CE1", "CE2", "CZ"]
    )
    states, runs = visits()
    for degrees, differs in ((180.0, False), (90.0, True)):
        flipped = turned(x, ring, *axis, degrees)
        found = ranked(differ(structure, shaken(x, flipped, states), states, runs))
        names = [d.name for d in found if d.kind is Kind.TORSION and d.held_out > 0.3]
        assert names == (["A:PHE53:chi2"] if differs else [])


def test_what_one_half_does_not_show_is_not_stable(protease):
    structure, x = protease
    token = structure.token_labels().index("A:ILE47")
    axis = [atom(structure, token, name) for name in ("CA", "CB")]
    flipped = turned(x, side_chain(structure, token), *axis, 120.0)
    states, runs = visits(2)
    only_one = states * (runs == 0)  # the second run has the state without the flip
    positions = shaken(x, flipped, only_one)
    found = ranked(differ(structure, positions, states, runs))
    flip = [d for d in found if d.name == "A:ILE47:chi1"]
    assert all(d.effect > 0.3 and d.held_out < 0.3 and not d.stable for d in flip)


def test_what_both_halves_show_comes_before_what_is_larger_in_all_frames():
    runs = np.repeat([0, 1], 200)
    sample = draw_sample(np.arange(400) % 2, runs, 2)
    there, second = sample.states == 1, sample.halves == 1
    # the coil becomes a helix in one half and a strand in the other
    member = np.zeros((len(there), 1, 3), bool)
    member[~there, 0, 0] = True
    member[there & ~second, 0, 1] = member[there & second, 0, 2] = True
    changing = Classes(
        kind=Kind.SECONDARY_STRUCTURE, names=("x",), tokens=((0,),), member=member
    )
    # the contact is made in seven of ten frames, in both
    touching = (there & (np.cumsum(there) % 10 < 7))[:, None]
    same = Shares(kind=Kind.CONTACT, names=("y",), tokens=((1, 5),), there=touching)
    found = ranked(compare_measured([changing, same], sample, 6))
    assert [d.name for d in found] == ["y", "x"]
    assert [d.held_out for d in found] == pytest.approx([0.7, 0.5], abs=0.02)
    assert [d.effect for d in found] == pytest.approx([0.7, 0.866], abs=0.02)


def test_a_state_seen_in_one_half_only_is_told_to_be_unchecked(protease):
    structure, x = protease
    states = np.repeat([0, 1], 60)
    _, gone = far_ligand(structure, x, [0.0, 0.0, 60.0])
    positions = shaken(x, gone, states)
    found = differ(structure, positions, states, np.zeros(120, int))
    assert found.split == "times"
    one = found.compared[0]
    assert not one.checked
    assert one.differences[0].kind is Kind.LIGAND_DISTANCE
    assert {(d.held_out, d.stable) for d in one.differences} == {(None, None)}


def test_states_with_too_few_frames_are_not_compared(protease):
    structure, x = protease
    states, runs = visits(3)
    states[:] = 0
    states[: MIN_FRAMES - 1] = 1
    assert differ(structure, shaken(x, x, states), states, runs) is None
    states[30:60] = 2
    found = differ(structure, shaken(x, x, states), states, runs, 3)
    assert [one.state for one in found.compared] == [2]
    assert np.isnan(found.rmsf[1]).all()
    assert np.isnan(found.radius_of_gyration[1])
    assert np.isfinite(found.rmsf[[0, 2]]).all()


def test_weights_count(protease):
    """Frames of another shape that weigh nothing to speak of change no value."""
    structure, x = protease
    ligand, gone = far_ligand(structure, x, [0.0, 0.0, 60.0])
    states, runs = visits()
    weights = np.ones(len(states))
    stray = np.arange(len(states)) % 3 == 0
    weights[stray] = 1e-6
    positions = shaken(x, gone, np.where(stray, 1 - states, states), 0.05)
    found = ranked(differ(structure, positions, states, runs, weights=weights))
    assert found[0].kind is Kind.LIGAND_DISTANCE
    near = closest(x, ligand)
    assert found[0].before == pytest.approx(near, abs=0.3)
    assert found[0].after > 20


def test_the_record_is_strict_json_and_counts_from_one(protease):
    structure, x = protease
    _, gone = far_ligand(structure, x, [0.0, 0.0, 60.0])
    states, runs = visits()
    found = differ(structure, shaken(x, gone, states), states, runs, 3)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["reference"] == 1
    assert record["n_frames"] == [120, 120, 0]
    assert [one["state"] for one in record["compared"]] == [2]
    assert record["radius_of_gyration"][2] is None
    assert np.shape(record["rmsf"]) == (3, structure.n_tokens)
    first = record["compared"][0]["ranked"][0]
    assert first["kind"] == "ligand_distance"
    assert first["tokens"] == [structure.n_tokens]


def test_sampled_frames_are_spread_over_states_and_halves():
    rng = np.random.default_rng(2)
    runs = np.repeat(np.arange(6), 4000)
    states = (rng.random(len(runs)) < 0.1).astype(int)
    states[:10] = -1
    weights = np.ones(len(runs))
    weights[10:2000] = 0
    sample = draw_sample(states, runs, 2, weights=weights, max_frames=100)
    assert sample.split == "trajectories"
    assert sample.rows.min() >= 2000
    for state in range(2):
        for half in range(2):
            places = sample.of(state, half)
            assert len(places) == 100
            assert (states[sample.rows[places]] == state).all()
            assert len(set(runs[sample.rows[places]].tolist())) == 3
    halves = {run: set(sample.halves[runs[sample.rows] == run]) for run in range(6)}
    assert all(len(own) == 1 for own in halves.values()), "a run is in one half"


def test_halves_share_rare_states():
    """Two runs hold a rare state; they are not dealt to one half."""
    runs = np.repeat(np.arange(4), 100)
    states = np.zeros(400, int)
    states[20:40] = states[120:140] = 1
    sample = draw_sample(states, runs, 2)
    assert sample.counts.tolist() == [[180, 180], [20, 20]]


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="3 states, 2 trajectory numbers"):
        draw_sample([0, 1, 0], [0, 0], 2)
    with pytest.raises(InputError, match="State 2 is not among 2"):
        draw_sample([0, 1, 2], [0, 0, 0], 2)
