"""Which molecules or frames are trained on, and which are tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .config import SplitConfig
from .labels import LabelledSet
from .parts import Indices, Parts, check_leaks, scaffolds

__all__ = ["seen_molecules", "split"]


def split(data: LabelledSet, config: SplitConfig) -> Parts:
    """Choose the parts of a set.

    Parameters
    ----------
    data : LabelledSet
    config : SplitConfig

    Returns
    -------
    Parts
        Checked by `check_leaks`.

    Raises
    ------
    InputError
        If the set cannot be split as asked for.

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
    >>> from mdgeomfeat.finetuning import SplitConfig, split
    >>> config = SplitConfig(method="random", train=6, validation=2, independent=True)
    >>> parts = split(data, config)
    >>> {name: len(indices) for name, indices in parts.named().items()}
    {'train': 6, 'validation': 2, 'test': 4}
    """
    method = config.method
    one_molecule = len(set(data.keys)) == 1
    if method == "auto":
        method = "time" if one_molecule and not config.independent else "random"
    seen = seen_molecules(config.seen) if config.seen else frozenset()
    if seen and data.smiles is None:
        raise InputError(
            "Molecules that pre-training has seen are told by their SMILES, which the "
            "labels do not have; leave [split] seen out or give labels with SMILES."
        )
    hidden = np.isin(data.keys, sorted(seen))
    if method == "time":
        parts = _in_time(data.keys, hidden, config)
    else:
        if one_molecule and not config.independent:
            raise InputError(
                "All frames show one molecule, and parts of a trajectory that are "
                f"chosen at random leak; use method 'time' instead of '{method}', or "
                "say that the frames are independent."
            )
        groups: NDArray[Any] = data.keys
        if method == "scaffold":
            groups = scaffolds(data)
        elif config.independent:
            groups = np.arange(len(data))
        parts = _in_groups(groups, hidden, config, method)
    check_leaks(data, parts)
    return parts


def _numbers(n: int, config: SplitConfig) -> tuple[int, int, int]:
    """How many to train on, to validate with and to test on, of `n`."""
    train, validation, test = (
        round(value * n) if value < 1 else int(value)
        for value in (config.train, config.validation, config.test)
    )
    test = test if config.test else n - train - validation
    if train < 1 or test < 1 or train + validation + test > n:
        raise InputError(
            f"{train} to train on, {validation} to validate with and {test} to test on "
            f"cannot be taken from {n}; ask for fewer, and leave some to test on."
        )
    return train, validation, test


def _in_groups(
    groups: NDArray[Any],
    hidden: NDArray[np.bool_],
    config: SplitConfig,
    method: str,
) -> Parts:
    """Shuffle groups into test and validation; train on a sample of the rest.

    A group that does not fit is passed over, so parts are never larger than asked for.
    """
    rng = np.random.default_rng(config.seed)
    n_train, n_validation, n_test = _numbers(len(groups), config)
    _, number = np.unique(groups, return_inverse=True)
    members = np.split(
        np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))
    )
    order = [members[i] for i in rng.permutation(len(members) - 1)]
    taken: list[list[Indices]] = [[], []]
    rest: list[Indices] = []
    room = [n_test, n_validation]
    dropped = 0
    for group in order:
        shown = group[~hidden[group]]
        for part in (0, 1):
            if len(shown) > 0 and len(group) <= room[part]:
                taken[part].append(shown)
                room[part] -= len(group)
                dropped += len(group) - len(shown)
                break
        else:
            rest.append(group)
    left = np.concatenate(rest) if rest else np.empty(0, np.int64)
    if len(left) < n_train or not taken[0]:
        raise InputError(
            f"The {len(order)} groups of a {method} split cannot be shared out: "
            f"{len(left)} molecules are left of {n_train} to train on; ask for fewer."
        )
    test, validation = (
        np.sort(np.concatenate(part)) if part else np.empty(0, np.int64)
        for part in taken
    )
    train = np.sort(rng.permutation(left)[:n_train])
    reasons = {
        "seen in pre-training": dropped,
        "not needed": len(left) - len(train),
    }
    return Parts(
        train,
        validation,
        test,
        method=method,
        independent=config.independent and method == "random",
        left_out={why: n for why, n in reasons.items() if n},
    )


def _in_time(
    keys: NDArray[np.str_], hidden: NDArray[np.bool_], config: SplitConfig
) -> Parts:
    """Cut each molecule's frames, in their order, with gaps between the parts."""
    total = _numbers(len(keys), config)
    chosen: list[list[Indices]] = [[], [], []]
    for key in np.unique(keys):
        frames = np.flatnonzero(keys == key)
        share = len(frames) / len(keys)
        counts = [round(n * share) for n in total]
        gap = config.gap
        stops = np.cumsum(counts)
        starts = stops - counts
        # Gaps come out of what is tested on, and out of nothing that is trained on.
        for part, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            shift = gap * (part if counts[1] else min(part, 1))
            chosen[part].append(frames[start + shift : stop + shift])
    train, validation, test = (np.concatenate(part) for part in chosen)
    seen_tests = int(hidden[test].sum() + hidden[validation].sum())
    validation, test = validation[~hidden[validation]], test[~hidden[test]]
    if not len(train) or not len(test):
        raise InputError(
            f"A gap of {config.gap} frames leaves nothing to test on; ask for a "
            "smaller gap or fewer frames to train on."
        )
    used = len(train) + len(validation) + len(test) + seen_tests
    reasons = {"gap": len(keys) - used, "seen in pre-training": seen_tests}
    return Parts(
        train,
        validation,
        test,
        method="time",
        gap=config.gap,
        left_out={why: n for why, n in reasons.items() if n},
    )


def seen_molecules(path: str | Path) -> frozenset[str]:
    r"""Keys of the molecules that a network has seen in pre-training.

    Parameters
    ----------
    path : path
        Packed data of ``mdgeomfeat pretrain data`` (``.npz``, with SMILES keys), or a
        text file with a SMILES string at the beginning of each line.

    Returns
    -------
    frozenset of str

    Raises
    ------
    InputError
        If the file cannot be read or its molecules are named by another rule.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.finetuning import seen_molecules
    >>> _ = Path("seen.smi").write_text("CCO ethanol\nOCC ethanol again\nC methane\n")
    >>> len(seen_molecules("seen.smi"))
    2
    """
    path = Path(path)
    if path.suffix == ".npz":
        from ..pretraining.packed import load_packed

        packed = load_packed(path)
        if packed.manifest.get("keys", "smiles") != "smiles":
            raise InputError(
                f"{path} names its molecules by graphs; give data with SMILES keys."
            )
        # A key of an aggregate holds those of its molecules.
        return frozenset(part for key in packed.keys for part in str(key).split("."))
    from ..pretraining.molecules import key_of_smiles, require_rdkit

    require_rdkit()
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    keys = {words[0]: key_of_smiles(words[0]) for words in lines if words}
    for text, key in keys.items():
        if key is None:
            raise InputError(
                f"{path} holds {text!r}, which is not a SMILES string; mend the line."
            )
    return frozenset(key for key in keys.values() if key is not None)
