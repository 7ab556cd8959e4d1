"""One protein domain of a file: which atoms, where they are, and which residue's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..gnn import Backbone
from ..reading import open_universe
from ..structure import Structure
from ..structure.selected import select_structure

__all__ = ["BACKBONE", "Domain", "read_domain", "refuse_elements", "without_selenium"]

#: The atoms that give a residue its frame.
BACKBONE: Final = ("N", "CA", "C")
# Arrays of a domain's file in the layout of IEConv's data, with their axes.
_ARRAYS: Final = (
    "atom_pos",
    "atom_types",
    "atom_names",
    "atom_amino_id",
    "atom_residue_names",
    "atom_chain_ids",
)
_HDF5: Final = (".hdf5", ".h5")
# Å; the bond has 1.33 and carbons alpha of neighbours are 2.9 or 3.8 apart.
_PEPTIDE_BOND: Final = 2.0
_NEXT_ALPHA: Final = 4.5
_SELENIUM, _SULFUR = 34, 16


@dataclass(frozen=True)
class Domain:
    """A protein, or a part of one, in one conformation.

    Parameters
    ----------
    name : str
    structure : Structure
        Its heavy atoms; tokens are residues.
    positions : (A, 3) ndarray of float64, Å

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.folds import Domain
    >>> structure = Structure.from_arrays([7, 6, 6], [0, 0, 0], names=["N", "CA", "C"])
    >>> Domain("one", structure, np.eye(3)).backbone.shape
    (1, 3, 3)
    """

    name: str
    structure: Structure
    positions: NDArray[np.float64]

    @property
    def n_residues(self) -> int:
        """T, the number of residues."""
        return self.structure.n_tokens

    @property
    def residues(self) -> list[str]:
        """Names (T,) of the residues."""
        return [str(name) for name in self.structure.tokens["resname"]]

    @cached_property
    def backbone(self) -> NDArray[np.float64]:
        """Positions (T, 3, 3) of N, CA and C, Å; not a number where there is none."""
        found = np.full((self.n_residues, len(BACKBONE), 3), np.nan)
        for column, name in enumerate(BACKBONE):
            atoms = np.flatnonzero(self.structure.names == name)[::-1]
            # of several of a name, the first one stays
            found[self.structure.token_of_atom[atoms], column] = self.positions[atoms]
        return found


def read_domain(
    path: str | Path,
    *,
    max_residues: int | None = None,
    selenium_as_sulfur: bool = False,
) -> Domain:
    """Read a domain from a structure file, or from HDF5 in the layout of IEConv.

    Parameters
    ----------
    path : path
        ``.hdf5`` or ``.h5``: arrays ``atom_pos`` (conformations, atoms, 3) in Å, of
        which the first conformation is taken, ``atom_types`` (atoms,), the atomic
        numbers minus 1, ``atom_names``, ``atom_residue_names``, ``atom_chain_ids`` and
        ``atom_amino_id`` (atoms,), the number of the amino acid, -1 for all else.
        Other endings: whatever MDAnalysis reads that has coordinates, such as PDB.
    max_residues : int, optional
        Refuse larger ones.
    selenium_as_sulfur : bool
        Take selenomethionine for methionine.

    Returns
    -------
    Domain
        Its amino acids without hydrogens, whole chains as they stand in the file.

    Raises
    ------
    InputError
        If the file cannot be used, positions are not finite, or it is too large.

    Examples
    --------
    >>> from mdgeomfeat.folds import read_domain
    >>> domain = read_domain("top.pdb")
    >>> domain.n_residues, domain.positions.shape, domain.backbone.shape
    (3, (9, 3), (3, 3, 3))
    """
    path = Path(path)
    name = path.name.split(".")[0]
    reader = _from_hdf5 if path.suffix in _HDF5 else _from_structure
    structure, positions = reader(path)
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        raise InputError(
            f"{path} holds {len(wrong)} of {len(positions)} atoms with positions that "
            "are not finite; repair the file or leave the domain out."
        )
    if max_residues is not None and structure.n_tokens > max_residues:
        raise InputError(
            f"{path} has {structure.n_tokens} residues, more than the {max_residues} "
            "that are allowed; leave the domain out or allow more (max_residues=)."
        )
    domain = Domain(name, structure, positions)
    return without_selenium(domain) if selenium_as_sulfur else domain


def without_selenium(domain: Domain) -> Domain:
    """Return a domain whose selenomethionines have sulfur where selenium is.

    Parameters
    ----------
    domain : Domain
    """
    structure = domain.structure
    names = structure.tokens["resname"][structure.token_of_atom]
    selenium = (structure.numbers == _SELENIUM) & (names == "MSE")
    numbers = np.where(selenium, _SULFUR, structure.numbers)
    return replace(domain, structure=replace(structure, numbers=numbers))


def refuse_elements(domains: Iterable[Domain], network: Backbone) -> None:
    """Refuse domains with elements that a network was not trained on.

    Parameters
    ----------
    domains : iterable of Domain
    network : Backbone

    Raises
    ------
    InputError
        If there are any.
    """
    from ..structure.elements import SYMBOLS

    unseen: dict[str, tuple[int, ...]] = {}
    for domain in domains:
        others = network.unseen(np.unique(domain.structure.numbers))
        if others:
            unseen[domain.name] = others
    if not unseen:
        return
    symbols = sorted({SYMBOLS[z] for found in unseen.values() for z in found})
    names = ", ".join(list(unseen)[:3]) + (", …" if len(unseen) > 3 else "")
    also = " or, for selenomethionine, pass selenium_as_sulfur=True"
    raise InputError(
        f"The network has never seen {' or '.join(symbols)}, which {len(unseen)} "
        f"domains hold ({names}); leave them out{also if 'Se' in symbols else ''}."
    )


def _from_structure(path: Path) -> tuple[Structure, NDArray[np.float64]]:
    atoms, structure = select_structure(open_universe([path]))
    return structure, atoms.positions.astype(np.float64)


def _from_hdf5(path: Path) -> tuple[Structure, NDArray[np.float64]]:
    arrays = _hdf5_arrays(path)
    positions = np.asarray(arrays["atom_pos"], np.float64)
    if positions.ndim == 3:
        positions = positions[0]
    numbers = np.asarray(arrays["atom_types"], np.int64) + 1
    amino = np.asarray(arrays["atom_amino_id"], np.int64)
    lengths = {len(arrays[name]) for name in _ARRAYS[1:]} | {len(positions)}
    if len(lengths) > 1 or positions.shape[1:] != (3,):
        found = ", ".join(map(str, sorted(lengths)))
        raise InputError(
            f"The arrays of {path} have {found} entries; each must have one for every "
            "atom, and atom_pos three coordinates."
        )
    kept = np.flatnonzero((amino >= 0) & (numbers > 1))
    if not len(kept):
        raise InputError(f"{path} holds no atom of an amino acid; leave it out.")
    _, first, residue = np.unique(amino[kept], return_index=True, return_inverse=True)
    atom_names = _words(arrays["atom_names"])[kept]
    residue_names = _words(arrays["atom_residue_names"])[kept]
    positions = positions[kept]
    chains = np.asarray(arrays["atom_chain_ids"], np.int64)[kept][first]
    structure = Structure.from_arrays(
        numbers[kept],
        residue,
        chain=_unbroken(chains, positions, atom_names, residue),
        names=atom_names.tolist(),
        resnames=residue_names[first].tolist(),
        resids=(np.unique(amino[kept]) + 1).tolist(),
    )
    return structure, positions


def _hdf5_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "Domains in HDF5 need h5py; install it with mdgeomfeat[pretraining]."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            lacking = [name for name in _ARRAYS if name not in file]
            if not lacking:
                return {name: file[name][()] for name in _ARRAYS}
    except OSError as error:
        raise InputError(f"{path} cannot be read as HDF5; check the file.") from error
    raise InputError(
        f"{path} lacks {', '.join(lacking)}; a domain in HDF5 needs "
        f"{', '.join(_ARRAYS)}."
    )


def _words(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.array(
        [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]
    )


def _unbroken(
    chains: NDArray[np.int64],
    positions: NDArray[np.float64],
    names: NDArray[np.str_],
    residue: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return numbers (T,) of unbroken stretches of residues, by peptide bonds."""
    place = np.full((len(chains), len(BACKBONE), 3), np.nan)
    for column, name in enumerate(BACKBONE):
        atoms = np.flatnonzero(names == name)[::-1]
        place[residue[atoms], column] = positions[atoms]
    bond = np.linalg.norm(place[1:, 0] - place[:-1, 2], axis=1)
    alpha = np.linalg.norm(place[1:, 1] - place[:-1, 1], axis=1)
    # comparisons with what is not a number are false
    joined = np.where(np.isnan(bond), alpha < _NEXT_ALPHA, bond < _PEPTIDE_BOND)
    broken = (chains[1:] != chains[:-1]) | ~joined
    return np.concatenate([[0], np.cumsum(broken)])
