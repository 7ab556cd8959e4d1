"""Maps of every input, and what of dihedrals and distances can be read from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np

from mdgeomfeat.commands.progress import Reporter, SilentReporter
from mdgeomfeat.projection import agreement, fit_map, knn_r2
from mdgeomfeat.projection.agreement import BALANCE
from mdgeomfeat.report.data import Comparison, ComparisonRow
from mdgeomfeat.report.figures import ColorBy, NamedMap
from mdgeomfeat.store import Rows, cut_rows, flat_rows, join_rows, map_rows
from mdgeomfeat.text import pretty_angle

__all__ = ["Torsion", "choose_torsions", "compare_inputs"]

MAX_MAPS = 4
MAX_DISTANCES = 200
NEIGHBOURS = 10
_NUMBERS = 1.5e7  # of float64 in one ridge regression, about 120 MB


@dataclass(frozen=True, kw_only=True)
class Torsion:
    """An angle over all frames.

    Attributes
    ----------
    name : str
        For example ``"A:LEU42:phi"``.
    values : (F,) ndarray
        Radians.
    """

    name: str
    values: np.ndarray


def compare_inputs(
    inputs: Mapping[str, Sequence[Rows]],
    *,
    torsions: Sequence[Torsion],
    distances: tuple[Sequence[str], Rows] | None,
    cvs: Sequence[np.ndarray] | None = None,
    groups: Sequence[int] | None = None,
    same_as: Mapping[str, str] | None = None,
    max_points: int = 3000,
    seed: int = 0,
    progress: Reporter | None = None,
) -> Comparison:
    """Lay every input out in the plane and measure how it agrees with descriptors.

    Parameters
    ----------
    inputs : mapping of name to list of (F_i, ...) ndarray
        One array per unbroken trajectory; further axes are joined. The first input
        is the one in question.
    torsions : sequence of Torsion
        Main-chain angles of all frames, trajectories one after another.
    distances : (names, (F, P) ndarray) or None
        Distances to predict, Å.
    cvs : list of (F_i, d) ndarray or None
        Collective variables, to colour the maps.
    groups : sequence of int, optional
        Equal numbers mark pieces of one trajectory, cut at a gap in its frames, which
        follow each other; what is held out is never a piece of what was trained on.
        By default every array is its own trajectory.
    same_as : mapping, optional
        Which input is a target itself (``{"dihedrals": "dihedrals"}``), whose
        agreement with itself is left blank.
    max_points : int
        Points in a map.
    seed : int
        Of the layouts.
    progress : Reporter, optional
        Told about every map.
    """
    progress = progress or SilentReporter()
    same_as = same_as or {}
    first = next(iter(inputs.values()))
    groups = range(len(first)) if groups is None else groups
    lengths = [len(part) for part in _whole(first, groups)]
    trajectory = np.repeat(np.arange(len(lengths)), lengths)
    elsewhere = False
    joined_cvs = None if cvs is None else np.concatenate(list(cvs))
    shown = choose_torsions(torsions, joined_cvs)
    maps, notes, rows = [], [], []
    names = list(inputs)[:MAX_MAPS]
    with progress.stage("maps and agreement", len(inputs), "inputs") as advance:
        for name, shaped in inputs.items():
            parts = [flat_rows(part) for part in _whole(shaped, groups)]
            near = None
            if name in names:
                result = fit_map(
                    join_rows(parts),
                    seed=seed,
                    max_points=max_points,
                )
                maps.append(
                    NamedMap(
                        name=name, embedding=result.embedding, frames=result.frames
                    )
                )
                notes.append(f"{name}: {result.note}.")
                owner = trajectory[result.frames]
                elsewhere = _balanced(owner)
                near = _near(
                    result.embedding,
                    result.frames,
                    torsions,
                    owner if elsewhere else None,
                )
            rows.append(
                _row(name, parts, torsions, distances, lengths, same_as.get(name), near)
            )
            advance(1)
    return Comparison(
        maps=tuple(maps),
        columns=tuple(_columns(joined_cvs, shown)),
        rows=tuple(rows),
        torsion_names=tuple(t.name for t in torsions),
        split=rows[0].split,
        neighbours_elsewhere=elsewhere,
        notes=tuple(notes),
    )


def choose_torsions(
    torsions: Sequence[Torsion], cvs: np.ndarray | None, n: int = 2
) -> list[Torsion]:
    """Return the angles that say most about the collective variables.

    With collective variables an angle counts by how much of their variance its sine
    and cosine explain; without them by how widely it is spread (1 minus the length
    of the mean point on the circle).

    Parameters
    ----------
    torsions : sequence of Torsion
        Candidates.
    cvs : (F, d) ndarray or None
        Collective variables.
    n : int
        How many to return, in the order of the chain.
    """
    if len(torsions) <= n:
        return list(torsions)
    worth = []
    for torsion in torsions:
        circle = np.stack([np.sin(torsion.values), np.cos(torsion.values)], axis=1)
        if cvs is None:
            worth.append(1.0 - float(np.linalg.norm(circle.mean(axis=0))))
            continue
        design = np.column_stack([circle, np.ones(len(circle))])
        target = cvs[:, :n] - cvs[:, :n].mean(axis=0)
        fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        # The slowest variable counts most.
        share = fitted.var(axis=0) / np.maximum(target.var(axis=0), 1e-12)
        worth.append(float(share @ (0.5 ** np.arange(len(share)))))
    best = sorted(np.argsort(worth)[::-1][:n])
    return [torsions[i] for i in best]


def _whole(parts: Sequence[Rows], groups: Sequence[int]) -> list[Rows]:
    """Join the pieces of each trajectory."""
    found = []
    for _, members in groupby(zip(groups, parts, strict=True), key=itemgetter(0)):
        pieces = [piece for _, piece in members]
        found.append(join_rows(pieces) if len(pieces) > 1 else pieces[0])
    return found


def _balanced(trajectory: np.ndarray) -> bool:
    """Whether a frame's neighbours can be looked for in other trajectories only."""
    longest = np.unique(trajectory, return_counts=True)[1].max()
    return bool(len(trajectory) - longest >= max(NEIGHBOURS, BALANCE * longest))


def _near(
    embedding: np.ndarray,
    frames: np.ndarray,
    torsions: Sequence[Torsion],
    trajectory: np.ndarray | None,
) -> np.ndarray | None:
    """Return the R² of each angle from a frame's neighbours in the map."""
    if not torsions:
        return None
    targets = np.stack([t.values[frames] for t in torsions], axis=1)
    return knn_r2(embedding, targets, k=NEIGHBOURS, groups=trajectory)


def _row(
    name: str,
    parts: Sequence[Rows],
    torsions: Sequence[Torsion],
    distances: tuple[Sequence[str], Rows] | None,
    lengths: Sequence[int],
    itself: str | None,
    near: np.ndarray | None,
) -> ComparisonRow:
    """Measure one input."""
    max_frames = int(np.clip(_NUMBERS / parts[0].shape[1], 300, 3000))
    ends = np.cumsum(lengths).tolist()
    split = ""
    angles_r2 = distance_r2 = None
    if torsions:
        circle = np.stack([f(t.values) for t in torsions for f in (np.sin, np.cos)], 1)
        found = agreement(parts, np.split(circle, ends[:-1]), max_frames=max_frames)
        split = found.note
        if itself != "dihedrals":
            angles_r2 = found.r2.reshape(-1, 2).mean(axis=1)
    if distances is not None:
        width = distances[1].shape[1]
        some = np.unique(np.linspace(0, width - 1, MAX_DISTANCES).astype(int))
        values = map_rows(
            lambda rows: rows[:, some], [distances[1]], (len(some),), np.float32
        )
        targets = [cut_rows(values, a, b) for a, b in pairwise([0, *ends])]
        found = agreement(parts, targets, max_frames=max_frames)
        split = found.note
        if itself != "distances":
            distance_r2 = found.mean
    return ComparisonRow(
        name=name,
        torsion_r2=angles_r2,
        distance_r2=distance_r2,
        map_r2=near,
        split=split,
    )


def _columns(cvs: np.ndarray | None, shown: Sequence[Torsion]) -> list[ColorBy]:
    """Return what colours the maps: the first variable, then the angles."""
    columns = [] if cvs is None else [ColorBy(label="CV 1", values=cvs[:, 0])]
    columns += [
        ColorBy(
            label=f"{pretty_angle(t.name)} (°)",
            values=np.degrees(t.values),
            cyclic=True,
        )
        for t in shown
    ]
    return columns
