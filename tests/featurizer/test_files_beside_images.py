"""Features of files with boxes, beside a cluster of images built from the numbers.

Every file is written here by the letter of its format: a chain longer than its box, in
a rhombic dodecahedron or a sheared box, wrapped into the cell frame by frame.
"""

from __future__ import annotations

import gzip
import struct

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import error
from MDAnalysis.lib.formats.libmdaxdr import TRRFile
from scipy.io import netcdf_file
from test_images import DODECAHEDRON, cluster_scalars, polymers, vectors_of, wrapped

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.reading import open_universe, trajectory_info

LENGTH = 24
SHEARED = [24.0, 22.0, 20.0, 70.0, 105.0, 65.0]
# A file holds three decimals, most of them; moving the chain rounds it anew.
LIMIT = 2e-3


def made(box, n_frames=3):
    x, numbers = polymers(LENGTH, 1, DODECAHEDRON)
    frames = [wrapped(x + np.array([5.0 * k, -3.0, 8.0]), box) for k in range(n_frames)]
    return x, numbers, np.array(frames)


def symbols(numbers):
    return [{6: "C", 8: "O"}[z] for z in numbers]


def pdb(path, numbers, frames, box, *, first="", before="", after="ENDMDL\n"):
    text = "" if box is None else (
        "CRYST1" + "".join(f"{v:9.3f}" for v in box[:3])
        + "".join(f"{v:7.2f}" for v in box[3:]) + " P 1           1\n"
    )  # fmt: skip
    text = first + text
    for x in frames:
        text += before + "".join(
            f"HETATM{i + 1:5d} {e}{i:<3d} POL A   1    "
            + "".join(f"{v:8.3f}" for v in x[i])
            + f"  1.00  0.00          {e:>2s}\n"
            for i, e in enumerate(symbols(numbers))
        ) + after  # fmt: skip
    path.write_text(text + "END\n")
    return [path]


def endmdl(folder, numbers, frames, box):
    return pdb(folder / "a.pdb", numbers, frames, box)


def packed_pdb(folder, numbers, frames, box):
    (plain,) = pdb(folder / "a.pdb", numbers, frames, box)
    path = folder / "b.pdb.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return [path]


def mmcif(folder, numbers, frames, box):
    names = ["length_a", "length_b", "length_c"]
    names += ["angle_alpha", "angle_beta", "angle_gamma"]
    text = "data_x\n"
    text += "".join(f"_cell.{k} {v}\n" for k, v in zip(names, box, strict=True))
    columns = str.split(
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id "
        "label_asym_id label_entity_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y "
        "Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    )
    text += "loop_\n" + "".join(f"_atom_site.{c}\n" for c in columns)
    for model, x in enumerate(frames, 1):
        for i, e in enumerate(symbols(numbers)):
            place = " ".join(f"{v:.3f}" for v in x[i])
            text += f"HETATM {i + 1} {e} {e}{i} . POL A 1 . ? {place} 1 0 1 A {model}\n"
    (folder / "a.cif").write_text(text)
    return [folder / "a.cif"]


def forces_first(folder, numbers, frames, box):
    lattice = " ".join(f"{v:.9f}" for v in vectors_of(box).ravel())
    text = ""
    for x in frames:
        text += f"{len(x)}\nProperties=species:S:1:forces:R:3:pos:R:3:tag:I:1 "
        text += f'Lattice="{lattice}" energy=-1.5\n'
        for i, e in enumerate(symbols(numbers)):
            text += f"{e} 0.1 -7.5 {i}.0 " + " ".join(f"{v:.4f}" for v in x[i]) + " 1\n"
    (folder / "a.xyz").write_text(text)
    return [folder / "a.xyz"]


def dump(columns, *, origin=(0.0, 0.0, 0.0)):
    """Return a writer of LAMMPS dumps: atoms in any order, the box where it lies."""

    def write(folder, numbers, frames, box):
        v, low = vectors_of(box), np.array(origin)
        xy, xz, yz = v[1, 0], v[2, 0], v[2, 1]
        high = low + np.diag(v)
        bounds = [
            (low[0] + min(0, xy, xz, xy + xz), high[0] + max(0, xy, xz, xy + xz), xy),
            (low[1] + min(0, yz), high[1] + max(0, yz), xz),
            (low[2], high[2], yz),
        ]
        text = ""
        for k, x in enumerate(frames):
            text += f"ITEM: TIMESTEP\n{500 * k}\nITEM: NUMBER OF ATOMS\n{len(x)}\n"
            text += "ITEM: BOX BOUNDS xy xz yz pp pp pp\n"
            text += "".join(" ".join(f"{b:.9f}" for b in row) + "\n" for row in bounds)
            text += f"ITEM: ATOMS id type element {columns}\n"
            place = x @ np.linalg.inv(v) if "s" in columns else x + low
            order = np.random.default_rng(k).permutation(len(x))
            e = symbols(numbers)
            text += "".join(
                f"{i + 1} 1 {e[i]} " + " ".join(f"{p:.7f}" for p in place[i]) + "\n"
                for i in order
            )
        (folder / "a.lammpstrj").write_text(text)
        return [folder / "a.lammpstrj"]

    return write


def topology(folder, numbers, frames):
    return pdb(folder / "top.pdb", numbers, frames[:1], None)


def dcd(order, n_fixed=0):
    """Return a writer of DCD files of a byte order, perhaps with fixed atoms."""

    def write(folder, numbers, frames, box):
        n = len(numbers)
        frames = frames.copy()
        frames[:, :n_fixed] = frames[0, :n_fixed]

        def record(content):
            size = struct.pack(order + "i", len(content))
            return size + content + size

        head = [len(frames), 500, 500, 500 * len(frames), 0, 0, 0, 3 * n, n_fixed]
        content = record(
            b"CORD" + struct.pack(order + "9i", *head)
            + struct.pack(order + "f", 0.002 / 0.04888821)
            + struct.pack(order + "10i", 1, *[0] * 8, 24)
        )  # fmt: skip
        content += record(struct.pack(order + "i", 1) + b"built".ljust(80))
        content += record(struct.pack(order + "i", n))
        if n_fixed:
            free = range(n_fixed + 1, n + 1)
            content += record(struct.pack(f"{order}{n - n_fixed}i", *free))
        cosine = np.cos(np.deg2rad(box[3:]))
        cell = box[0], cosine[2], box[1], cosine[1], cosine[0], box[2]
        for k, x in enumerate(frames):
            content += record(struct.pack(order + "6d", *cell))
            for axis in (x if k == 0 else x[n_fixed:]).T:
                content += record(axis.astype(order + "f4").tobytes())
        (folder / "a.dcd").write_bytes(content)
        return [*topology(folder, numbers, frames), folder / "a.dcd"]

    return write


def velocities_between(folder, numbers, frames, box):
    h = (vectors_of(box) / 10).astype(np.float32)
    n = len(numbers)
    with TRRFile(str(folder / "a.trr"), "w") as file:
        for k, x in enumerate((frames / 10).astype(np.float32)):
            # MDAnalysis empties the array that it writes as velocities.
            file.write(None, x.copy(), None, h, 500 * k, 2.0 * k, 0.0, n)
            file.write(x, None, None, h, 500 * k + 250, 2.0 * k + 1, 0.0, n)
    return [*topology(folder, numbers, frames), folder / "a.trr"]


def netcdf_without_time(folder, numbers, frames, box):
    with netcdf_file(folder / "a.nc", "w", version=2) as file:
        file.Conventions, file.ConventionVersion = "AMBER", "1.0"
        file.program, file.programVersion = "built", "1"
        sizes = {"frame": None, "spatial": 3, "atom": len(numbers)}
        for name, size in (sizes | {"cell_spatial": 3, "cell_angular": 3}).items():
            file.createDimension(name, size)
        places = file.createVariable("coordinates", "f", ("frame", "atom", "spatial"))
        places.units = "angstrom"
        a = file.createVariable("cell_lengths", "d", ("frame", "cell_spatial"))
        b = file.createVariable("cell_angles", "d", ("frame", "cell_angular"))
        a.units, b.units = "angstrom", "degree"
        for k, x in enumerate(frames):
            places[k], a[k], b[k] = x, box[:3], box[3:]
    return [*topology(folder, numbers, frames), folder / "a.nc"]


def mol2(folder, numbers, frames, box):
    text = ""
    for x in frames:
        text += f"@<TRIPOS>MOLECULE\nPOL\n {len(x)} 0 0 0 0\nSMALL\nUSER_CHARGES\n\n"
        text += "@<TRIPOS>ATOM\n" + "".join(
            f"{i + 1:7d} {e}{i} " + " ".join(f"{v:.4f}" for v in x[i])
            + f" {e}.3 1 POL 0.0\n"
            for i, e in enumerate(symbols(numbers))
        )  # fmt: skip
        text += f"@<TRIPOS>CRYSIN\n {' '.join(f'{v:.4f}' for v in box)} 1 1\n"
    (folder / "a.mol2").write_text(text)
    return [folder / "a.mol2"]


def gro(folder, numbers, frames, box):
    """Write the topology and one frame as GROMACS does, which turns no cell."""
    x, v = frames[-1] / 10, vectors_of(box) / 10
    text = f"chain t= 20.00000 step= 10000\n{len(x):5d}\n"
    text += "".join(
        f"{1:5d}{'POL':<5s}{e + str(i):>5s}{i + 1:5d}"
        + "".join(f"{p:9.4f}" for p in x[i]) + "\n"
        for i, e in enumerate(symbols(numbers))
    )  # fmt: skip
    order = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    text += "".join(f"{v[k]:10.5f}" for k in order) + "\n"
    (folder / "a.gro").write_text(text)
    return [folder / "a.gro"]


FILES = {
    "ENDMDL without MODEL": (endmdl, DODECAHEDRON),
    "packed PDB": (packed_pdb, SHEARED),
    "mmCIF of several models": (mmcif, DODECAHEDRON),
    "forces before positions": (forces_first, DODECAHEDRON),
    "forces before positions, sheared": (forces_first, SHEARED),
    "dump of scaled positions": (dump("xs ys zs"), SHEARED),
    "dump of unwrapped positions": (dump("xu yu zu"), SHEARED),
    "dump of scaled, unwrapped positions": (dump("xsu ysu zsu"), DODECAHEDRON),
    "dump with its origin elsewhere": (dump("xs ys zs", origin=(-4, 7, 2)), SHEARED),
    "big-endian DCD": (dcd(">"), DODECAHEDRON),
    "DCD": (dcd("<"), SHEARED),
    "TRR with frames of velocities": (velocities_between, DODECAHEDRON),
    "NetCDF without times": (netcdf_without_time, SHEARED),
    "MOL2 of several frames": (mol2, SHEARED),
    "GRO": (gro, DODECAHEDRON),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_features_are_those_of_the_cluster_of_images(model, tmp_path, name):
    if "mmCIF" in name:
        pytest.importorskip("gemmi")
    if "forces" in name:
        pytest.importorskip("ase")
    write, box = FILES[name]
    x, numbers, frames = made(box)
    u = open_universe(write(tmp_path, numbers, frames, box))
    frames = frames[-1:] if name == "GRO" else frames
    assert len(u.trajectory) == len(frames)
    got = GeomGNNFeaturizer(
        u, select="all", tokens="atom", model=model, engine="torch", device="cpu"
    ).run().results  # fmt: skip
    scalars, _ = cluster_scalars(model, x, numbers, box)
    for frame in range(len(frames)):
        assert error(got.scalars[frame], scalars) < LIMIT


@pytest.mark.parametrize("order", ["<", ">"])
def test_dcd_files_of_either_byte_order_tell_their_times(tmp_path, order):
    _, numbers, frames = made(SHEARED)
    files = dcd(order, n_fixed=4)(tmp_path, numbers, frames, SHEARED)
    u = open_universe(files)
    (info,) = trajectory_info(u)
    assert (info.dt, info.first_time) == (pytest.approx(1.0), pytest.approx(1.0))
    frames[:, :4] = frames[0, :4]
    for ts, x in zip(u.trajectory, frames, strict=True):
        np.testing.assert_allclose(ts.positions, x, atol=1e-4)
    # MDAnalysis's own reader has the bytes of the time step in the wrong order.
    (plain,) = trajectory_info(mda.Universe(*map(str, files)))
    assert plain.dt == (pytest.approx(1.0) if order == "<" else None)
