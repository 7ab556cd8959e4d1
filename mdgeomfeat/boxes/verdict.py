"""Whether the box of a run is used, and why."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np

from mdgeomfeat.boxes.lattice import SHORTEST_TRANSLATION, closes_volume, has_box
from mdgeomfeat.boxes.overlap import nearest_image
from mdgeomfeat.errors import InputError, MDGeomFeatWarning, sentence

__all__ = ["BoxReason", "BoxSample", "BoxVerdict", "Periodic", "judge_box", "spread"]

Periodic = Literal["auto"] | bool

# Frames that a verdict rests on, of each trajectory and of all.
_PER_TRAJECTORY = 16
_OF_ALL = 64


class BoxReason(StrEnum):
    """Why a box is used or not."""

    FOUND = "the frames have a box"
    ASKED = "it was asked for"
    REFUSED = "it was asked to be left out"
    ABSENT = "the frames have none"
    NO_VOLUME = "it encloses no volume"
    PLACEHOLDER = "it is a placeholder"
    OVERLAP = "molecules would overlap their images"


class BoxSample(NamedTuple):
    """A frame that a verdict rests on.

    Attributes
    ----------
    where : str
        Words for it, such as ``frame 3 of run.xtc``.
    positions : (A, 3) ndarray, Å
        Of the selected atoms, as read.
    box : (6,) ndarray or None
    """

    where: str
    positions: np.ndarray
    box: np.ndarray | None


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxVerdict:
    """Whether nearest images in the box are used, and why.

    Attributes
    ----------
    used : bool
    reason : BoxReason
    n_frames : int
        Frames that were looked at.
    frame : str
        Words for the frame that decided, "" if all agree.
    box : (6,) ndarray or None
        Of that frame; of the first one if all agree. Å and degrees.
    distance : float or None
        Å; what two atoms are apart that cannot be so near.
    """

    used: bool
    reason: BoxReason
    n_frames: int = 0
    frame: str = ""
    box: np.ndarray | None = None
    distance: float | None = None

    def __str__(self) -> str:
        if self.used:
            return "minimum image in the box" + (
                ", as asked" if self.reason is BoxReason.ASKED else ""
            )
        return f"no box is used: {self.why}"

    @property
    def why(self) -> str:
        """The reason in words, with its numbers."""
        if self.box is None or self.used:
            return self.reason.value
        sides = " x ".join(f"{v:.6g}" for v in self.box[:3])
        angles = ", ".join(f"{v:.6g}" for v in self.box[3:])
        box = f"that of {self.frame} ({sides} Å, angles {angles} degrees)"
        if self.reason is BoxReason.NO_VOLUME:
            return f"{box} encloses no volume"
        if self.reason is BoxReason.PLACEHOLDER:
            return (
                f"{box} is a placeholder, as it repeats within "
                f"{SHORTEST_TRANSLATION:g} Å"
            )
        return (
            f"in {box} an atom would be {self.distance:.2f} Å from the image of "
            "another that no bond joins it to"
        )


def judge_box(
    periodic: Periodic, samples: Iterable[BoxSample], numbers: np.ndarray
) -> BoxVerdict:
    """Decide whether nearest images in the box are used, and say why not.

    A box is left out where it cannot be one: where there is none, where it encloses no
    volume, where it is a placeholder, or where atoms that are not bonded would overlap
    the images of others in one of the frames (:func:`nearest_image`). How far the
    molecules reach makes no difference: in a simulation they may be longer than
    their box.

    Parameters
    ----------
    periodic : {"auto", True, False}
        True and False force.
    samples : iterable of BoxSample
        Frames of all trajectories; not looked at if `periodic` is False.
    numbers : (A,) ndarray of int
        Atomic numbers.

    Returns
    -------
    BoxVerdict

    Warns
    -----
    MDGeomFeatWarning
        If a box is stated and is none.

    Raises
    ------
    InputError
        If ``periodic`` is True and a frame has no box, or ``"auto"`` finds frames
        with and frames without.
    """
    if not isinstance(periodic, bool | np.bool_) and periodic != "auto":
        raise InputError(
            f"periodic={periodic!r} is not known; use 'auto', True or False."
        )
    if periodic != "auto" and not periodic:
        return BoxVerdict(used=False, reason=BoxReason.REFUSED)
    frames = list(samples)
    boxed = [bool(has_box(s.box)[0]) for s in frames]
    if periodic != "auto":
        if not all(boxed):
            raise InputError(
                "periodic=True (--pbc) needs a box, and "
                f"{_without(frames[boxed.index(False)])}; use periodic='auto' or False "
                "(--no-pbc), or give all frames their box."
            )
        return _agreed(frames, BoxReason.ASKED)
    if not any(boxed):
        return _said(_absent(frames))
    if not all(boxed):
        raise InputError(
            sentence(
                f"{frames[boxed.index(True)].where} has a box and "
                f"{_without(frames[boxed.index(False)])}; leave one or the other out, "
                "give all frames their box (in VMD: pbc set {…} -all), or pass "
                "periodic=False (--no-pbc)"
            )
        )
    for sample in frames:
        assert sample.box is not None
        distance = nearest_image(sample.positions, sample.box, numbers)
        if np.isfinite(distance):
            return _said(
                _refuted(BoxReason.OVERLAP, len(frames), sample, distance=distance)
            )
    return _agreed(frames, BoxReason.FOUND)


def spread(n_frames: int, n_trajectories: int = 1) -> list[int]:
    """Return the frames of a trajectory that a verdict rests on, the first two first.

    Parameters
    ----------
    n_frames : int
    n_trajectories : int
        Those that share the verdict.
    """
    if n_frames <= 2:
        return list(range(n_frames))
    number = max(2, min(_PER_TRAJECTORY, _OF_ALL // max(1, n_trajectories)))
    chosen = np.linspace(0, n_frames - 1, number).round().astype(int)
    return sorted({0, 1, *chosen.tolist()})


def _agreed(frames: list[BoxSample], reason: BoxReason) -> BoxVerdict:
    box = np.asarray(frames[0].box) if frames else None
    return BoxVerdict(used=True, reason=reason, n_frames=len(frames), box=box)


def _refuted(
    reason: BoxReason, n_frames: int, sample: BoxSample, distance: float | None = None
) -> BoxVerdict:
    return BoxVerdict(
        used=False,
        reason=reason,
        n_frames=n_frames,
        frame=sample.where,
        box=np.asarray(sample.box),
        distance=distance,
    )


def _absent(frames: list[BoxSample]) -> BoxVerdict:
    """Tell why no frame has a box, by the first that states one."""
    for sample in frames:
        reason = _lack(sample.box)
        if reason is not BoxReason.ABSENT:
            return _refuted(reason, len(frames), sample)
    return BoxVerdict(used=False, reason=BoxReason.ABSENT, n_frames=len(frames))


def _lack(box: np.ndarray | None) -> BoxReason:
    """Tell what a box that is none lacks."""
    if box is None or not np.any(np.asarray(box)[:3]):
        return BoxReason.ABSENT
    return BoxReason.PLACEHOLDER if closes_volume(box)[0] else BoxReason.NO_VOLUME


def _without(sample: BoxSample) -> str:
    reason = _lack(sample.box)
    if reason is BoxReason.ABSENT:
        return f"{sample.where} has none"
    return f"{sample.where} has none ({_refuted(reason, 1, sample).why})"


def _said(verdict: BoxVerdict) -> BoxVerdict:
    if verdict.reason is not BoxReason.ABSENT:
        warnings.warn(
            sentence(
                f"{verdict}; use periodic=False (--no-pbc) if that is right, else give "
                "files with the right box, or use periodic=True (--pbc)"
            ),
            MDGeomFeatWarning,
            stacklevel=4,
        )
    return verdict
