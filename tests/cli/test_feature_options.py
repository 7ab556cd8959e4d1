"""Options of the Python classes on the command line, and where they go from there."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from other_options import OF_NUMBERS, OTHER, flags

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.cli import app
from mdgeomfeat.commands.apply import _model_features
from mdgeomfeat.commands.baselines import untrained_twin
from mdgeomfeat.commands.features import featurize
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.progress import SilentReporter
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec

# What the command line calls otherwise, or does by itself.
NAMES = {"universe_or_atomgroup": "files", "verbose": None}
# It computes nothing, so there is nothing to share or to keep.
NOT_OF_INFO = {"overwrite", "batch_size", "store", "store_dtype"}


@pytest.mark.parametrize("command", ["vamp", "tica", "features", "compare", "info"])
def test_every_option_of_the_class_is_an_option_of_every_command(command):
    commands = typer.main.get_command(app).commands
    there = {parameter.name for parameter in commands[command].params}
    wanted = {NAMES.get(n, n) for n in inspect.signature(GeomGNNFeaturizer).parameters}
    wanted -= {None} | (NOT_OF_INFO if command == "info" else set())
    assert wanted <= there


def test_the_command_line_makes_the_spec(run_cli, gly2, tiny_model, tmp_path):
    out = tmp_path / "o"
    given = OTHER | {"model": str(tiny_model), "tokens": "molecule", "select": "all"}
    result = run_cli(
        "features", gly2[0], gly2[2], "--stop", 9, *flags(given), "--batch-size", 3,
        "--store-dtype", "float16", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    attributes = json.loads((out / "features.zarr" / "zarr.json").read_text())
    provenance = attributes["attributes"]["provenance"]
    assert FeatureSpec.from_dict(provenance["features"]) == FeatureSpec(**given)
    assert (provenance["batch_size"], provenance["store_dtype"]) == (3, "float16")


def test_the_twin_is_made_as_the_features_are(gly2, tiny_model, tmp_path):
    spec = FeatureSpec(model=tiny_model, **OF_NUMBERS)
    read = ReadOptions(files=(gly2[0], gly2[2]), features=spec, stop=5, batch_size=2)
    data = featurize(read, tmp_path, SilentReporter())
    twin, _ = untrained_twin(read, data, SilentReporter())
    from mdgeomfeat.commands.baselines import TWIN_SEED
    from mdgeomfeat.gnn import random_twin

    # The featurizer itself, with the twin in place of the network.
    want = GeomGNNFeaturizer(
        data.universe,
        **spec.options() | {"model": random_twin(data.model, TWIN_SEED)},
    ).run(stop=5)
    assert twin[0].dtype == np.float64
    np.testing.assert_allclose(
        twin[0], want.results.token_features, rtol=1e-4, atol=1e-5
    )


def test_applying_takes_the_models_spec_whole():
    made_with = FeatureSpec(**OTHER | {"allow_unseen": False})
    assert _model_features(FeatureSpec(), made_with) == made_with
    asked = FeatureSpec(select="all", allow_unseen=True, window=1)
    assert _model_features(asked, made_with) == replace(
        made_with, select="all", allow_unseen=True
    )


@pytest.mark.parametrize("name", ["model", "tokens", *OF_NUMBERS])
def test_applying_refuses_other_numbers(name):
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}"):
        _model_features(FeatureSpec(**{name: OTHER[name]}), FeatureSpec(model=None))
