"""The folder of a biased simulation: what may be in it, and whose it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdgeomfeat.bias.simulation import CHECKPOINT, COLVAR, TRAJECTORY
from mdgeomfeat.commands.tables import write_json
from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    from mdgeomfeat.bias.systems import Simulated

__all__ = ["SETTINGS", "SYSTEM", "TOPOLOGY", "agree", "check_folder", "empty_folder"]

SETTINGS, SYSTEM, TOPOLOGY = "settings.json", "system.xml", "topology.pdb"
_OURS = (SETTINGS, SYSTEM, TOPOLOGY, COLVAR, TRAJECTORY, CHECKPOINT)
_WRITTEN = ("summary.json", "report.html", "figures", f"{COLVAR}.lock")


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds anything but a simulation of this command.

    Parameters
    ----------
    folder : Path
    overwrite : bool
        Whether a simulation that is there is begun anew.

    Raises
    ------
    InputError
        If something else is there, or a simulation whose settings are gone.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file, so --out must name another folder.")
    if not folder.is_dir():
        return
    known = {*_OURS, *_WRITTEN}
    strange = [
        entry.name
        for entry in sorted(folder.iterdir())
        if entry.name.removeprefix(".").removesuffix(".part") not in known
    ]
    if strange:
        raise InputError(
            f"The folder '{folder}' holds something other than a biased simulation "
            f"('{strange[0]}'); choose another with --out."
        )
    if not overwrite and any(folder.iterdir()) and not (folder / SETTINGS).is_file():
        raise InputError(
            f"The simulation in '{folder}' lacks {SETTINGS}; start over with "
            "--overwrite, or choose another folder with --out."
        )


def empty_folder(folder: Path) -> None:
    """Remove an earlier simulation; the checkpoint goes first, the settings last."""
    for name in (CHECKPOINT, COLVAR, TRAJECTORY, "summary.json", "report.html"):
        (folder / name).unlink(missing_ok=True)
    (folder / SETTINGS).unlink(missing_ok=True)


def agree(folder: Path, settings: dict[str, Any], simulated: Simulated) -> None:
    """Write settings and system, or compare with those that are there.

    Parameters
    ----------
    folder : Path
    settings : dict
        What must agree for a simulation to be gone on with, JSON types.
    simulated : Simulated

    Raises
    ------
    InputError
        Naming the first setting that differs, or if they cannot be read.
    """
    import openmm
    from openmm import app

    path = folder / SETTINGS
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(
                f"'{path}' is damaged ({error}); start over with --overwrite."
            ) from error
        here = json.loads(json.dumps(settings))
        for key in here:
            if there.get(key) != here[key]:
                raise InputError(
                    f"The simulation in '{folder}' was started with another {key} "
                    f"({_difference(there.get(key), here[key])}); give the same again, "
                    "choose another folder with --out, or start over with --overwrite."
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TOPOLOGY).open("w") as file:
        app.PDBFile.writeFile(
            simulated.topology, 10 * simulated.positions, file, keepIds=True
        )
    (folder / SYSTEM).write_text(openmm.XmlSerializer.serialize(simulated.system))
    write_json(path, settings)


def _difference(there: Any, here: Any) -> str:
    """Return the first thing that differs, in words."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in here:
            if there.get(key) != here[key]:
                return f"{key} {there.get(key)}, here {here[key]}"
    return f"{there}, here {here}"
