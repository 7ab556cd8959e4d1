"""What a run must share with a store to go on with it, and when a store is whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from feature_systems import peptide
from test_store import IDENTITY, create, fill

from mdgeomfeat import GeomGNNFeaturizer, InputError
from mdgeomfeat.store import FeatureStore, StoreWriter, writer


def test_identities_differ_by_content_and_in_both_directions(tmp_path):
    path = tmp_path / "a.zarr"
    create(path, identity=IDENTITY | {"window": ("3", "3")})
    same = IDENTITY | {"window": ("3", "three"), "model": ("1f", "renamed")}
    StoreWriter.resume(path, same)
    for change, message in (
        ({"model": ("ff", "et-64")}, "model et-64 of another content"),
        ({"model": ("ff", "new")}, r"model et-64 \(now new\)"),
        ({"cap": ("8", "8")}, r"cap nothing \(now 8\)"),
    ):
        with pytest.raises(InputError, match=message):
            StoreWriter.resume(path, same | change)
    with pytest.raises(InputError, match=r"window 3 \(now nothing\)"):
        StoreWriter.resume(path, IDENTITY)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"select": "name N CA C"}, {"select": "name N CA O"}, "selection"),
        ({"frames": [0, 1, 2, 4]}, {"frames": [0, 1, 3, 4]}, "frames"),
        ({"periodic": True}, {"periodic": False}, "box use"),
        ({"window": 1}, {"window": 2}, "window 1"),
        ({"pool": "mean"}, {"pool": "sum"}, "pool mean"),
    ],
    ids=["atoms", "frames", "box", "window", "pool"],
)
def test_runs_that_look_alike_are_told_apart(options, tmp_path, first, second, message):
    u = peptide(n_residues=4, n_frames=5, box=[40.0, 40, 40, 90, 90, 90])

    def run(choice):
        choice = dict(choice)
        frames = choice.pop("frames", None)
        place = tmp_path / "f.zarr"
        GeomGNNFeaturizer(u, **options, store=place, **choice).run(frames=frames)

    run(first)
    run(first)
    with pytest.raises(InputError, match=f"was made with .*{message}"):
        run(second)


def test_the_numbers_of_frames_are_written_last(tmp_path, monkeypatch):
    kinds = []
    fitting = writer._fitting

    def watched(values, dtype, path):
        kinds.append(dtype.kind)
        return fitting(values, dtype, path)

    monkeypatch.setattr(writer, "_fitting", watched)
    values = np.zeros((17, 2, 4), np.float32)
    fill(create(tmp_path / "a.zarr"), values, chunks=[0])
    assert kinds == ["f", "f", "i"]


def test_a_store_with_gaps_is_not_finished(tmp_path):
    values = np.zeros((17, 2, 4), np.float32)
    made = create(tmp_path / "a.zarr")
    fill(made, values, chunks=[0, 1, 2, 4])
    with pytest.raises(ValueError, match="1 chunks have not been written"):
        made.finish()
    fill(made, values, chunks=[3])
    made.finish()
    assert FeatureStore(tmp_path / "a.zarr").complete


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    create(tmp_path / "a.zarr")
    card = tmp_path / "a.zarr" / "zarr.json"
    content = json.loads(card.read_text())
    content["attributes"]["format_version"] = 99
    card.write_text(json.dumps(content))
    with pytest.raises(InputError, match="the format 99, newer than"):
        FeatureStore(tmp_path / "a.zarr", unfinished=True)


def test_a_store_that_is_replaced_stops_its_writer(tmp_path):
    values = np.zeros((17, 2, 4), np.float32)
    made = create(tmp_path / "a.zarr")
    fill(made, values, chunks=[0])
    create(tmp_path / "a.zarr", overwrite=True)
    with pytest.raises(InputError, match="was replaced while this run was writing"):
        fill(made, values, chunks=[1])
