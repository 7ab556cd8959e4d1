"""Files that the tests of reading share."""

import shutil
import warnings

import MDAnalysis as mda
import pytest

N = 20


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    """A peptide of our own in every trajectory format, with times from 100 ps on."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(data / "gly2" / "gly2.pdb", folder / "top.pdb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = mda.Universe(folder / "top.pdb", data / "gly2" / "gly2-0.xtc")
        for name in ("t.xtc", "t.trr", "t.dcd", "t.nc", "second.xtc"):
            # Only DCD takes its step from here; the others write each frame's time.
            step = {"dt": 2.0} if name == "t.dcd" else {}
            with mda.Writer(str(folder / name), len(u.atoms), **step) as writer:
                for ts in u.trajectory[:N]:
                    ts.time = 100 + 2.0 * ts.frame
                    writer.write(u.atoms)
        with mda.Writer(str(folder / "models.pdb"), multiframe=True) as writer:
            for _ in u.trajectory[:5]:
                writer.write(u.atoms)
        u.atoms.write(str(folder / "top.gro"))
        u.atoms.write(str(folder / "frame.xyz"))
    return folder
