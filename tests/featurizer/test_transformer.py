import pickle

import mdtraj
import numpy as np
import pytest
from deeptime.decomposition import TICA
from feature_systems import error, peptide
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer, InputError, Structure
from mdgeomfeat.kinetics import estimator

NUMBERS = np.array([7, 6, 6, 8] * 6)
TOKENS = np.repeat(np.arange(6), 4)


@pytest.fixture
def positions(chain):
    return chain.trajectory.timeseries(order="fac")


@pytest.fixture
def runs(data):
    """Two short runs of glycine dipeptide as mdtraj reads them."""
    folder = data / "gly2"
    return [
        mdtraj.load(folder / f"gly2-{k}.xtc", top=folder / "gly2.pdb", stride=50)
        for k in (0, 1)
    ]


def test_arrays_give_what_the_featurizer_gives(chain, options, positions):
    want = GeomGNNFeaturizer(chain, **options).run().results
    transformer = GeomGNNTransformer(chain, **options)
    got = transformer.fit_transform(positions)
    np.testing.assert_array_equal(got, want.features)
    assert transformer.n_features_out_ == got.shape[1]
    scalars, vectors = transformer.encode(positions)
    np.testing.assert_array_equal(scalars, want.scalars)
    np.testing.assert_array_equal(vectors, want.vectors)
    np.testing.assert_array_equal(
        transformer.transform_tokens(positions), want.token_features
    )


def test_lists_give_lists(chain, options, positions):
    transformer = GeomGNNTransformer(chain, **options).fit()
    whole = transformer.transform(positions)
    pieces = transformer.transform([positions[:2], positions[2:]])
    assert isinstance(pieces, list)
    np.testing.assert_array_equal(pieces[0], whole[:2])
    assert error(pieces[1], whole[2:]) < 1e-6
    assert transformer.transform(positions[:0]).shape == (0, whole.shape[1])


def test_every_kind_of_structure(chain, options, positions):
    chain.add_TopologyAttr("chainIDs", ["A"] * 24)
    topology = mdtraj.Topology()
    of_chain = topology.add_chain()
    for number in range(6):
        residue = topology.add_residue("ALA", of_chain, resSeq=number + 1)
        for name, symbol in zip(("N", "CA", "C", "O"), "NCCO", strict=True):
            element = mdtraj.element.get_by_symbol(symbol)
            topology.add_atom(name, element, residue)
    topology.create_standard_bonds()
    want = GeomGNNTransformer(chain, **options).fit_transform(positions)
    for source in (
        chain.atoms,
        topology,
        mdtraj.Trajectory(positions / 10, topology),
        Structure.from_arrays(NUMBERS, TOKENS),
        (NUMBERS, TOKENS),
    ):
        got = GeomGNNTransformer(source, **options).fit_transform(positions)
        assert error(got, want) < 1e-6
    atoms = GeomGNNTransformer((NUMBERS,), **options).fit_transform(positions)
    assert atoms.shape == (7, 24 * 72)


def test_selected_or_all_atoms(chain, options, positions):
    transformer = GeomGNNTransformer(chain, "not name O", **options).fit()
    got = transformer.transform(positions)
    kept = np.arange(24) % 4 != 3
    np.testing.assert_array_equal(got, transformer.transform(positions[:, kept]))
    with pytest.raises(InputError, match=r"shape \(7, 23, 3\).* with 18 or 24 atoms"):
        transformer.transform(positions[:, :23])


def test_mdtraj_trajectories_keep_their_units_and_boxes(options, positions):
    box = [30.0, 29.0, 31.0, 75.0, 80.0, 70.0]
    u = peptide(box=np.array(box, np.float32))
    broken = positions.copy()
    broken[:, ::2, 0] += box[0]  # the first lattice vector lies along x
    u.load_new(broken, dimensions=np.array([box] * 7, np.float32))
    want = GeomGNNFeaturizer(u, **options, periodic=True).run().results.features
    transformer = GeomGNNTransformer((NUMBERS, TOKENS), **options, periodic=True)
    traj = mdtraj.Trajectory(
        broken / 10,
        None,
        unitcell_lengths=np.array([box[:3]] * 7) / 10,
        unitcell_angles=np.array([box[3:]] * 7),
    )
    # Nanometres in float32 round the positions anew, by up to 2e-6 Å here.
    assert error(transformer.fit_transform(traj), want) < 5e-5
    assert error(transformer.transform(broken, boxes=box), want) < 1e-5
    assert error(transformer.transform([broken], boxes=[box])[0], want) < 1e-5
    free = transformer.set_params(periodic="auto").fit_transform(broken)
    assert error(free, want) > 0.01


def test_names_of_features(runs, options):
    transformer = GeomGNNTransformer(runs[0].topology, **options).fit()
    names = transformer.get_feature_names_out()
    assert len(names) == len(set(names)) == transformer.n_features_out_ == 3 * 64
    assert names[64 + 5] == "A:GLY2:s005"
    assert names[-1] == "A:NME3:chain15"


def test_parameters_are_kept_as_they_were_given(chain, options):
    transformer = GeomGNNTransformer(chain, **options, tokens="atom", window=2)
    parameters = transformer.get_params()
    assert parameters["structure"] is chain
    assert (parameters["tokens"], parameters["window"]) == ("atom", 2)
    transformer.fit()
    assert transformer.get_params() == parameters
    twin = clone(transformer)
    assert twin.get_params() == parameters
    with pytest.raises(NotFittedError):
        twin.transform(np.zeros((1, 24, 3)))
    assert twin.set_params(tokens="residue").fit().structure_.n_tokens == 6
    again = pickle.loads(pickle.dumps(GeomGNNTransformer((NUMBERS,), **options).fit()))
    assert again.encoder_._engine is None


def test_a_pipeline_with_tica(runs, options):
    transformer = GeomGNNTransformer(runs[0].topology, **options)
    pipeline = Pipeline(
        [("features", transformer), ("tica", estimator(TICA(lagtime=1, dim=2)))]
    )
    slow = pipeline.fit(runs).transform(runs)
    assert [x.shape for x in slow] == [(len(run), 2) for run in runs]
    # The same as deeptime alone on the same list: no pair crosses from run to run.
    features = transformer.fit_transform(runs)
    alone = TICA(lagtime=1, dim=2).fit(features).fetch_model()
    np.testing.assert_allclose(slow[1], alone.transform(features[1]), rtol=1e-4)
    other = clone(pipeline).set_params(features__invariants="scalars")
    assert other.fit(runs).transform(runs[0]).shape == (len(runs[0]), 2)
    assert pipeline["features"].invariants == "auto"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("top.pdb", "Got a str as structure; give a Universe, an AtomGroup"),
        ((), "A tuple of 0 is not a structure; give atomic numbers"),
    ],
)
def test_what_is_no_structure(options, source, message):
    with pytest.raises(InputError, match=message):
        GeomGNNTransformer(source, **options).fit()


def test_coordinates_that_cannot_be_used(options, positions):
    transformer = GeomGNNTransformer((NUMBERS, TOKENS), **options).fit()
    with pytest.raises(InputError, match=r"have the shape \(24, 3\); give \(frames"):
        transformer.transform(positions[0])
    with pytest.raises(InputError, match=r"boxes= has 1 entries for 2 trajectories"):
        transformer.transform([positions, positions], boxes=[None])
    positions[2, 3] = np.nan
    with pytest.raises(InputError, match="Frame 2 of trajectory 1 holds positions"):
        transformer.transform([positions[:1], positions])
    transformer.set_params(periodic=True).fit()
    with pytest.raises(InputError, match=r"needs a box, and frame 0 has none"):
        transformer.transform(positions[:1])
    with pytest.raises(InputError, match="select= needs a Universe, an AtomGroup"):
        GeomGNNTransformer((NUMBERS, TOKENS), "name CA", **options).fit()


def test_boxes_that_cannot_be_used(options, positions):
    transformer = GeomGNNTransformer((NUMBERS, TOKENS), **options).fit()
    boxes = np.tile([90.0] * 6, (7, 1))
    with pytest.raises(
        InputError, match=r"The boxes have the shape \(7, 3\); give \(6,\)"
    ):
        transformer.transform(positions, boxes=boxes[:, :3])
    # no frame may lose its box unsaid
    boxes[4, :3] = 0
    for whole, frame in ((np.tile([90.0] * 6, (7, 1)), 4), (None, 0)):
        has, lacks = (0, 1) if whole is not None else (1, 0)
        said = rf"of trajectory {has} has a box and frame {frame} of trajectory {lacks}"
        with pytest.raises(InputError, match=said):
            transformer.transform([positions, positions], boxes=[whole, boxes])
    # nor one of those that the verdict does not rest on
    many = np.tile([90.0] * 6, (42, 1))
    many[4] = 0
    with pytest.raises(InputError, match="Frame 4 has no usable box where others"):
        transformer.transform(np.tile(positions, (6, 1, 1)), boxes=many)
    transformer.set_params(periodic=False).fit_transform(positions, boxes=boxes)
