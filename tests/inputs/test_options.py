"""Options that cannot be meant, and selections that cannot be read."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "select",
    ["", "(", "all)", "resname", "protein and", "not", "around", "same", "point 0 0",
     "index a", "group mine", "prop mass >", "byres", "sphzone 3", "\x00", "chainID",
     "bynum -1", "segid [", "smarts [", "name \"", "cyzone 1 2 3 4", "resname TRP",
     "resid 999", "bonded all and name ZZ", "💥"],
)  # fmt: skip
def test_selections(run_cli, quick, write, top, tmp_path, select):
    out = tmp_path / "o"
    result = run_cli(
        "features", write("t.xtc"), top, *quick, "--select", select, "--out", out
    )
    assert result.exit_code == 2, result.output
    (said,) = [x for x in result.stderr.splitlines() if x.startswith("mdgeomfeat: ")]
    assert f"select={select!r}" in said
    assert "matches none" in said or "not a selection" in said
    assert not out.exists()


def test_a_selection_that_matches_nothing_lists_what_is_there(refuse, write, top):
    said = refuse("features", write("t.xtc"), top, "--select", "resname TRP")
    assert "matches none of the 19 atoms" in said
    assert "ACE (1), GLY (1), NME (1)" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lag", "foo"], "cannot be read"),
        (["--lag", "0"], "above 0"),
        (["--lag", "-3"], "-3"),
        (["--lag", "3.5"], "whole number"),
        (["--lag", "3ps"], "2 ps"),
        (["--lag", "1000"], "the longest trajectory has 150; choose a shorter lag"),
        (["--lag", "140"], "140"),
        (["--lag", "1ms"], "500,000,000 frames, and the longest trajectory has 150"),
        (["--temperature", "nan"], "temperature"),
        (["--temperature", "inf"], "temperature"),
        (["--temperature", "0"], "temperature"),
        (["--dim", "100"], "too few for"),
        (["--start", "1000"], "--start 1000"),
        (["--stop", "0"], "--stop 0"),
        (["--step", "2"], "75 frames are too few"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "abacus"], "abacus"),
    ],
    ids=" ".join,
)
def test_studies(refuse, write, top, options, words):
    path = write("long.xtc", 150)
    assert words in refuse("tica", path, top, *options, "--no-maps")


@pytest.mark.parametrize(
    "options",
    [["--window", "-1"], ["--step", "0"], ["--step", "-1"], ["--tokens", "foo"],
     ["--stop", "x"], ["--no-such-option"], ["--dim", "0"], ["--states", "1"]],
    ids=" ".join,
)  # fmt: skip
def test_options_that_the_parser_refuses(run_cli, write, top, options):
    result = run_cli("tica", write("t.xtc"), top, *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert options[0].lstrip("-") in result.stderr


@pytest.mark.parametrize("engine", ["nonsense", "cuda"])
def test_engines(run_cli, write, top, tiny_model, tmp_path, engine):
    result = run_cli(
        "features", write("t.xtc"), top, "--model", tiny_model, "--engine", engine,
        "--out", tmp_path / "o",
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    assert engine in result.stderr


def test_molecules_need_bonds(refuse, tmp_path):
    import built

    path = built.gro(tmp_path / "a.gro", built.residues(["ALA", "ALA"]))
    said = refuse("features", path, "--tokens", "molecule")
    assert "guess_bonds" in said


def test_files_are_needed(run_cli):
    for command in ("info", "features", "tica", "vamp", "compare"):
        result = run_cli(command)
        assert result.exit_code == 2
        assert "Traceback" not in result.output
