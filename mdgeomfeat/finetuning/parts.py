"""The parts of a set, and whether one of them tells of another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .labels import LabelledSet

__all__ = ["Indices", "Parts", "check_leaks", "conformation_keys", "scaffolds"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Indices of the parts of a set.

    Parameters
    ----------
    train, validation, test : ndarray of int64
    method : str
        How they were chosen: "random", "scaffold", "time" or "given".
    gap : int
        Frames that a method "time" left out between the parts.
    independent : bool
        Whether conformations of one molecule may stand in several parts.
    left_out : dict
        Why how many are in none of the parts.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.finetuning import Parts
    >>> parts = Parts(np.array([0, 1]), np.array([2]), np.array([3, 4]))
    >>> list(parts.named()), parts.method
    (['train', 'validation', 'test'], 'given')
    """

    train: Indices
    validation: Indices
    test: Indices
    method: str = "given"
    gap: int = 0
    independent: bool = False
    left_out: dict[str, int] = field(default_factory=dict)

    def named(self) -> dict[str, Indices]:
        """Return the parts by name."""
        return {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }

    @property
    def sha256(self) -> str:
        """Hash of the indices."""
        digest = hashlib.sha256()
        for name, indices in self.named().items():
            digest.update(name.encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()


def scaffolds(data: LabelledSet) -> NDArray[np.str_]:
    """Bemis-Murcko scaffold of each molecule; one without rings is its own.

    Parameters
    ----------
    data : LabelledSet

    Returns
    -------
    ndarray of str, shape (n,)

    Raises
    ------
    InputError
        If the labels have no SMILES.
    """
    if data.smiles is None:
        raise InputError(
            "Scaffolds are found from SMILES, which the labels do not have; use "
            "another split or give labels with SMILES."
        )
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    rings = [MurckoScaffoldSmiles(text) for text in data.smiles]
    return np.array(
        [s or f"acyclic {k}" for s, k in zip(rings, data.keys, strict=True)]
    )


def conformation_keys(data: LabelledSet) -> list[bytes]:
    """Hash of each conformation, the same where atoms stand at the same places.

    Parameters
    ----------
    data : LabelledSet

    Returns
    -------
    list of bytes
    """
    found = []
    for one in data.graphs:
        x = one.pos.double().numpy()
        # Sorted distances from the centre do not change with rotation or translation.
        radii = np.sort(np.linalg.norm(x - x.mean(axis=0), axis=1))
        text = np.sort(one.z.numpy()).tobytes() + np.rint(radii * 1e4).tobytes()
        found.append(hashlib.sha256(text).digest())
    return found


def check_leaks(
    data: LabelledSet, parts: Parts, tests: Iterable[LabelledSet] = ()
) -> None:
    """Refuse parts of which one tells of another.

    Parameters
    ----------
    data : LabelledSet
    parts : Parts
    tests : iterable of LabelledSet
        Sets that are only tested on.

    Raises
    ------
    InputError
        If an entry, a conformation or (unless they are independent) a molecule stands
        in two parts, if frames of different parts are closer than the gap, or if a
        class occurs in tests only.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> import numpy as np
    >>> from mdgeomfeat.finetuning import Parts, check_leaks
    >>> check_leaks(data, Parts(np.array([0, 1]), np.array([1]), np.array([2])))
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The split leaks: entry 1 stands in train and in ...
    """
    named = parts.named()
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    for one, other in pairs:
        both = np.intersect1d(named[one], named[other])
        if len(both):
            raise InputError(
                f"The split leaks: entry {both[0]} stands in {one} and in {other}."
            )
        if parts.method == "time":
            _check_gap(data.keys, named[one], named[other], parts.gap)
        elif not parts.independent:
            same = np.intersect1d(data.keys[named[one]], data.keys[named[other]])
            if len(same):
                raise InputError(
                    "The split leaks: conformations of the molecule "
                    f"{str(same[0])!r} stand in {one} and in {other}."
                )
    if parts.method == "scaffold":
        groups = scaffolds(data)
        for one, other in pairs:
            same = np.intersect1d(groups[named[one]], groups[named[other]])
            if len(same):
                raise InputError(
                    f"The split leaks: the scaffold {str(same[0])!r} stands in {one} "
                    f"and in {other}."
                )
    keys = conformation_keys(data)
    trained = {keys[i]: i for i in parts.train}
    for where, index, key in (
        *(("test", i, keys[i]) for i in parts.test),
        *(("validation", i, keys[i]) for i in parts.validation),
        *(
            (f"the tests of file {n}", i, key)
            for n, extra in enumerate(tests, 1)
            for i, key in enumerate(conformation_keys(extra))
        ),
    ):
        if key in trained:
            raise InputError(
                f"The split leaks: entry {index} of {where} is the same conformation "
                f"as entry {trained[key]}, which is trained on."
            )
    if data.reading.kind == "classes":
        _check_classes(data, parts, tests)


def _check_gap(keys: NDArray[np.str_], one: Indices, other: Indices, gap: int) -> None:
    for key in np.intersect1d(keys[one], keys[other]):
        rank = np.cumsum(keys == key)
        first = rank[one[keys[one] == key]]
        second = rank[other[keys[other] == key]]
        place = np.searchsorted(second, first)
        near = [
            np.abs(second[np.clip(place + step, 0, len(second) - 1)] - first).min()
            for step in (-1, 0)
        ]
        if min(near) <= gap:
            raise InputError(
                f"The split leaks: frames of two parts are {min(near)} apart, and "
                f"{gap} are to be left out between them."
            )


def _check_classes(
    data: LabelledSet, parts: Parts, tests: Iterable[LabelledSet]
) -> None:
    def classes(source: LabelledSet, indices: Iterable[int]) -> set[int]:
        return {int(source.graphs[i].y) for i in indices}

    known = classes(data, parts.train)
    asked = classes(data, [*parts.validation, *parts.test])
    for extra in tests:
        asked |= classes(extra, range(len(extra)))
    if asked - known:
        raise InputError(
            f"The classes {sorted(asked - known)} occur in tests only, so that they "
            "cannot be learnt; leave them out or split otherwise."
        )
