"""What ``vamp`` leaves behind of which residues matter."""

from __future__ import annotations

import csv
import json

import MDAnalysis as mda
import numpy as np
import pytest


@pytest.fixture
def lines(study):
    with (study.out / "importance.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_what_the_summary_says(study, lines):
    told = json.loads((study.out / "summary.json").read_text())["study"]["importance"]
    quantities, tokens = told["quantities"], told["tokens"]
    assert quantities[:3] == ["score", "cv1", "cv2"]
    assert all(name.startswith("states ") for name in quantities[3:])
    keys = [(line["quantity"], line["label"]) for line in lines]
    assert keys == [(q, label) for q in quantities for label in tokens]
    columns = {
        "": "values",
        "_sd_folds": "sd_folds",
        "_sd_seeds": "sd_seeds",
        "_untrained": "twin",
    }
    for prefix in ("permutation", "gradient"):
        for suffix, name in columns.items():
            stated = np.array(told[prefix][name], float).ravel()
            written = [float(line[prefix + suffix] or "nan") for line in lines]
            assert np.allclose(written, stated, rtol=1e-4, equal_nan=True)
    assert told["no_gradient"] is None
    assert np.isnan(np.array(told["gradient"]["values"], float)[0]).all()
    assert (np.array(told["gradient"]["values"], float)[1:] > 0).all()


def test_structures_are_coloured_by_the_fall_of_the_score(study, lines):
    falls = [float(x["permutation"]) for x in lines if x["quantity"] == "score"]
    expected = 100 * np.clip(falls, 0, None) / max(falls)
    files = sorted((study.out / "states").glob("*.pdb"))
    for path in files:
        u = mda.Universe(str(path))
        for residue, value in zip(u.residues, expected, strict=True):
            assert np.allclose(residue.atoms.tempfactors, value, atol=0.01)
    for script in ("colour.cxc", "colour.pml", "colour.vmd.tcl"):
        text = (study.out / "states" / script).read_text()
        assert all(path.name in text for path in files if path.name != "way.pdb")


def test_the_page_has_a_section(study):
    assert "Which residues matter" in study.page
    assert "importance.png" in [p.name for p in (study.out / "figures").iterdir()]
