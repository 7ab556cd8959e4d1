"""What readers warn of is told as a fact, or is known to make no difference."""

from __future__ import annotations

import ast
import inspect
import json
import logging
import warnings
from importlib import import_module

import MDAnalysis as mda
import mdtraj
import pytest
from MDAnalysis.coordinates.GRO import GROReader
from molecules import N_ATOMS, frames, pdb, pdb_line
from scipy.io import netcdf_file
from systems import entry
from topologies import parm7, psf

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading import open_universe, reader_warnings


def notes(*files) -> list[str]:
    """Return what is said when files are opened; nothing but notes may be."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_universe(files)
    assert {w.category for w in caught} <= {MDGeomFeatWarning}
    return [str(w.message) for w in caught]


@pytest.fixture
def top(tmp_path):
    return pdb(tmp_path / "top.pdb", frames(1))


def netcdf(path, version="1.0", program=True, time=True):
    """Write an Amber trajectory by the letter of its conventions."""
    with netcdf_file(path, "w", version=2) as file:
        file.Conventions, file.ConventionVersion = "AMBER", version
        if program:
            file.program, file.programVersion = "built", "1"
        for name, size in (("frame", None), ("spatial", 3), ("atom", N_ATOMS)):
            file.createDimension(name, size)
        if time:
            file.createVariable("time", "f", ("frame",)).units = "picosecond"
        xyz = file.createVariable("coordinates", "f", ("frame", "atom", "spatial"))
        xyz.units = "angstrom"
        for i, frame in enumerate(frames(2)):
            xyz[i] = frame
            if time:
                file.variables["time"][i] = 20.0 * i
    return path


def trc(path, block=""):
    """Write a GROMOS trajectory, with a block of another kind in each frame."""
    text = "TITLE\nbuilt\nEND\n"
    for i, frame in enumerate(frames(2)):
        text += f"TIMESTEP\n{i:15d}{2.0 * i:20.9f}\nEND\n"
        if block:
            text += f"{block}\nEND\n"
        text += "POSITIONRED\n"
        text += "".join("".join(f"{v:15.9f}" for v in x / 10) + "\n" for x in frame)
        text += "END\n"
    path.write_text(text)
    return path


def test_residue_numbers_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.pdb"
    path.write_text("".join(pdb_line(i, x, resid="    ")
                            for i, x in enumerate(frames(1)[0])))  # fmt: skip
    assert notes(path) == [
        f"{path}: residue numbers that cannot be read are taken as 1."
    ]


def test_damaged_bonds(tmp_path, top):
    path = tmp_path / "a.pdb"
    path.write_text(top.read_text().replace("END\n", "") + "CONECT    1    2    3 xx\n")
    assert notes(path) == [f"{path}: its CONECT records are damaged and were skipped."]


def test_chains_that_do_not_fit_the_residues(tmp_path):
    u = entry("2juy")
    path = parm7(tmp_path / "a.parm7", u, elements=True)
    n = len(u.residues)
    before = "%FLAG BONDS_INC"
    rows = ["A   " * len(range(i, min(i + 20, n - 1))) for i in range(0, n, 20)]
    section = "%FLAG RESIDUE_CHAINID\n%FORMAT(20a4)\n" + "\n".join([*rows, ""])
    path.write_text(path.read_text().replace(before, section + before))
    u.atoms.write(tmp_path / "a.dcd", frames="all")
    assert (
        f"{path}: it has chain identifiers for {n - 1} residues but {n} residues, so "
        "they were skipped."
    ) in notes(path, tmp_path / "a.dcd")


def test_a_psf_file_of_blanks(tmp_path):
    u = entry("2juy")
    path = psf(tmp_path / "a.psf", u)
    lines = path.read_text().splitlines()
    atoms = slice(6, 6 + len(u.atoms))
    lines[atoms] = [" ".join(line.split()) for line in lines[atoms]]
    path.write_text("\n".join(["PSF", *lines[1:], ""]))
    u.atoms.write(tmp_path / "a.dcd", frames="all")
    assert (
        f"{path}: its atoms are not in the columns that its header promises, and were "
        "read as separated by blanks."
    ) in notes(path, tmp_path / "a.dcd")


def test_netcdf_of_other_conventions(tmp_path, top):
    path = netcdf(tmp_path / "a.nc", version="1.1")
    assert notes(top, path) == [
        f"{path}: it follows version 1.1 of Amber's conventions and is read by those "
        "of 1.0."
    ]
    other = netcdf(tmp_path / "b.nc")
    (note,) = notes(top, other, path)
    assert note.startswith(f"One of {other}, {path}: it follows version 1.1")


@pytest.mark.parametrize("lacks", [{"program": False}, {"time": False}])
def test_netcdf_that_lacks_what_makes_no_difference(tmp_path, top, lacks):
    assert notes(top, netcdf(tmp_path / "a.nc", **lacks)) == []


def test_residue_numbers_of_hdf5(tmp_path):
    pytest.importorskip("tables")
    path = tmp_path / "a.h5"
    u = entry("2juy")
    u.atoms.write(tmp_path / "a.pdb")
    mdtraj.load(tmp_path / "a.pdb")[[0, 0]].save(path)
    import tables

    with tables.open_file(path, "a") as file:
        text = json.loads(file.root.topology[0])
        for chain in text["chains"]:
            for residue in chain["residues"]:
                del residue["resSeq"]
        file.remove_node("/", "topology")
        file.create_array("/", "topology", obj=[json.dumps(text).encode()])
    assert (
        f"{path}: it states no residue numbers, which are counted from 0."
    ) in notes(path)


@pytest.mark.parametrize(
    ("block", "said"),
    [("VELOCITYRED", []), ("POSITION", ["its blocks POSITION are not read"])],
)
def test_blocks_of_gromos(tmp_path, top, block, said):
    path = trc(tmp_path / "a.trc", block)
    assert notes(top, path) == [f"{path}: {words}." for words in said]


def test_a_box_without_angles(tmp_path, top):
    netCDF4 = pytest.importorskip("netCDF4")
    path = tmp_path / "a.ncrst"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.Conventions, file.ConventionVersion = "AMBERRESTART", "1.0"
        file.program, file.programVersion, file.application = "built", "1", "AMBER"
        for name, size in (("spatial", 3), ("atom", N_ATOMS), ("cell_spatial", 3)):
            file.createDimension(name, size)
        xyz = file.createVariable("coordinates", "d", ("atom", "spatial"))
        xyz.units, xyz[:] = "angstrom", frames(1)[0]
        lengths = file.createVariable("cell_lengths", "d", ("cell_spatial",))
        lengths.units, lengths[:] = "angstrom", [40.0] * 3
    assert notes(top, path) == [
        f"{path}: it states lengths or angles of a box without the other, which are "
        "not used."
    ]


def test_an_unknown_warning_is_told(tmp_path, monkeypatch):
    u = entry("2juy")
    path = str(tmp_path / "a.gro")
    u.atoms.write(path)
    read = GROReader._read_first_frame

    def warns(self):
        warnings.warn("the third  column is\nguessed.", stacklevel=1)
        logging.getLogger("MDAnalysis.coordinates.GRO").warning("another thing")
        warnings.warn("never mind", DeprecationWarning, stacklevel=1)
        read(self)

    monkeypatch.setattr(GROReader, "_read_first_frame", warns)
    said = notes(path)
    assert (
        f"{path}: its reader warns: the third column is guessed; its reader warns: "
        "another thing."
    ) in said
    assert not [note for note in said if "never mind" in note]


def test_an_error_is_told_alone(tmp_path, top):
    path = netcdf(tmp_path / "a.nc", version="1.1")
    u = mda.Universe.empty(3, trajectory=True)
    u.add_TopologyAttr("names", ["C"] * 3)
    u.add_TopologyAttr("elements", ["C"] * 3)
    u.atoms.write(tmp_path / "small.pdb")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MDGeomFeatWarning)
        with pytest.raises(InputError, match="has 12 atoms and the topology"):
            open_universe([tmp_path / "small.pdb", path])


# Modules of MDAnalysis and mdtraj that read what this package reads with them.
READERS = [
    *(f"MDAnalysis.coordinates.{name}" for name in (
        "TRJ", "TRZ", "TXYZ", "XYZ", "TRC", "TNG", "H5MD", "GSD", "GRO", "LAMMPS",
        "MMTF", "MOL2", "FHIAIMS", "DMS", "DLPoly", "NAMDBIN", "GMS", "PDBQT", "PQR",
        "CRD", "DCD", "timestep",
    )),
    *(f"MDAnalysis.topology.{name}" for name in (
        "CRDParser", "DLPolyParser", "DMSParser", "FHIAIMSParser", "GMSParser",
        "GROParser", "GSDParser", "ITPParser", "LAMMPSParser", "MMCIFParser",
        "MMTFParser", "MOL2Parser", "PDBParser", "PDBQTParser", "PQRParser",
        "PSFParser", "TOPParser", "TPRParser", "TXYZParser", "XYZParser",
        "HoomdXMLParser",
    )),
    "MDAnalysis.guesser.default_guesser",
    "mdtraj.formats.amberrst",
    "mdtraj.formats.hdf5",
]  # fmt: skip
# What is not asked of them, or is tested above: the name of a block is filled in.
NEVER = (
    "7 block is not supported!",
    "Some of the additional columns are not present",
    "The .h5 extension is recommended.",  # in writing
    "netCDF4 is not available. Writing",
    "Trajectory contains a single atom: assuming periodic=False",  # Amber's text
)


def warned_in(module: str) -> list[str]:
    """Return what a module warns of, and what it logs, but for its writers."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    texts = []

    def visit(node, named):
        for child in ast.iter_child_nodes(node):
            name = getattr(child, "name", "")
            if isinstance(child, ast.ClassDef) and name.endswith("Writer"):
                continue
            if isinstance(child, ast.FunctionDef):
                own = {}
                for part in ast.walk(child):
                    if isinstance(part, ast.Assign):
                        own[ast.unparse(part.targets[0])] = part.value
                visit(child, own)
                continue
            if isinstance(child, ast.Call) and child.args:
                called = ast.unparse(child.func)
                category = [ast.unparse(a) for a in child.args[1:]]
                category += [ast.unparse(k.value) for k in child.keywords]
                if called in ("warnings.warn", "logger.warning") and not any(
                    "Deprecation" in c for c in category
                ):
                    value = child.args[0]
                    texts.append(text_of(named.get(ast.unparse(value), value)))
            visit(child, named)

    visit(tree, {})
    return texts


def text_of(node: ast.AST) -> str:
    """Write a text with numbers in the place of what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return text_of(node.func.value).format(*[7] * 9, miss=7, s=7)
    return "7"


@pytest.mark.parametrize("module", [m for m in READERS if not m.endswith("timestep")])
def test_every_warning_of_a_reader_is_known(module):
    if module.endswith("TNG"):
        pytest.importorskip("pytng")
    unknown = [
        text
        for text in warned_in(module)
        if (reader_warnings._words(text) or "").startswith("its reader warns")
    ]
    assert [t for t in unknown if not t.startswith(NEVER)] == []


def test_the_walk_through_sources_finds_warnings():
    found = warned_in("MDAnalysis.topology.PDBParser")
    assert any("CONECT records was corrupt" in text for text in found)
    assert any("does not match number" in text
               for text in warned_in("MDAnalysis.topology.TOPParser"))  # fmt: skip
