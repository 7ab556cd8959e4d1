"""What the terminal shows of warnings, and options that are refused at once."""

from __future__ import annotations

import warnings

import pytest

from mdgeomfeat.cli.app import _plain_warnings
from mdgeomfeat.commands.options import StudyOptions
from mdgeomfeat.errors import InputError, MDGeomFeatWarning


def test_our_warnings_are_shown_once_and_no_others(capsys):
    with _plain_warnings():
        for _ in range(3):
            warnings.warn("the box is small", MDGeomFeatWarning, stacklevel=1)
            warnings.warn("somebody else's", UserWarning, stacklevel=1)
        warnings.warn("an atom is doubtful", MDGeomFeatWarning, stacklevel=1)
    shown = capsys.readouterr().err
    assert shown == "note: the box is small\nnote: an atom is doubtful\n"


def test_others_warnings_are_neither_shown_nor_errors_whatever_else_is_set(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as python -W error
        with _plain_warnings():
            warnings.warn("somebody else's", UserWarning, stacklevel=1)
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # as some packages do
                warnings.warn("somebody else's", UserWarning, stacklevel=1)
                warnings.warn("ours", MDGeomFeatWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: ours\n"


def test_a_lag_in_time_counts_the_frames_that_are_used(
    run_cli, data, common, tmp_path, monkeypatch
):
    monkeypatch.delattr("mdgeomfeat.featurizer.GeomGNNFeaturizer.run")
    folder = data / "gly2"
    result = run_cli(
        "tica", folder / "gly2.pdb", folder / "gly2-0.xtc", *common,
        "--step", 10, "--lag", "15ps", "--out", tmp_path / "o",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "'15ps' is 1.5 frames of 10 ps" in result.stderr


@pytest.mark.parametrize("temperature", [0, -5.0, float("inf"), float("nan")])
def test_a_temperature_is_above_zero(temperature):
    assert StudyOptions(temperature=300.0).temperature == 300.0
    with pytest.raises(InputError, match="must be above 0 kelvin"):
        StudyOptions(temperature=temperature)
