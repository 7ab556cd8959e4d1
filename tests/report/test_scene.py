"""What the 3-D view is given, and that names in it are never markup."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from importlib import resources

import numpy as np

from mdgeomfeat.report import Gallery, StateFrames, html
from mdgeomfeat.report.data import FrameOrigin, Way
from mdgeomfeat.report.molecule import RIBBON, Drawing, Molecule, Role, drawings
from mdgeomfeat.report.scene import scene, write_viewer
from mdgeomfeat.report.sections.states import structures

NASTY = "</script><script>alert(1)</script>\N{LINE SEPARATOR}"


def chain(n: int, *, ligand_at: float | None = None, nucleic: bool = False):
    """Make n residues 3.8 Å apart along x, and a ligand of two atoms above one."""
    names = ("P", "OP2", "C5'", "N9") if nucleic else ("N", "CA", "C", "O")
    numbers = (15, 8, 6, 7) if nucleic else (7, 6, 6, 8)
    offsets = np.array([[0, 0, 0], [1.4, 0, 0], [2.4, 1, 0], [2.4, 2, 0]])
    xyz = (3.8 * np.arange(n)[:, None, None] * [1, 0, 0] + offsets).reshape(-1, 3)
    role = Role.NUCLEIC if nucleic else Role.PROTEIN
    atoms, z = list(names) * n, list(numbers) * n
    residue = np.repeat(np.arange(n), 4)
    labels, roles, chains = [f"A:X{k}" for k in range(n)], [role] * n, [0] * n
    if ligand_at is not None:
        xyz = np.vstack([xyz, [[ligand_at, 0, 3.5], [ligand_at, 0, 5.0]]])
        atoms, z = [*atoms, "CA", "H1"], [*z, 6, 8]
        residue = np.append(residue, [n, n])
        labels, roles, chains = [*labels, NASTY], [*roles, Role.OTHER], [*chains, 1]
    molecule = Molecule(
        names=np.array(atoms),
        numbers=np.array(z),
        residue=residue,
        labels=tuple(labels),
        roles=tuple(roles),
        chain=np.array(chains),
        bonds=np.array([[0, 1], [1, 2]]),
        importance=np.linspace(0, 100, len(labels)),
    )
    return molecule, xyz


def shown(molecule, xyz, n_models=2, n_way=4):
    origin = FrameOrigin(trajectory=1, file=NASTY, frame=7, time=None)
    n = molecule.n_residues
    return StateFrames(
        origins=((origin,) * n_models, ()),
        positions=(np.stack([xyz] * n_models), np.empty((0, len(xyz), 3))),
        secondary=(("c" * n,) * n_models, ()),
        molecule=molecule,
        files=("state-1.pdb", "state-2.pdb"),
        way=Way(
            origins=(origin,) * n_way,
            positions=np.stack([xyz + k for k in range(n_way)]),
            secondary=("h" * n,) * n_way,
            values=np.linspace(-1, 1, n_way),
            states=np.array([0, *[-1] * (n_way - 1)]),
        ),
    )


def page_of(frames) -> str:
    markup = structures(frames, Gallery(None))
    return html.page("t", "", [("states", "States", markup)])


def test_long_chains_are_ribbons_and_short_ones_sticks():
    for n, drawing in ((RIBBON, Drawing.RIBBON), (RIBBON - 1, Drawing.STICKS)):
        molecule, xyz = chain(n)
        assert set(drawings(molecule, xyz[None])) == {drawing}
    # a gap makes two short pieces
    molecule, xyz = chain(RIBBON)
    torn = replace(molecule, chain=np.repeat([0, 1], [6, RIBBON - 6]))
    assert set(drawings(torn, xyz[None])) == {Drawing.STICKS}


def test_residues_around_a_ligand_are_shown():
    molecule, xyz = chain(20, ligand_at=3.8 * 10)
    drawn = drawings(molecule, xyz[None])
    ligand = xyz[-2:]
    for r in range(20):
        own = xyz[molecule.residue == r]
        near = np.linalg.norm(own[:, None] - ligand, axis=2).min() <= 4.5
        assert drawn[r] is (Drawing.LINING if near else Drawing.RIBBON)
    assert drawn[20] is Drawing.STICKS
    assert 1 <= sum(d is Drawing.LINING for d in drawn) <= 6
    # in any of the frames that are shown
    moved = xyz.copy()
    moved[-2:, 0] += 20
    assert (
        sum(d is Drawing.LINING for d in drawings(molecule, np.array([xyz, moved]))) > 3
    )
    # loose pieces of a chain around a ligand stay thin
    molecule, xyz = chain(4, ligand_at=3.8)
    assert set(drawings(molecule, xyz[None])[:4]) == {Drawing.THIN}


def test_the_viewer_finds_main_chains_and_mistakes_no_ligand_for_one():
    molecule, xyz = chain(RIBBON, ligand_at=9.0)
    content = scene(shown(molecule, xyz))
    names = np.array(content["atoms"]["drawn_name"])
    assert (names == "CA").sum() == RIBBON
    assert not any(content["residues"]["trace"][:RIBBON])
    assert content["residues"]["role"][-1] == "other"
    # without oxygens a ribbon has no direction
    kept = molecule.names != "O"
    bare = replace(
        molecule,
        names=molecule.names[kept],
        numbers=molecule.numbers[kept],
        residue=molecule.residue[kept],
    )
    assert all(scene(shown(bare, xyz[kept]))["residues"]["trace"][:RIBBON])
    purine, at = chain(RIBBON, nucleic=True)
    assert set(scene(shown(purine, at))["residues"]["drawn_name"]) == {"G"}


def test_what_is_shown_fits_into_a_browser(monkeypatch):
    molecule, xyz = chain(20)
    content = scene(shown(molecule, xyz, n_models=9, n_way=30))
    state, way = content["groups"]
    assert (len(state["models"]), len(way["models"])) == (6, 30)
    monkeypatch.setattr("mdgeomfeat.report.scene._MAX_TEXT", 21 * len(xyz) * 8)
    state, way = scene(shown(molecule, xyz, n_models=9, n_way=30))["groups"]
    assert len(state["models"]) + len(way["models"]) <= 8
    # the ends of the way are kept
    first, last = way["models"][0], way["models"][-1]
    assert "\N{MINUS SIGN}1.00" in first["origin"]
    assert "1.00" in last["origin"]


def test_names_from_files_are_never_markup(tmp_path):
    molecule, xyz = chain(RIBBON, ligand_at=9.0)
    frames = shown(molecule, xyz)
    write_viewer(tmp_path, frames)
    text = (tmp_path / "viewer/structures.js").read_text(encoding="ascii")
    content = json.loads(re.fullmatch(r"[\w.]+ = (.*);\n", text)[1])
    assert content["residues"]["label"][-1] == NASTY
    page = html.page("t", "", [("states", "States", structures(frames, Gallery(None)))])
    assert "alert(1)" not in page
    view = (tmp_path / "viewer/view.js").read_text()
    for way_in in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                   "eval(", "Function("):  # fmt: skip
        assert way_in not in view


def test_the_page_loads_only_what_lies_beside_it(tmp_path):
    molecule, xyz = chain(RIBBON)
    frames = shown(molecule, xyz)
    write_viewer(tmp_path, frames)
    page = html.page("t", "", [("states", "States", structures(frames, Gallery(None)))])
    scripts = re.findall(r'<script src="([^"]+)"', page)
    assert len(scripts) == page.count("<script") == 3
    assert all((tmp_path / path).is_file() for path in scripts)
    assert "default-src 'none'" in page
    # nothing is shown as missing only once the view runs
    assert re.search(r'<p class="note" id="view3d-missing">The 3-D view needs', page)
    assert re.search(r'<details id="stills" open="open">', page)


def test_the_viewer_is_the_published_one():
    """Version and licences stand beside it; whoever updates it changes both."""
    folder = resources.files("mdgeomfeat.report").joinpath("viewer")
    digest = hashlib.sha256(folder.joinpath("3Dmol-min.js").read_bytes()).hexdigest()
    assert digest == "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"
    licences = folder.joinpath("3Dmol-min.js.LICENSE.txt").read_text()
    assert licences.startswith("3Dmol.js 2.5.5")
    for text in ("BSD-3-Clause", "Three.js", "pako", "upng-js", "netcdfjs"):
        assert text in licences
