"""What may be a misread name is not offered for acceptance."""

from __future__ import annotations

import built


def test_a_carbon_that_is_called_calcium(refuse, inform, tmp_path):
    atoms = [
        a._replace(element="CA") if a.name == "CA" else a
        for a in built.residues(["ALA", "ALA"])
    ]
    path = built.pdb(tmp_path / "a.pdb", atoms)
    for said in (refuse("features", path), inform(path)["problem"]):
        assert "the atom name CA may mean C rather than Ca" in said
        assert "allow" not in said


def test_an_ion_is_what_it_is_called(refuse, tmp_path):
    ion = built.Atom("CA", "CA", 9, (6.0, 6.0, 6.0), element="CA")
    path = built.pdb(tmp_path / "a.pdb", [*built.residues(["ALA", "ALA"]), ion])
    assert "--allow-unseen" in refuse("features", path, "--select", "all")
