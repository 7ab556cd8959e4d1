"""A small molecule in every format, written with nothing but the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Atom name and element, an alanine-like residue with a chlorine and a thiol.
ATOMS = [
    ("N", "N"), ("CA", "C"), ("HA", "H"), ("CB", "C"), ("HB1", "H"), ("SG", "S"),
    ("HG", "H"), ("C", "C"), ("O", "O"), ("OXT", "O"), ("CD", "C"), ("NE", "N"),
]  # fmt: skip
NAMES = [name for name, _ in ATOMS]
ELEMENTS = [element for _, element in ATOMS]
NUMBERS = [{"H": 1, "C": 6, "N": 7, "O": 8, "S": 16}[e] for e in ELEMENTS]
N_ATOMS = len(ATOMS)


def frames(n: int, seed: int = 3) -> np.ndarray:
    """Return positions (n, A, 3), Å, with three decimals."""
    rng = np.random.default_rng(seed)
    chain = np.stack(
        [1.4 * np.arange(N_ATOMS), np.zeros(N_ATOMS), np.zeros(N_ATOMS)], 1
    )
    return np.round(chain + rng.normal(0, 0.3, (n, N_ATOMS, 3)), 3)


def pdb_line(
    i: int, xyz: np.ndarray, serial: str | None = None, resid: str | None = None,
    resname: str = "CYX",
) -> str:  # fmt: skip
    """Return one ATOM record of atom ``i`` (modulo the molecule's size)."""
    name, element = ATOMS[i % N_ATOMS]
    serial = f"{i + 1:5d}" if serial is None else serial
    resid = f"{i // N_ATOMS + 1:4d}" if resid is None else resid
    x, y, z = xyz
    return (
        f"ATOM  {serial} {name:^4s} {resname:3s} A{resid}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"  1.00  0.00          {element:>2s}\n"
    )


def pdb(
    path: Path,
    positions: np.ndarray,
    begin: str = "MODEL     {n:4d}\n",
    end: str = "ENDMDL\n",
    head: str = "",
    tail: str = "END\n",
) -> Path:
    """Write frames between two lines of any kind."""
    text = head
    for n, frame in enumerate(positions, 1):
        text += begin.format(n=n)
        text += "".join(pdb_line(i, xyz) for i, xyz in enumerate(frame))
        text += end
    path.write_text(text + tail)
    return path
