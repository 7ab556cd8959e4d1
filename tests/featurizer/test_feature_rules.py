"""Options reach the network, and memory is asked before it is taken."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from feature_systems import error, peptide
from MDAnalysis.coordinates.memory import MemoryReader

from mdgeomfeat import GeomGNNFeaturizer, InputError, memory
from mdgeomfeat.commands.baselines import untrained_twin
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.progress import SilentReporter
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer import TokenEncoder
from mdgeomfeat.gnn import build_model
from mdgeomfeat.structure import Structure
from mdgeomfeat.structure.elements import SYMBOLS

BOX = [26.0, 24, 25, 80, 95, 103]


@pytest.fixture
def crowded(monkeypatch):
    """Let no more than three frames fit into the memory of a GPU."""
    compute = TokenEncoder._compute

    def limited(self, positions, boxes):
        return None if len(positions) > 3 else compute(self, positions, boxes)

    monkeypatch.setattr(TokenEncoder, "_compute", limited)


@pytest.mark.parametrize("stored", [True, False])
def test_without_memory_batches_are_halved_and_put_down(
    chain, options, crowded, stored, tmp_path
):
    where = {"store": tmp_path / "f.zarr"} if stored else {}
    feat = GeomGNNFeaturizer(chain, **options, batch_size=7, **where)
    with pytest.warns(MDGeomFeatWarning, match="too small for 7 frames .* with 3"):
        feat.run()
    assert feat.results.provenance["smallest_batch"] == 3
    small = GeomGNNFeaturizer(chain, **options, batch_size=1).run().results
    assert error(feat.results.vectors[:], small.vectors) < 1e-5


def test_a_frame_that_does_not_fit_is_said(chain, options, monkeypatch):
    monkeypatch.setattr(TokenEncoder, "_compute", lambda *_: None)
    feat = GeomGNNFeaturizer(chain, **options, batch_size=1)
    with pytest.raises(InputError, match="One frame of 24 atoms does not fit"):
        feat.run()


def test_half_of_the_free_memory_is_the_limit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    memory.check_memory(500, "this", "take less")
    with pytest.raises(InputError, match=r"This would take .*; take less"):
        memory.check_memory(501, "this", "take less")
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.check_memory(1e18, "this", "take less")


@pytest.mark.parametrize(
    ("limit", "free"), [("max", 1_024_000), ("500000", 300_000), ("100000", 0)]
)
def test_the_limit_of_a_container_counts(monkeypatch, tmp_path, limit, free):
    files = {
        "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n",
        "sys/fs/cgroup/memory.max": limit,
        "sys/fs/cgroup/memory.current": "300000",
        "sys/fs/cgroup/memory.stat": "anon 200000\ninactive_file 100000\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "Path", lambda name: tmp_path / name.lstrip("/"))
    assert memory.available_memory() == free


def test_no_option_brings_an_element_into_the_networks_table(chain, options):
    small = replace(options["model"].spec, max_z=10, elements=(1, 6, 7, 8))
    chain.atoms[[3]].elements = "S"
    given = options | {"model": build_model(small, seed=1), "allow_unseen": True}
    with pytest.raises(InputError, match=r"never seen S .*use another model"):
        GeomGNNFeaturizer(chain, **given)


@pytest.mark.parametrize("change", [{"window": 0}, {"max_neighbors": 2}], ids=str)
def test_what_an_atom_sees_reaches_the_engine(chain, options, change):
    whole = GeomGNNFeaturizer(chain, **options).run(stop=2).results
    less = GeomGNNFeaturizer(chain, **options, **change).run(stop=2).results
    assert error(less.vectors, whole.vectors) > 1e-3


def torn(n_frames=4):
    """A chain in a triclinic box, every atom in an image of its own."""
    u = peptide(n_frames=n_frames, box=BOX)
    whole = u.trajectory.timeseries(order="fac").copy()
    steps = np.random.default_rng(1).integers(-1, 2, whole.shape)
    vectors = u.trajectory.ts.triclinic_dimensions.astype(float)
    u.load_new(
        (whole + steps @ vectors).astype(np.float32),
        dimensions=np.tile(BOX, (n_frames, 1)),
    )
    return u, whole


def test_positions_of_results_are_whole(options):
    u, whole = torn()
    results = GeomGNNFeaturizer(u, **options).run().results
    np.testing.assert_allclose(
        results.positions - results.positions[:, :1], whole - whole[:, :1], atol=1e-3
    )
    wrapped = u.trajectory.timeseries(order="fac")
    assert np.abs(wrapped - results.positions).max() > 5


def test_the_untrained_twin_sees_the_box(options, model):
    u, _ = torn()
    results = GeomGNNFeaturizer(u, **options).run().results

    def twin(positions):
        data = SimpleNamespace(
            structure=results.structure, results=results, positions=positions,
            model=model, streams=False, scratch=None, split=lambda rows: [rows],
        )  # fmt: skip
        read = ReadOptions(files=(), device="cpu", engine="torch")
        (rows,), _ = untrained_twin(read, data, SilentReporter())
        return rows

    one, other = twin(results.positions), twin(u.trajectory.timeseries(order="fac"))
    assert error(one, other) < 1e-4
    assert np.abs(one).max() > 0


def test_only_elements_that_cannot_be_embedded_are_refused_in_spite_of_allow_unseen(
    model,
):
    spec = FeatureSpec(model=model, allow_unseen=True)
    beyond = model.spec.max_z + 2
    TokenEncoder(Structure.from_arrays([6, 15], [0, 0]), spec, engine="torch")
    with pytest.raises(InputError, match="has never seen") as refused:
        TokenEncoder(Structure.from_arrays([6, 15, beyond], [0, 0, 0]), spec)
    assert f"{SYMBOLS[beyond]} (1 atom" in str(refused.value)
    assert "P (" not in str(refused.value)


def test_a_frame_that_loses_its_box_is_an_error(chain, options):
    # so late that the verdict on the box, which rests on 64 frames, does not see it
    boxes = np.tile(np.float32([40, 40, 40, 90, 90, 90]), (200, 1))
    boxes[134] = 0
    u = chain.copy()
    frames = np.repeat(chain.atoms.positions[None], 200, axis=0)
    u.load_new(frames, format=MemoryReader, dimensions=boxes)
    with pytest.raises(InputError, match=r"Frame 134 .* has no usable box"):
        GeomGNNFeaturizer(u, **options).run()
    with pytest.warns(MDGeomFeatWarning, match="1 frame could not be used"):
        kept = GeomGNNFeaturizer(u, skip_bad_frames=True, **options).run()
    assert 134 not in kept.results.frames
    assert len(kept.results.frames) == 199
