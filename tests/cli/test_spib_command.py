"""``mdgeomfeat spib``: a folder like that of ``vamp``, and its model applied."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import MDAnalysis as mda
import numpy as np
import pytest


@pytest.fixture(scope="module")
def spib(run_cli, gly2, common, tmp_path_factory):
    out = tmp_path_factory.mktemp("spib") / "result"
    result = run_cli(
        "spib", *gly2, *common, "--out", out, "--stop", 1200, "--step", 6,
        "--lag", "6ps", "--dim", 2, "--labels", 6, "--mixer", "flat", "--no-maps",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return SimpleNamespace(
        out=out,
        page=(out / "report.html").read_text(),
        summary=json.loads((out / "summary.json").read_text()),
    )


def test_weights_are_refused_with_the_reason(run_cli, gly2, tmp_path):
    out = tmp_path / "out"
    result = run_cli("spib", *gly2, "--weights", "logweight@COLVAR", "--out", out)
    assert result.exit_code == 2
    assert "weights do not correct how long states" in " ".join(result.stderr.split())
    assert not out.exists()


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_page_and_summary_show_the_states_that_last(spib):
    names = {p.name for p in spib.out.iterdir()}
    assert {"report.html", "summary.json", "cvs.csv", "model", "states"} <= names
    study = spib.summary["study"]
    first = study["bottleneck"][0]
    assert (first["lag_frames"], first["n_labels"]) == (1, 6)
    assert study["states"]["n_states"] == max(first["n_states"], 2)
    assert first["cross_entropy"] < first["entropy"]
    assert len({r["n_labels"] for r in study["bottleneck"]}) == 3
    assert len({r["lag"] for r in study["bottleneck"]}) >= 3
    assert study["scores"][0]["method"] == "SPIB"
    assert "States that last" in spib.page
    assert "VAMP-2, SPIB" in spib.page
    for row in study["bottleneck"]:
        if row["cross_entropy"] is not None:
            assert f"{row['cross_entropy']:.3f}" in spib.page


def test_a_saved_bottleneck_gives_the_same_variables(
    run_cli, spib, gly2, common, tmp_path
):
    top = next(f for f in gly2 if f.suffix == ".pdb")
    run = next(f for f in gly2 if f.suffix == ".xtc")
    out = tmp_path / "applied"
    result = run_cli(
        "apply", spib.out, top, run, "--engine", "torch", "--stop", 1200,
        "--step", 6, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    again, before = rows(out / "cvs.csv"), rows(spib.out / "cvs.csv")
    for name in ("cv1", "cv2"):
        np.testing.assert_allclose(
            [float(r[name]) for r in again],
            [float(r[name]) for r in before[: len(again)]],
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_saved_bottleneck_has_gradients(spib, gly2):
    from mdgeomfeat import Structure
    from mdgeomfeat.structure import select_atoms
    from mdgeomfeat.variables import CollectiveVariables

    top = next(f for f in gly2 if f.suffix == ".pdb")
    run = next(f for f in gly2 if f.suffix == ".xtc")
    atoms = select_atoms(mda.Universe(top, run))
    variables = CollectiveVariables.load(
        spib.out, Structure.from_atomgroup(atoms), dtype="float64"
    )
    x = atoms.positions.astype(np.float64)[None]
    values, gradients = variables.differentiate(x)
    first = rows(spib.out / "cvs.csv")[0]
    expected = [float(first["cv1"]), float(first["cv2"])]
    np.testing.assert_allclose(values[0], expected, rtol=1e-3, atol=1e-3)
    step = 1e-5
    for atom, axis in ((0, 0), (3, 2)):
        ahead, behind = x.copy(), x.copy()
        ahead[0, atom, axis] += step
        behind[0, atom, axis] -= step
        slope = (
            variables.differentiate(ahead)[0] - variables.differentiate(behind)[0]
        ) / (2 * step)
        np.testing.assert_allclose(
            gradients[0, :, atom, axis], slope[0], rtol=1e-4, atol=1e-6
        )
