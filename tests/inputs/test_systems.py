"""What is in the box: solvents, sites without nuclei, metals, odd residues."""

from __future__ import annotations

import json
import warnings

import built
import MDAnalysis as mda
import numpy as np
import pytest
from built import Atom
from systems import COORDINATES, complex_with_ligands, membrane, solvated


@pytest.fixture
def peptide_atoms():
    return built.residues(["ALA", "GLY", "SER"])


def noted(facts, *words):
    """Return the one note that holds all of these words."""
    found = [n for n in facts.get("notes", []) if all(w in n for w in words)]
    assert len(found) == 1, facts
    return found[0]


@pytest.mark.parametrize(
    ("resname", "names"),
    [
        ("SOL", "OW HW1 HW2"),
        ("HOH", "O H1 H2"),
        ("TIP3", "OH2 H1 H2"),
        ("SOL", "OW HW1 HW2 MW"),
        ("TP4", "O H1 H2 EPW"),
        ("SWM4", "OH2 H1 H2 OM"),
    ],
)
@pytest.mark.parametrize("kind", ["pdb", "gro"])
def test_solvent_is_left_out(inform, peptide_atoms, tmp_path, resname, names, kind):
    wet = [*peptide_atoms, *built.water(resname, 6, names)]
    facts = inform(getattr(built, kind)(tmp_path / f"wet.{kind}", wet))
    assert facts["tokens"].startswith("3 residues in 1 unbroken chain")
    assert facts["selected"] == "14 atoms by default"


def test_solvent_changes_no_feature(featurize, peptide_atoms, tmp_path):
    wet = [*peptide_atoms, *built.water("SOL", 6, "OW HW1 HW2 MW")]
    got = featurize(built.gro(tmp_path / "wet.gro", wet)).results
    expected = featurize(built.gro(tmp_path / "dry.gro", peptide_atoms)).results
    np.testing.assert_array_equal(got.scalars[:], expected.scalars[:])


def test_fourth_sites_of_water_have_no_nucleus(inform, tmp_path):
    path = built.gro(tmp_path / "w.gro", built.water("SOL", 6, "OW HW1 HW2 MW"))
    facts = inform(path, "--select", "all")
    assert facts["elements"] == "H 12, O 6"
    noted(facts, "6 virtual sites or dummy atoms are left out (MW)")


def test_a_solvated_protein_with_four_site_water(inform, tmp_path):
    wet = solvated(n_frames=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wet.atoms.write(str(tmp_path / "wet.gro"))
        wet.atoms.write(str(tmp_path / "wet.xtc"), frames="all")
    facts = inform(tmp_path / "wet.xtc", tmp_path / "wet.gro", "--select", "all")
    assert facts["periodic"] == "minimum image in the box"
    assert "SOL 60" in facts["residues"]
    noted(facts, "60 virtual sites or dummy atoms are left out (MW)")


DRUDE = "N DN CA DCA LPN C DC O DO LPOA LPOB CB DCB"


def drude_atoms():
    """Return an alanine with Drude particles and lone pairs, named as CHARMM does."""
    places = {a.name: a.xyz for a in built.residues(["ALA"])}
    return [
        Atom(name, "ALA", 1, places.get(name, (9.0 + i, 0.0, 0.0)))
        for i, name in enumerate(DRUDE.split())
    ]


def test_drude_particles_and_lone_pairs_are_no_atoms(inform, featurize, tmp_path):
    path = built.pdb(tmp_path / "drude.pdb", drude_atoms())
    facts = inform(path)
    assert facts["elements"] == "C 3, N 1, O 1"
    noted(facts, "8 virtual sites or dummy atoms are left out", "DCA", "LPOA")
    bare = built.pdb(tmp_path / "bare.pdb", built.residues(["ALA"]))
    got, expected = featurize(path).results, featurize(bare).results
    np.testing.assert_array_equal(got.vectors[:], expected.vectors[:])


def test_drude_particles_of_a_psf(inform, tmp_path):
    """Their masses are 0.4 u; CHARMM writes two columns more than usual."""
    atoms = drude_atoms()
    masses = {"D": 0.4, "L": 0.0, "N": 13.607, "C": 11.611, "O": 15.599}
    lines = ["PSF EXT CMAP XPLOR DRUDE", "", "         1 !NTITLE", " built", ""]
    lines.append(f"{len(atoms):10d} !NATOM")
    for i, a in enumerate(atoms, start=1):
        lines.append(
            f"{i:10d} {'PROA':8s} {1:<8d} {a.resname:8s} {a.name:8s} {'T' + a.name:6s} "
            f"{0.1:14.6f} {masses[a.name[0]]:13.4f} {0:11d} {0:14.6f} {0:14.6f}"
        )
    for section in ("!NBOND: bonds", "!NTHETA: angles", "!NPHI: dihedrals"):
        lines += ["", f"{0:10d} {section}", ""]
    (tmp_path / "drude.psf").write_text("\n".join([*lines, ""]))
    # A frame to go with it.
    frame = built.pdb(tmp_path / "frame.pdb", atoms)
    mda.Universe(str(frame)).atoms.write(str(tmp_path / "t.dcd"))
    facts = inform(tmp_path / "drude.psf", tmp_path / "t.dcd")
    assert facts["elements"] == "C 3, N 1, O 1"
    noted(facts, "8 virtual sites or dummy atoms are left out")


def test_membrane_with_dummies_around_zinc(inform, tmp_path):
    path = membrane(tmp_path / "membrane.gro")
    noted(inform(path, "--allow-unseen"), "POPE (5), POPG (3)")
    zinc = inform(path, "--select", "resname ZNM", "--allow-unseen")
    assert zinc["elements"] == "Zn 2"
    noted(zinc, "12 virtual sites or dummy atoms are left out", "DM1", "DM6")


def test_halogens_phosphorus_and_ligands(inform, refuse, tmp_path):
    joined = complex_with_ligands()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined.atoms.write(str(tmp_path / "complex.pdb"))
    path = tmp_path / "complex.pdb"
    facts = inform(path, "--allow-unseen")
    note = noted(facts, "ANP (1)", "TCS (1)")
    option = note.split('--select "')[1].split('"')[0]
    added = inform(path, "--select", option, "--allow-unseen")
    assert "Cl 3" in added["elements"]
    assert "P 4" in added["elements"]  # three of AMP-PNP, one of a phosphotyrosine
    of_protein = int(facts["tokens"].split()[0])
    assert added["tokens"].startswith(f"{of_protein + 2} residues")
    said = refuse("features", path, "--select", option)
    assert "P" in said
    assert "Cl" in said
    assert "--allow-unseen" in said


ENTRIES = {
    "2src": ("13 residues in 1 unbroken chain", "ANP (1)"),
    "1hvr": ("96 residues in 2 unbroken chains", "XK2 (1)"),
    "19hc": ("23 residues in 2 unbroken chains", "HEM (2)"),
    "nucleic": ("8 residues in 2 unbroken chains", ""),
    "1t2y": ("25 residues in 1 unbroken chain", ""),
    "2juy": ("28 residues in 1 unbroken chain", ""),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_of_the_pdb(inform, name):
    tokens, words = ENTRIES[name]
    facts = inform(COORDINATES / f"{name}.pdb", "--allow-unseen")
    assert facts["tokens"].startswith(tokens)
    assert words in " ".join(facts.get("notes", []))


def test_structures_of_others(shared, inform):
    """As programs and databases write them: glycans, alternate places, drugs."""
    for file, tokens, words in (
        ("tpo.pdb", "3 residues in 1 unbroken chain: ACE1, TPO2, NME3", ""),
        ("19hc.pdb.gz", "584 residues in 2 unbroken chains", "HEM (18)"),
        ("2src.pdb", "450 residues in 1 unbroken chain", "ANP (1)"),
        ("1hvr.pdb", "198 residues in 2 unbroken chains", "XK2 (1)"),
        ("nmr_neopetrosiamide.pdb", "28 residues in 1 unbroken chain", ""),
        ("glycopeptide.pdb", "5 residues in 1 unbroken chain: A:NLN1", "0GB (3)"),
        ("bpti.pdb", "58 residues in 1 unbroken chain", ""),
        ("altlocs2.pdb", "1 residue in 1 unbroken chain: A:ILE25", "(A:25)"),
        ("T4-lysozyme-L99A-p-xylene-implicit.pdb", "162 residues in 1 unbroken",
         "TMP (1)"),
        ("alanine-dipeptide-explicit.pdb", "3 residues in 1 unbroken chain", ""),
    ):  # fmt: skip
        facts = inform(shared / "data" / "structures" / file, "--allow-unseen")
        assert facts["tokens"].startswith(tokens), file
        assert words in " ".join(facts.get("notes", [])), file


@pytest.mark.parametrize("resname", ["SEP", "TPO", "PTR", "NLN", "HYP", "CSO", "MLZ"])
def test_modified_residues_belong_to_the_protein(inform, tmp_path, resname):
    atoms = built.residues(["ALA", resname, "ALA"])
    facts = inform(built.pdb(tmp_path / "a.pdb", atoms))
    assert facts["tokens"].endswith(f"A:ALA1, A:{resname}2, A:ALA3")


@pytest.mark.parametrize("resname", ["DAL", "DVA", "XYZ"])
def test_d_amino_acids_are_seen_as_mirror_images(featurize, tmp_path, resname):
    """The geometric invariants tell a residue from its mirror image."""
    left = built.residues(["ALA", "ALA", "ALA"])
    right = built.residues(["ALA", resname, "ALA"], mirrored=True)
    left[9] = left[9]._replace(xyz=(5.3, 2.0, 1.2))
    right[9] = right[9]._replace(xyz=(5.3, 2.0, -1.2))
    one = featurize(built.pdb(tmp_path / "l.pdb", left)).results
    two = featurize(built.pdb(tmp_path / "d.pdb", right)).results
    assert two.tokens["resname"].tolist() == ["ALA", resname, "ALA"]
    np.testing.assert_allclose(one.scalars[:], two.scalars[:], rtol=0, atol=1e-5)
    assert np.abs(one.features - two.features).max() > 1e-4


@pytest.mark.parametrize("caps", [("ACE", "NME"), ("ACE", "NH2"), ("FOR", "NHE")])
def test_caps_belong_to_the_protein(inform, tmp_path, caps):
    first, last = caps
    middle = built.residues(["ALA", "ALA"], first=2, shift=(3.8, 0, 0))
    start = [Atom("C", first, 1, (2.4, 0, 0), "C"), Atom("O", first, 1, (2, 1, 0), "O")]
    end = [Atom("N", last, 4, (11.4, 0, 0), "N")]
    path = built.pdb(tmp_path / "a.pdb", [*start, *middle, *end])
    facts = inform(path)
    assert facts["tokens"].startswith("4 residues in 1 unbroken chain")


def test_coarse_grained_beads_are_refused(refuse, tmp_path):
    beads = [
        Atom(name, "LEU", i, (3.0 * i + shift, 0, 0))
        for i in range(1, 4)
        for name, shift in (("BB", 0.0), ("SC1", 1.5))
    ]
    said = refuse("features", built.gro(tmp_path / "cg.gro", beads))
    assert "names that fit no element" in said
    assert "residue LEU" in said
    assert "BB" in said


def test_atoms_without_names_are_refused(refuse, tmp_path):
    path = tmp_path / "methane.data"
    atoms = [f"{i} 1 1 {i}.0 0.0 0.0" for i in range(1, 6)]
    lines = [
        "methane",
        "",
        "5 atoms",
        "1 atom types",
        "",
        *(f"0.0 50.0 {k}lo {k}hi" for k in "xyz"),
        "",
        "Atoms # molecular",
        "",
        *atoms,
        "",
    ]
    path.write_text("\n".join(lines))
    said = refuse("features", path)
    assert "5 selected atoms have neither an element nor a name" in said


def test_unseen_elements_are_refused_by_name(inform, refuse, featurize, tmp_path):
    atoms = built.residues(["ALA", "GLY"])
    atoms += [Atom("AS", "ARS", 9, (2.0, 4.0, 0.0), "AS")]
    path = built.pdb(tmp_path / "as.pdb", atoms)
    select = ["--select", "group default or resname ARS"]
    said = refuse("features", path, *select)
    assert "As" in said
    assert "--allow-unseen" in said
    assert "has never seen As" in inform(path, *select)["problem"]
    assert "accepted" in inform(path, *select, "--allow-unseen")["unseen"]
    results = featurize(path, *select, "--allow-unseen").results
    assert np.isfinite(results.scalars[:]).all()


def test_only_solvent_and_ions(refuse, tmp_path):
    path = built.gro(tmp_path / "w.gro", built.water("SOL", 3))
    assert "only solvent and ions" in refuse("features", path)


def test_names_without_elements_are_said_once(featurize, tmp_path):
    atoms = built.residues(["ALA", "GLY"], elements=False)
    run = featurize(built.gro(tmp_path / "a.gro", atoms))
    (note,) = [n for n in run.notes if "states no element" in n]
    assert "C from CA C CB" in note
    # an assumption, told where it is told what was analysed, and no warning
    assert "guessed from names" in run.summary["analysed"]["Assumed"]
    assert "guessed from names" not in json.dumps(run.summary["warnings"])


def test_calpha_is_carbon_and_calcium_is_not(inform, tmp_path):
    atoms = [*built.residues(["ALA"], elements=False), Atom("CA", "CA", 9, (9, 9, 9))]
    path = built.pdb(tmp_path / "ca.pdb", atoms)
    assert inform(path)["elements"] == "C 3, N 1, O 1"
    both = inform(path, "--select", "all", "--allow-unseen")
    assert both["elements"] == "C 3, N 1, O 1, Ca 1"
