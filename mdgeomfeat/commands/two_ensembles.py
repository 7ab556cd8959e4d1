"""Two ensembles made comparable: the atoms that both have, runs, features, frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.features import (
    chosen_frames,
    featurize,
    open_files,
    source_names,
)
from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.explain import Pairing
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.structure import Structure

__all__ = ["SECOND_STORE", "TwoEnsembles", "joined_chains", "read_ensembles"]

#: Name of the second ensemble's store in a folder of results.
SECOND_STORE: Final = "features-with.zarr"
#: Frames of a run that are looked at, and of all runs together; frames that follow
#: each other are much alike.
_OF_RUN, _OF_ALL, _FEWEST = 400, 2000, 20
#: Frames that a run must have; half of them if it is cut into halves.
MIN_FRAMES: Final = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoEnsembles:
    """Runs of two ensembles, described by the same atoms in the same order.

    Attributes
    ----------
    data : tuple of Featurized
        Of the first and of the second ensemble.
    pairing : Pairing
    structure : Structure
        The common atoms as the first ensemble names them; a chain is broken where it
        is in either.
    order : tuple of (A,) ndarray of int64
        Atoms of both, in the order of ``structure``.
    tokens : tuple of (N,) ndarray of int64
        Tokens of both, in the order of ``structure``: the chains of the second may
        stand in another one.
    side, run : (F,) ndarray of int64
        Ensemble (0 or 1) and run of every frame, those of the first ensemble first.
        Each half of a single run is a run here.
    single : tuple of int
        Ensembles that have one run.
    """

    data: tuple[Featurized, Featurized]
    pairing: Pairing
    structure: Structure
    order: tuple[np.ndarray, np.ndarray]
    tokens: tuple[np.ndarray, np.ndarray]
    side: np.ndarray
    run: np.ndarray
    single: tuple[int, ...]

    @property
    def side_of_run(self) -> np.ndarray:
        """(R,) the ensemble of each run."""
        return self.side[np.unique(self.run, return_index=True)[1]]

    def features(self) -> list[np.ndarray]:
        """Return invariants (n_i, N, K) of evenly spaced frames of every run."""
        from mdgeomfeat.featurizer.invariants import compute_invariants

        n_runs = int(self.run.max()) + 1
        most = int(np.clip(_OF_ALL // n_runs, _FEWEST, _OF_RUN))
        found = []
        for run in range(n_runs):
            rows = np.flatnonzero(self.run == run)
            rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
            data, own = self._of(rows)
            results, tokens = data.results, self.tokens[self.side_of_run[run]]
            found.append(
                compute_invariants(
                    np.asarray(results.scalars[own])[:, tokens],
                    np.asarray(results.vectors[own])[:, tokens],
                    self.structure.next_token,
                    _local(results.spec),
                )
            )
        return found

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Return the common atoms (n, A, 3) of ascending rows of all frames, Å."""
        parts = [
            np.asarray(data.positions[own])[:, order]
            for data, own, order in zip(
                self.data, self._split(rows), self.order, strict=True
            )
        ]
        return np.concatenate(parts)

    def boxes(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the boxes (n, 6) of ascending rows, zeros where there is none."""
        if all(data.results.boxes is None for data in self.data):
            return None
        return np.concatenate(
            [
                np.zeros((len(own), 6))
                if data.results.boxes is None
                else np.asarray(data.results.boxes[own])
                for data, own in zip(self.data, self._split(rows), strict=True)
            ]
        )

    def _split(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = int((self.side == 0).sum())
        return rows[rows < n], rows[rows >= n] - n

    def _of(self, rows: np.ndarray) -> tuple[Featurized, np.ndarray]:
        first, second = self._split(rows)
        return (self.data[0], first) if len(first) else (self.data[1], second)


def read_ensembles(
    read: ReadOptions,
    others: Sequence[Path],
    work: Path,
    progress: Reporter,
) -> TwoEnsembles:
    """Featurize the atoms that two ensembles have in common.

    Parameters
    ----------
    read : ReadOptions
        The first ensemble, and what is read of both.
    others : sequence of Path
        Files of the second; without a topology, that of the first is theirs.
    work : Path
        Where features are kept unless `read` names another place.
    progress : Reporter

    Raises
    ------
    InputError
        If files, selection or frames cannot be used, or the molecules are too
        different.
    """
    from mdgeomfeat.explain import pair_atoms
    from mdgeomfeat.structure.selected import select_structure

    reads = (read, _second(read, others, work))
    universes = [open_files(own) for own in reads]
    for universe, own in zip(universes, reads, strict=True):
        _check_runs(universe, own)
    spec = read.features
    chosen = [select_structure(u, spec.select, tokens=spec.tokens) for u in universes]
    pairing = pair_atoms(chosen[0][1], chosen[1][1], tokens=spec.tokens)
    kept = (pairing.first, pairing.second)
    progress.say(
        "to do: features of the first ensemble, features of the second ensemble, which "
        "residues differ, report"
    )
    first, second = (
        featurize(
            own,
            work,
            progress,
            atoms=atoms[np.sort(local)],
            label=f"features of the {which} ensemble",
        )
        for own, (atoms, _), local, which in zip(
            reads, chosen, kept, ("first", "second"), strict=True
        )
    )
    order = (_rank(kept[0]), _rank(kept[1]))
    tokens = np.arange(first.structure.n_tokens)
    other = np.empty_like(tokens)
    other[first.structure.token_of_atom[order[0]]] = second.structure.token_of_atom[
        order[1]
    ]
    structure = joined_chains(first.structure, second.structure, other, spec.window)
    side, run, single = _runs((first, second))
    return TwoEnsembles(
        data=(first, second),
        pairing=pairing,
        structure=structure,
        order=order,
        tokens=(tokens, other),
        side=side,
        run=run,
        single=single,
    )


def _local(spec: FeatureSpec) -> FeatureSpec:
    """Return the spec without surroundings.

    They change for every token within 22 Å of one that moves, and what is asked for is
    which one that is.
    """
    return (
        replace(spec, invariants="geometric") if spec.invariants == "spatial" else spec
    )


def _second(read: ReadOptions, others: Sequence[Path], work: Path) -> ReadOptions:
    """Return what is read of the second ensemble."""
    from mdgeomfeat.reading import find_topology

    files = tuple(others)
    if find_topology(files) is None:
        topology = find_topology(read.files)
        if topology is not None:
            files = (*files, topology)
    store = work / SECOND_STORE
    if read.store is not None:
        store = read.store.with_name(f"{read.store.stem}-with{read.store.suffix}")
    return replace(read, files=files, store=store)


def _rank(local: np.ndarray) -> np.ndarray:
    """Return where each of these atoms stands when they are sorted."""
    return np.argsort(np.argsort(local, kind="stable"), kind="stable")


def joined_chains(
    first: Structure, second: Structure, tokens: np.ndarray, window: int | None
) -> Structure:
    """Return the first structure, with the gaps of both in its chains.

    Parameters
    ----------
    first, second : Structure
        Of the same tokens.
    tokens : (N,) ndarray of int64
        Tokens of the second, in the order of the first.
    window : int or None
        Of the features.

    Raises
    ------
    InputError
        If the gaps differ and windows would reach across them.
    """
    known = first.next_token[:-1] >= 0
    follows = known & (second.next_token[tokens[:-1]] == tokens[1:])
    if follows.sum() == known.sum() == (second.next_token >= 0).sum():
        return first
    if window is not None:
        raise InputError(
            "The chains have gaps at different places, so that windows hold other "
            "residues in both ensembles; leave out --window."
        )
    return replace(first, chain=np.concatenate([[0], np.cumsum(~follows)]))


def _check_runs(universe: Universe, read: ReadOptions) -> None:
    """Refuse runs of a few frames, before features are computed."""
    chosen_frames(universe, read.start, read.stop, read.step)
    readers = file_readers(universe.trajectory)
    used = slice(read.start, read.stop, read.step)
    lengths = [len(range(*used.indices(reader.n_frames))) for reader in readers]
    short = int(np.argmin(lengths))
    if lengths[short] < MIN_FRAMES:
        name = source_names(universe)[short]
        raise InputError(
            f"{name} has {count(lengths[short], 'frame')} after --start, --stop and "
            f"--step, and a run needs at least {MIN_FRAMES} to be compared; leave it "
            "out, or choose more frames."
        )


def _runs(
    data: tuple[Featurized, Featurized],
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return ensemble and run of every frame, and which ensembles have a single run."""
    sides, runs, single = [], [], []
    first = 0
    for side, own in enumerate(data):
        run = np.unique(np.asarray(own.results.trajectory), return_inverse=True)[1]
        if run.max() == 0:
            single.append(side)
            run = (2 * np.arange(len(run)) >= len(run)).astype(np.int64)
        sides.append(np.full(len(run), side))
        runs.append(first + run)
        first += int(run.max()) + 1
    return np.concatenate(sides), np.concatenate(runs), tuple(single)
