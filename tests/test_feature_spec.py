"""What makes features: declared once, and the same everywhere that it is used."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import warnings
from dataclasses import fields, replace
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from other_options import OTHER

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureOptions, FeatureSpec, feature_options
from mdgeomfeat.featurizer import FeatureResults

# A store and a model that were written before specs had a format.
EARLIER = Path(__file__).parent / "earlier"


def test_every_option_is_known_to_type_checkers_and_to_these_tests():
    options = feature_options().keys()
    assert options == OTHER.keys()
    assert options - {"select"} == FeatureOptions.__annotations__.keys()
    assert {f.name for f in fields(FeatureSpec)} - options == {"invariants_seed"}


@pytest.mark.parametrize("kind", [GeomGNNFeaturizer, GeomGNNTransformer])
def test_constructors_spell_the_options_out(kind):
    parameters = inspect.signature(kind).parameters
    for name, option in feature_options().items():
        assert parameters[name].default == option.default
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    with pytest.raises(TypeError, match="unexpected keyword argument 'stride'"):
        kind(mda.Universe.empty(1, trajectory=True), stride=2)


@pytest.mark.parametrize("name", OTHER)
def test_a_spec_is_read_as_it_was_written(name):
    spec = FeatureSpec(**{name: OTHER[name]})
    assert spec != FeatureSpec()
    written = json.loads(json.dumps(spec.to_dict()))
    assert written["format"] == 1
    assert FeatureSpec.from_dict(written) == spec
    # An option that came later is at what is its default, or was when it came.
    if name != "invariants":
        spec = replace(spec, invariants="geometric")
    assert FeatureSpec.from_dict({k: written[k] for k in ("format", name)}) == spec


def test_arrays_of_tokens_become_values():
    spec = FeatureSpec(tokens=np.array([0, 0, 1]))
    assert spec == FeatureSpec(tokens=[0, 0, 1])
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pool": 3}, "pool=3 is not known; use one of 'mean', 'sum', "),
        ({"tokens": "chain"}, "tokens='chain' is not known; use one of 'residue'"),
        ({"tokens": [0.5]}, r"tokens=\[0.5\] is not known"),
        ({"tokens": None}, "tokens=None is not known"),
        ({"periodic": 1}, "periodic=1 is not known; use one of 'auto', True, False"),
        ({"allow_unseen": "yes"}, "allow_unseen='yes' is not known; use one of True"),
        ({"window": True}, "window=True must be a whole number of at least 0"),
    ],
)
def test_values_that_are_not_allowed(values, message):
    with pytest.raises(InputError, match=message):
        FeatureSpec(**values)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": 2}, "format 2 are not known"), ({"new": 1}, "the option 'new'")],
)
def test_what_a_newer_version_wrote_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        FeatureSpec.from_dict(FeatureSpec().to_dict() | change)


def test_stores_compare_what_changes_the_numbers():
    always = FeatureSpec(invariants="geometric").compared()
    assert always == {
        "window": "None",
        "pool": "mean",
        "invariants": "geometric",
        "max_neighbors": "None",
        "dtype": "float32",
    }
    assert "invariants_seed" in FeatureSpec(invariants_seed=1).compared()


def test_results_and_stores_hold_the_spec(chain, options, tmp_path):
    given = {"window": 2, "pool": "sum", "invariants": "scalars", "max_neighbors": 5}
    store = tmp_path / "f.zarr"
    for where in ({}, {"store": store}):
        feat = GeomGNNFeaturizer(chain, "name CA N", **options, **given, **where).run()
        spec = feat.results.spec
        assert spec.options().items() >= given.items()
        assert spec.select == "name CA N"
    assert FeatureResults.load(store).spec == spec
    again = GeomGNNTransformer(chain, **options | spec.options() | options)
    np.testing.assert_array_equal(
        again.fit_transform(chain.trajectory.timeseries(order="fac")),
        np.asarray(feat.results.features),
    )


def checksum(features):
    values = np.ascontiguousarray(features, dtype=np.float32)
    return hashlib.sha256(values.tobytes()).hexdigest()


def test_a_store_of_an_earlier_version_is_read_and_gone_on_with(tmp_path):
    store = shutil.copytree(EARLIER / "features.zarr", tmp_path / "f.zarr")
    want = "662d221957c442d9f39e50dcf6c91643d2084f7080b56010215386c1b7145014"
    results = FeatureResults.load(store)
    assert checksum(results.features) == want
    assert results.spec == FeatureSpec(
        select="all",
        model="tiny.safetensors",
        window=1,
        pool="sum",
        invariants="norms",
        max_neighbors=9,
        periodic=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(
            EARLIER / "top.pdb", shutil.copy(EARLIER / "run.xtc", tmp_path)
        )
        (store / "trajectory-0000" / "frames" / "c.0").unlink()
        feat = GeomGNNFeaturizer(
            universe, "all", model=EARLIER / "tiny.safetensors", engine="cpu",
            device="cpu", batch_size=4, store=store, window=1, pool="sum",
            invariants="norms", max_neighbors=9,
        ).run(stop=6)  # fmt: skip
    np.testing.assert_allclose(feat.results.features, results.features, rtol=1e-4)


def test_tokens_of_each_atom_in_an_earlier_store():
    entries = {"tokens": "custom", "pool": "sum", "n_atoms": 3}
    spec = FeatureSpec.from_stored(entries, np.array([0, 0, 1]))
    assert spec == FeatureSpec(tokens=(0, 0, 1), pool="sum", invariants="geometric")


def test_a_model_of_an_earlier_version_is_read():
    from mdgeomfeat.variables import read_model_folder

    model, spec = read_model_folder(EARLIER / "model")
    assert model.input_shape
    assert spec.model.fingerprint == model.metadata["features"]["model_fingerprint"]
    assert replace(spec, model="default") == FeatureSpec(
        window=1, invariants="geometric"
    )
