"""From a topology and a choice of atoms to the arrays of a Structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mdgeomfeat.boxes import nearest_image
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure.checks import check_bonds, integers
from mdgeomfeat.structure.elements import (
    VIRTUAL,
    element_numbers,
    refuse_unknown,
    warn_guessed,
)
from mdgeomfeat.structure.forest import spanning_forest

if TYPE_CHECKING:
    from mdgeomfeat.structure.topology import AtomTable

__all__ = ["Tokens", "build_arrays", "plain_arrays", "token_table"]

#: A word, or one integer per selected atom.
Tokens = Literal["residue", "atom", "molecule"] | Sequence[int] | np.ndarray


def build_arrays(
    table: AtomTable, indices: np.ndarray, tokens: Tokens
) -> dict[str, Any]:
    """Return the fields of a :class:`~mdgeomfeat.structure.Structure`.

    Parameters
    ----------
    table : AtomTable
    indices : (A,) ndarray of int64
        Chosen atoms, each once, in the order they are to have.
    tokens : {"residue", "atom", "molecule"} or (A,) array_like of int

    Raises
    ------
    InputError
        If no atom is selected, one of them has no nucleus, or the tokens do not fit
        the atoms.
    """
    if not len(indices):
        raise InputError("No atoms are selected; choose some with select.")
    numbers, guessed = element_numbers(table, indices)
    refuse_unknown(table, indices, numbers)
    if (numbers == VIRTUAL).any():
        names = sorted({str(n) for n in table.names[indices[numbers == VIRTUAL]]})
        raise InputError(
            f"The atoms hold {int((numbers == VIRTUAL).sum())} virtual sites or dummy "
            f"atoms ({' '.join(names[:8])}); pick atoms with "
            "mdgeomfeat.structure.selection.select_atoms, which leaves them out."
        )
    warn_guessed(table, indices, numbers, guessed)

    rows, residue = np.unique(table.residue[indices], return_inverse=True)
    residue = residue.ravel()
    following = _follow(table, rows)
    bonds = _local_bonds(table, indices)
    fragment = _fragments(table)
    positions = None if table.positions is None else table.positions[indices]
    parent, order = spanning_forest(
        residue,
        following,
        bonds,
        None if fragment is None else fragment[indices],
        positions,
        _possible_box(table.box, positions, numbers),
    )
    token = _tokens(tokens, residue, indices, fragment)
    first = np.unique(token, return_index=True)[1]
    home = rows[residue[first]]
    return {
        "numbers": numbers,
        "token_of_atom": token,
        "tokens": token_table(
            table.segids[home],
            table.chainids[home],
            table.resids[home],
            table.icodes[home],
            table.resnames[home],
            np.bincount(token),
        ),
        "chain": _chains(tokens, token, residue, following),
        "names": np.array([str(n) for n in table.names[indices]], dtype=np.str_),
        "bonds": bonds,
        "indices": indices,
        "parent": parent,
        "order": order,
    }


def _possible_box(
    box: np.ndarray | None, positions: np.ndarray | None, numbers: np.ndarray
) -> np.ndarray | None:
    """Return a box unless atoms would overlap images in it, which hides bonds."""
    if box is None or positions is None:
        return box
    return None if np.isfinite(nearest_image(positions, box, numbers)) else box


def plain_arrays(
    numbers: Any,
    token_of_atom: Any = None,
    *,
    chain: Any = None,
    bonds: Any = None,
    names: Sequence[str] | None = None,
    resnames: Sequence[str] | None = None,
    resids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return the fields of a Structure of atoms that have no topology.

    Parameters
    ----------
    numbers, token_of_atom, chain, bonds, names, resnames, resids
        As in :meth:`~mdgeomfeat.structure.Structure.from_arrays`.

    Raises
    ------
    InputError
        If the arrays do not fit each other.
    """
    numbers = integers(numbers, "numbers")
    a = len(numbers)
    token = (
        np.arange(a)
        if token_of_atom is None
        else integers(token_of_atom, "token_of_atom")
    )
    if len(token) != a:
        raise InputError(
            f"token_of_atom has {len(token)} values for {a} atoms; give one each."
        )
    if a == 0 or token.min() < 0:
        raise InputError(
            "numbers= and token_of_atom= must describe at least one atom, with "
            "tokens numbered from 0."
        )
    n = int(token.max()) + 1
    chain = np.zeros(n, np.int64) if chain is None else integers(chain, "chain")
    if len(chain) != n:
        raise InputError(
            f"chain= has {len(chain)} values for {n} tokens; give one value per token."
        )
    chain = _stretches(chain)
    if bonds is not None:
        bonds = integers(bonds, "bonds", ndim=2)
        check_bonds(bonds, a)
    following = np.where(np.diff(chain, append=-1) == 0, np.arange(1, n + 1), -1)
    parent, order = spanning_forest(token, following, bonds, None, None, None)
    blank = [""] * n
    return {
        "numbers": numbers,
        "token_of_atom": token,
        "tokens": token_table(
            blank,
            blank,
            resids if resids is not None else range(1, n + 1),
            blank,
            resnames if resnames is not None else ["TOK"] * n,
            np.bincount(token, minlength=n),
        ),
        "chain": chain,
        "names": np.array(names if names is not None else [""] * a, dtype=np.str_),
        "bonds": bonds,
        "indices": np.arange(a),
        "parent": parent,
        "order": order,
    }


def token_table(
    segids: Iterable[str],
    chainids: Iterable[str],
    resids: Iterable[int],
    icodes: Iterable[str],
    resnames: Iterable[str],
    n_atoms: Iterable[int],
) -> np.ndarray:
    """Pack the columns of the token table into a structured array, (N,)."""
    columns = {
        "segid": np.array([str(v) for v in segids], dtype=np.str_),
        "chainID": np.array([str(v) for v in chainids], dtype=np.str_),
        "resid": np.array(list(resids), dtype=np.int64),
        "icode": np.array([str(v) for v in icodes], dtype=np.str_),
        "resname": np.array([str(v) for v in resnames], dtype=np.str_),
        "n_atoms": np.array(list(n_atoms), dtype=np.int64),
    }
    table = np.empty(
        len(columns["resid"]), dtype=[(k, v.dtype) for k, v in columns.items()]
    )
    for name, column in columns.items():
        table[name] = column
    return table


def _follow(table: AtomTable, rows: np.ndarray) -> np.ndarray:
    """Find the selected residue that follows in the chain, (R,), -1 if none."""
    following = np.full(len(rows), -1, dtype=np.int64)
    for i, (first, second) in enumerate(pairwise(rows)):
        if table.connected(int(first), int(second)):
            following[i] = i + 1
    return following


def _local_bonds(table: AtomTable, indices: np.ndarray) -> np.ndarray | None:
    if table.bonds is None:
        return None
    local = np.full(table.n_atoms, -1, dtype=np.int64)
    local[indices] = np.arange(len(indices))
    bonds = local[table.bonds]
    whole: np.ndarray = bonds[(bonds >= 0).all(axis=1)]
    return whole


def _fragments(table: AtomTable) -> np.ndarray | None:
    """Bonded fragment of each atom of the topology, if its bonds can be trusted."""
    if table.bonds is None or not table.fully_bonded.any():
        return None
    n = table.n_atoms
    weights = np.ones(len(table.bonds), dtype=np.int8)
    graph = coo_matrix((weights, (table.bonds[:, 0], table.bonds[:, 1])), shape=(n, n))
    _, components = connected_components(graph, directed=False)
    # Residues whose bonds are incomplete are one component each.
    loose = ~table.fully_bonded[table.residue]
    fragment: np.ndarray = components.astype(np.int64)
    fragment[loose] = fragment.max() + 1 + table.residue[loose]
    return fragment


def _tokens(
    tokens: Tokens,
    residue: np.ndarray,
    indices: np.ndarray,
    fragment: np.ndarray | None,
) -> np.ndarray:
    if isinstance(tokens, str):
        if tokens == "residue":
            return residue
        if tokens == "atom":
            return np.arange(len(indices))
        if tokens == "molecule":
            if fragment is None:
                raise InputError(
                    "tokens='molecule' needs bonds, and the topology has none; use a "
                    "topology with bonds, or add them with "
                    "universe.atoms.guess_bonds() (MDAnalysis: "
                    "Universe(..., guess_bonds=True))."
                )
            _, first, token = np.unique(
                fragment[indices], return_index=True, return_inverse=True
            )
            return np.argsort(np.argsort(first))[token.ravel()]
        raise InputError(
            f"tokens={tokens!r} is not known; use 'residue', 'atom', 'molecule', or "
            "one whole number per selected atom."
        )
    array = np.asarray(tokens)
    if array.shape != (len(indices),) or array.dtype.kind not in "iu":
        raise InputError(
            f"tokens= has {array.dtype} values of shape {array.shape}, and "
            f"{len(indices)} atoms are selected; give one whole number per atom."
        )
    return np.unique(array, return_inverse=True)[1].ravel()


def _chains(
    tokens: Tokens, token: np.ndarray, residue: np.ndarray, following: np.ndarray
) -> np.ndarray:
    """Find the unbroken chains that consecutive tokens form, (N,)."""
    n = int(token.max()) + 1
    if isinstance(tokens, str) and tokens == "molecule":
        return np.arange(n)
    # A token goes from its first to its last residue; it is followed by a token that
    # begins in the same residue, or in the one that follows in the chain.
    low = np.full(n, len(following), dtype=np.int64)
    high = np.full(n, -1, dtype=np.int64)
    np.minimum.at(low, token, residue)
    np.maximum.at(high, token, residue)
    joined = (low[1:] == high[:-1]) | (following[high[:-1]] == low[1:])
    return np.concatenate([[0], np.cumsum(~joined)]).astype(np.int64)


def _stretches(values: np.ndarray) -> np.ndarray:
    """Count up the runs of equal values: 5 5 2 5 gives 0 0 1 2."""
    return np.concatenate([[0], np.cumsum(np.diff(values) != 0)]).astype(np.int64)
