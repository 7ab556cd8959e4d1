"""The command ``compare --with``: one residue of fifty that another ensemble turns."""

from __future__ import annotations

import csv
import json
import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import MDAnalysis as mda
import numpy as np
import pytest
from flip import write_flips

import mdgeomfeat
from mdgeomfeat import InputError, Structure
from mdgeomfeat.commands.two_ensembles import joined_chains

#: A side chain in the middle of the first protein.
TOKEN = 10
OPTIONS = ["--engine", "torch", "--allow-unseen", "--allow-implausible", "--no-pbc"]


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(path):
    found = mda.Universe(str(path))
    return [f"{r.atoms[0].chainID}:{r.resname}{r.resid}" for r in found.residues]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write four runs in which a side chain is seldom turned, and four: mostly."""
    folder = tmp_path_factory.mktemp("ensembles")
    made = {}
    for seed, (name, share) in enumerate((("few", 0.2), ("many", 0.8))):
        top, *runs = write_flips(
            folder, TOKEN, sigma=0.3, length=100, seed=seed, rate=0.1, share=share,
            name=name,
        )  # fmt: skip
        made[name] = runs
    return SimpleNamespace(folder=folder, top=top, **made)


@pytest.fixture(scope="module")
def common(tiny_model):
    return ["--model", tiny_model, *OPTIONS]


@pytest.fixture(scope="module")
def done(files, common, run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    result = run_cli(
        "compare", *files.few, files.top, "--with", *files.many, *common, "--out", out
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads((out / "summary.json").read_text())
    return SimpleNamespace(
        out=out,
        said=result.stderr,
        told=told,
        page=(out / "report.html").read_text(),
        lines=rows(out / "residues.csv"),
    )


def test_the_residue_is_named_by_features_and_by_its_torsion(done, files):
    label = names(files.top)[TOKEN]
    test = done.told["ensembles"]["test"]
    assert np.argmax(test["effects"]) == TOKEN
    assert TOKEN + 1 in test["different"]
    assert test["n_runs"] == [4, 4]
    first, second, *_ = done.told["findings"]
    assert re.match(
        rf"\d+ of 52 tokens differs? between the ensembles: {label} ", first
    )
    assert f"χ1 of {label} turns from" in second
    for sentence in done.told["findings"]:
        assert sentence in done.said
        assert sentence in done.page
    # only what touches it is named beside it
    u = mda.Universe(str(files.top))
    near = u.select_atoms("around 8 group own", own=u.residues[TOKEN].atoms).residues
    beside = set(test["different"]) - {TOKEN + 1}
    assert beside <= {int(i) + 1 for i in near.resindices}


def test_table_summary_and_structures_tell_the_same(done, files):
    told = done.told["ensembles"]
    assert [line["first"] for line in done.lines] == told["tokens"] == names(files.top)
    for column, key in (
        ("effect", "effects"), ("p", "p"), ("p_corrected", "p_corrected")
    ):  # fmt: skip
        written = [float(line[column]) for line in done.lines]
        np.testing.assert_allclose(written, told["test"][key], rtol=1e-5, atol=1e-9)
    sure = np.zeros(52)
    chosen = np.array(told["test"]["different"]) - 1
    sure[chosen] = np.array(told["test"]["effects"])[chosen]
    for name in ("first.pdb", "second.pdb"):
        u = mda.Universe(str(done.out / "structures" / name))
        for residue, value in zip(u.residues, 100 * sure / sure.max(), strict=True):
            assert np.allclose(residue.atoms.tempfactors, value, atol=0.01)
    script = (done.out / "structures" / "colour.pml").read_text()
    assert "how far the ensembles differ" in script
    assert "load second.pdb" in script
    assert (done.out / "figures" / "ensembles.png").is_file()


def test_plain_quantities_against_mdanalysis(done, files):
    universes = [
        mda.Universe(str(files.top), *map(str, runs))
        for runs in (files.few, files.many)
    ]
    turn = done.told["ensembles"]["plain"][TOKEN]["turn"]
    assert turn["name"].endswith(":chi1")
    points = []
    for u in universes:
        chi = u.residues[TOKEN].chi1_selection()
        angles = np.radians([chi.dihedral.value() for _ in u.trajectory])
        points.append(np.exp(1j * angles).mean())
    means = np.degrees(np.angle(points))
    assert [turn["before"], turn["after"]] == pytest.approx(means, abs=0.5)
    assert turn["effect"] == pytest.approx(abs(points[1] - points[0]) / 2, abs=0.01)
    assert 0.3 < turn["effect"] < 0.75  # the shares are 0.2 and 0.8


def test_python_writes_what_the_command_writes(done, files, tiny_model, tmp_path):
    out = mdgeomfeat.compare(
        [*files.few, files.top], files.many, tmp_path / "out",
        model=tiny_model, engine="torch", allow_unseen=True, allow_implausible=True,
        periodic=False,
    )  # fmt: skip
    written = (out / "residues.csv").read_bytes()
    assert written == (done.out / "residues.csv").read_bytes()
    with pytest.raises(InputError, match="no option 'stp'"):
        mdgeomfeat.compare([*files.few, files.top], files.many, tmp_path / "no", stp=1)


def write_mutant(files, folder, keep="N CA C O CB", lost="resindex 3"):
    """Write the second ensemble with one residue exchanged and one cut off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = mda.Universe(str(files.top), *map(str, files.many))
        own = u.residues[TOKEN].atoms
        gone = own[~np.isin(own.names, keep.split())] + u.select_atoms(lost)
        u.residues[TOKEN].resname = "ALA"
        rest = u.atoms - gone
        top = folder / "mutant.pdb"
        rest.write(top)
        runs = []
        for k, reader in enumerate(u.trajectory.readers):
            runs.append(folder / f"mutant-{k}.xtc")
            first = k * reader.n_frames
            rest.write(runs[-1], frames=u.trajectory[first : first + reader.n_frames])
    return top, runs


def test_a_mutation_is_not_taken_for_a_change_in_motion(
    files, common, run_cli, tmp_path
):
    top, runs = write_mutant(files, tmp_path)
    out = tmp_path / "out"
    result = run_cli(
        "compare", *files.few, files.top, "--with", *runs, top, *common, "--out", out
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads((out / "summary.json").read_text())
    label, lost = (names(files.top)[k] for k in (TOKEN, 3))
    tested = told["ensembles"]["test"]["tested"]
    assert told["ensembles"]["pairing"]["missing"] == [lost]
    assert len(tested) == 51
    assert tested.index(False) == told["ensembles"]["tokens"].index(label)
    assert sum(tested) == 50
    # the side chain that turns is gone from both, and nothing else differs
    assert told["findings"][0].startswith("No residue differs by more than")
    assert "may be chemistry alone and not a change in motion" in result.stderr
    assert f"Only in the first ensemble, and left out: {lost}." in result.stderr
    atoms = mda.Universe(str(out / "structures" / "first.pdb")).atoms
    assert len(atoms) == len(mda.Universe(str(top)).atoms)


def test_chains_in_another_order_change_nothing(done, files, common, run_cli, tmp_path):
    u = mda.Universe(str(files.top), *map(str, files.many[:1]))
    first, second = (u.select_atoms(f"chainID {letter}") for letter in "AB")
    top = tmp_path / "turned.pdb"
    runs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        swapped = mda.Merge(second, first)
        swapped.atoms.write(top)
        for file in files.many:
            u.load_new(str(file))
            frames = [u.atoms.positions.copy() for _ in u.trajectory]
            frames = np.array(frames)[:, np.r_[second.ix, first.ix]]
            swapped.load_new(frames, order="fac", dt=10.0)
            runs.append(tmp_path / file.name)
            swapped.atoms.write(runs[-1], frames="all")
    out = tmp_path / "out"
    result = run_cli(
        "compare", *files.few, files.top, "--with", *runs, top, *common, "--out", out
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads((out / "summary.json").read_text())
    assert told["findings"] == done.told["findings"]
    for key in ("effects", "p"):
        np.testing.assert_allclose(
            told["ensembles"]["test"][key], done.told["ensembles"]["test"][key],
            atol=2e-3,
        )  # fmt: skip
    assert [line["first"] for line in rows(out / "residues.csv")] == names(files.top)
    assert all(line["first"] == line["second"] for line in rows(out / "residues.csv"))
    sure, other = (
        mda.Universe(str(folder / "structures" / "second.pdb"))
        for folder in (done.out, out)
    )
    for residue in sure.residues:
        (own,) = (
            r
            for r in other.residues
            if (r.atoms[0].chainID, r.resid)
            == (residue.atoms[0].chainID, residue.resid)
        )
        assert own.atoms.tempfactors[0] == pytest.approx(
            residue.atoms.tempfactors[0], abs=1
        )


def test_one_run_has_effects_without_p(files, common, run_cli, tmp_path):
    result = run_cli(
        "compare", files.few[0], files.top, "--with", *files.many, *common,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "There is only one run of the first ensemble" in result.stderr
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["ensembles"]
    assert told["test"]["p"] is told["test"]["p_corrected"] is None
    assert told["halves_of_one_run"] == [1]
    assert np.argmax(told["test"]["effects"]) == TOKEN
    assert {line["p"] for line in rows(tmp_path / "out" / "residues.csv")} == {""}
    assert "<th>p</th>" not in (tmp_path / "out" / "report.html").read_text()


def test_three_runs_of_each_are_said_to_decide_nothing(
    files, common, run_cli, tmp_path
):
    result = run_cli(
        "compare", *files.few[:3], files.top, "--with", *files.many[:3], *common,
        "--step", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "with 3 and 3 runs no p is below 0.10" in result.stderr


def test_runs_of_unequal_length_and_parts_of_one_run_are_pointed_out(
    files, common, run_cli, tmp_path
):
    u = mda.Universe(str(files.top), str(files.few[0]))
    part = tmp_path / "part.xtc"
    with mda.Writer(str(part), len(u.atoms)) as out:
        for ts in u.trajectory[:30]:
            ts.time = 1000.0 + 10.0 * ts.frame  # the runs end at 990 ps
            out.write(u.atoms)
    result = run_cli(
        "compare", *files.few[:2], part, files.top, "--with", part, part, part,
        *common, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "part.xtc begins at 1 ns, where the file before it ends" in result.stderr
    assert "2.6 times as long as the others" in result.stderr


def test_short_runs_and_missing_files_are_refused(files, common, run_cli, tmp_path):
    command = ["compare", *files.few, files.top, *common, "--out", tmp_path / "out"]
    result = run_cli(*command, "--with", *files.many, "--step", 10)
    assert result.exit_code == 2
    assert "few-0.xtc has 10 frames" in result.stderr
    result = run_cli(*command, "--with", tmp_path / "none.xtc")
    assert result.exit_code == 2
    assert "none.xtc" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_chain_is_broken_where_it_is_in_either_ensemble():
    u = mda.Universe.empty(6, n_residues=6, atom_resindex=range(6), trajectory=True)
    for name, values in (
        ("names", ["CA"] * 6), ("elements", ["C"] * 6), ("resnames", ["ALA"] * 6)
    ):  # fmt: skip
        u.add_TopologyAttr(name, values)
    plain = Structure.from_atomgroup(u.atoms)
    one, other = (
        replace(plain, chain=np.array(chain))
        for chain in ([0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    )
    same = np.arange(6)
    both = joined_chains(one, other, same, None)
    assert both.next_token.tolist() == [1, -1, 3, -1, 5, -1]
    assert both.chain.tolist() == joined_chains(other, one, same, None).chain.tolist()
    assert joined_chains(one, one, same, 2) is one
    with pytest.raises(InputError, match="leave out --window"):
        joined_chains(one, other, same, 2)
