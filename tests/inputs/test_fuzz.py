"""Damaged files of every kind: an answer or one sentence, never a traceback."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from systems import entry
from topologies import mmcif, parm7, psf

TRAJECTORIES = ("t.xtc", "t.trr", "t.dcd", "t.nc", "t.h5")
TOPOLOGIES = ("top.pdb", "top.gro", "top.psf", "top.parm7", "top.cif")
SECONDS = 30
Damage = Callable[[np.random.Generator, bytes], bytes]


def cut(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(1, len(content))]


def flip_bits(rng: np.random.Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    # Most of them near the beginning, where a file says what it holds.
    end = len(damaged) if rng.random() < 0.4 else min(len(damaged), 1500)
    for _ in range(rng.integers(1, 8)):
        damaged[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(damaged)


def overwrite(rng: np.random.Generator, content: bytes) -> bytes:
    at, n = rng.integers(len(content)), rng.integers(1, 200)
    return content[:at] + rng.bytes(n) + content[at + n :]


def replace_all_but_the_head(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(0, 40)] + rng.bytes(rng.integers(1, 3000))


DAMAGES = (cut, flip_bits, overwrite, replace_all_but_the_head)


@pytest.fixture(scope="module")
def originals(write, top, data, tmp_path_factory) -> dict[str, Path]:
    """A sound file of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    found = {name: write(name) for name in ("t.xtc", "t.trr", "t.dcd", "t.nc")}
    found["top.pdb"] = top
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mda.Universe(top).atoms.write(str(folder / "top.gro"))
    found["top.gro"] = folder / "top.gro"
    try:
        import mdtraj
        import tables  # noqa: F401
    except ImportError:
        pass
    else:
        mdtraj.load(str(write("t.dcd")), top=str(top)).save_hdf5(folder / "t.h5")
        found["t.h5"] = folder / "t.h5"
    small = entry("1hvr").select_atoms("not element H and resid 26 27")
    u = mda.Merge(small)
    u.atoms.guess_bonds()
    found["top.psf"] = psf(folder / "top.psf", u)
    found["top.parm7"] = parm7(folder / "top.parm7", u)
    found["top.cif"] = mmcif(folder / "top.cif", small)
    return found


def check(result) -> None:
    assert result.exit_code in (0, 2), repr(result.exception)
    assert "Traceback" not in result.output
    assert "Exception ignored" not in result.output
    if result.exit_code == 2:
        said = [x for x in result.stderr.splitlines() if x.startswith("mdgeomfeat: ")]
        assert len(said) == 1, result.stderr


def damaged(originals, name: str, damage: Damage, n: int, folder: Path) -> Path:
    if name not in originals:
        pytest.skip(f"{name} needs a package that is not installed")
    seed = zlib.crc32(f"{name} {damage.__name__} {n}".encode())
    content = damage(np.random.default_rng(seed), originals[name].read_bytes())
    path = folder / f"{n}-{name}"
    path.write_bytes(content)
    return path


def run_damaged(run_cli, quick, originals, name, damage, n_files, folder) -> None:
    for n in range(n_files):
        path = damaged(originals, name, damage, n, folder)
        files = [path, originals["top.pdb"]] if name in TRAJECTORIES else [path]
        start = time.monotonic()
        if n % 2:
            check(run_cli("info", *files, *quick))
        else:
            check(run_cli("features", *files, *quick, "--out", folder / f"out-{n}"))
        assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", TRAJECTORIES + TOPOLOGIES)
def test_damaged_files(run_cli, quick, originals, tmp_path, name, damage):
    n_files = 1 if name == "t.h5" else 3
    run_damaged(run_cli, quick, originals, name, damage, n_files, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", TRAJECTORIES + TOPOLOGIES)
def test_many_damaged_files(run_cli, quick, originals, tmp_path, name, damage):
    run_damaged(run_cli, quick, originals, name, damage, 60, tmp_path)


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "top.pdb"])
def test_the_program_itself(originals, top, quick, tmp_path, name):
    """As a user runs it, so that a process that dies is seen, too."""
    path = damaged(originals, name, flip_bits, 0, tmp_path)
    files = [path, top] if name in TRAJECTORIES else [path]
    code = "from mdgeomfeat.cli import main; main()"
    arguments = ["info", *files, *quick]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=4 * SECONDS,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "suffix",
    ["pdb", "gro", "psf", "tpr", "parm7", "top", "itp", "cif", "mol2", "pqr", "crd",
     "xyz", "data", "xtc", "trr", "dcd", "nc", "h5", "pdb.gz", "gsd", "mmtf", "dms",
     "lammpsdump", "xml", "pdbqt", "inpcrd", "rst7", "bin", ""],
)  # fmt: skip
def test_random_bytes_under_any_name(run_cli, quick, top, tmp_path, suffix):
    rng = np.random.default_rng(zlib.crc32(suffix.encode()))
    for n, size in enumerate((3, 900)):
        path = tmp_path / (f"{n}.{suffix}" if suffix else f"{n}")
        path.write_bytes(rng.bytes(size))
        check(run_cli("info", path, *quick))
        check(run_cli("features", path, top, *quick, "--out", tmp_path / "out"))
