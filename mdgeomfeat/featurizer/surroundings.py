r"""Which other tokens lie around a token, near and far.

Networks see atoms within their cutoff, and what a bond does to them is far larger than
what a neighbour in space does. How a chain is folded, whether a ligand is in place:
that is told by distances between tokens. For token i, with the centre
:math:`x_i` (mean) of its atoms, eight numbers count the other tokens in soft shells

.. math::
    n_{ik} = \sum_j b\left(\frac{|x_j - x_i| - \mu_k}{4\,\mathrm{Å}}\right), \qquad
    b(t) = \tfrac12 (1 + \cos \pi t) \text{ for } |t| < 1, \text{ else } 0,

of the radii :math:`\mu_k` = 4, 6 ... 18 Å. All tokens and their images within 22 Å
count, except those of the same unbroken chain that are at most two places away: their
distance is a matter of bonds. Where tokens have windows, only those within it count.
The numbers have continuous slopes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mdgeomfeat.boxes import box_heights, has_box, lattice_vectors, reduced_lattices
from mdgeomfeat.jit import cached_njit

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.structure import Structure

__all__ = ["N_SHELLS", "Surroundings", "count_shells"]

N_SHELLS = 8

#: Å: radius of the first shell, from one to the next, and from a radius to where its
#: shell ends.
_FIRST, _STEP, _HALF = 4.0, 2.0, 4.0
_REACH = _FIRST + (N_SHELLS - 1) * _STEP + _HALF

#: Places along a chain within which tokens do not count.
_BONDED = 2


class Surroundings:
    """Counts the tokens around each token.

    Parameters
    ----------
    structure : Structure
    spec : FeatureSpec
        Its window.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.featurespec import FeatureSpec
    >>> from mdgeomfeat.featurizer import Surroundings
    >>> chain = Structure.from_arrays([6, 6, 6, 6], [0, 1, 2, 3])
    >>> line = np.array([[[0.0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]]])  # Å
    >>> shells = Surroundings(chain, FeatureSpec())(line)
    >>> shells[0, 0].round(2).tolist()  # the last token is 6 Å away
    [0.5, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> bool(shells[0, 1].any())  # and at most two places from the second
    False
    """

    def __init__(self, structure: Structure, spec: FeatureSpec) -> None:
        self._token = np.asarray(structure.token_of_atom, np.int64)
        self._chain = np.asarray(structure.chain, np.int64)
        self.n_tokens = structure.n_tokens
        self._window = -1 if spec.window is None else int(spec.window)
        self._share = 1.0 / np.bincount(self._token, minlength=self.n_tokens)

    def __call__(
        self, positions: NDArray[np.floating], boxes: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Return the numbers of every token.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
            Tokens must be whole.
        boxes : (F, 6) ndarray, optional
            Rows of zeros are frames without a box.

        Returns
        -------
        (F, N, 8) ndarray
        """
        out = np.zeros((len(positions), self.n_tokens, N_SHELLS))
        for f, frame in enumerate(self.centres(positions)):
            out[f] = self.of_centres(frame, None if boxes is None else boxes[f])
        return out

    def of_centres(
        self, centres: NDArray[np.float64], box: NDArray[np.floating] | None
    ) -> NDArray[np.float64]:
        """Return the numbers of the tokens of one frame, (N, 8).

        Parameters
        ----------
        centres : (N, 3) ndarray, Å
        box : (6,) ndarray or None
        """
        out = np.zeros((self.n_tokens, N_SHELLS))
        _fill(*self.pairs(centres, box), out)
        return out

    def centres(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the centre of every token, (F, N, 3), Å.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
        """
        out = np.zeros((len(positions), self.n_tokens, 3))
        _add_atoms(np.ascontiguousarray(positions), self._token, self._share, out)
        return out

    def pairs(
        self, centres: NDArray[np.float64], box: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the pairs of tokens of one frame that count, each of them once.

        Parameters
        ----------
        centres : (N, 3) ndarray, Å
        box : (6,) ndarray or None

        Returns
        -------
        first, second : (E,) ndarray of int64
        vector : (E, 3) ndarray, Å
            From the first to (an image of) the second.
        """
        lattice, reach = np.eye(3), np.zeros(3)
        if box is not None and has_box(box[None])[0]:
            lattice = reduced_lattices(lattice_vectors(np.asarray(box)[None]))[0]
            reach = _REACH / box_heights(lattice[None])[0]
        first, second, vector = _find(
            np.ascontiguousarray(centres),
            lattice,
            np.linalg.inv(lattice),
            reach,
            self._chain,
            self._window,
        )
        return first, second, vector

    def all_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return both tokens (E,) of all pairs that may ever count."""
        place = np.arange(self.n_tokens)
        apart = np.abs(place[:, None] - place)
        same = self._chain[:, None] == self._chain
        counts = ~(same & (apart <= _BONDED))
        if self._window >= 0:
            counts &= same & (apart <= self._window)
        first, second = np.nonzero(np.tril(counts, -1))
        return first, second

    def slopes(
        self,
        centres: NDArray[np.float64],
        box: NDArray[np.floating] | None,
        by_shells: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Turn slopes by the numbers of one frame into slopes by positions.

        Parameters
        ----------
        centres : (N, 3) ndarray, Å
        box : (6,) ndarray or None
        by_shells : (d, N, 8) ndarray

        Returns
        -------
        (d, A, 3) ndarray, 1/Å
        """
        by_centres = np.zeros((len(by_shells), self.n_tokens, 3))
        by = np.ascontiguousarray(by_shells, np.float64)
        _fill_back(*self.pairs(centres, box), by, by_centres)
        return (by_centres * self._share[:, None])[:, self._token]

    def of_tensors(
        self, positions: torch.Tensor, boxes: NDArray[np.floating] | None
    ) -> torch.Tensor:
        """Return the numbers of every token as torch can differentiate them.

        Parameters
        ----------
        positions : (F, A, 3) Tensor, Å
            Tokens must be whole.
        boxes : (F, 6) ndarray or None

        Returns
        -------
        (F, N, 8) Tensor
            In the precision of the positions.
        """
        centres = self.tensor_centres(positions)
        known = centres.detach().cpu().double().numpy()
        found: list[torch.Tensor] = []
        for frame, values in zip(centres, known, strict=True):
            box = None if boxes is None else boxes[len(found)]
            first, second, vector = (
                torch.from_numpy(x).to(positions.device)
                for x in self.pairs(values, box)
            )
            between = frame[second] - frame[first]
            image = (vector.to(between.dtype) - between).detach()
            found.append(count_shells(between + image, first, second, self.n_tokens))
        return torch.stack(found)

    def tensor_centres(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the centre of every token, (F, N, 3) Tensor, Å.

        Parameters
        ----------
        positions : (F, A, 3) Tensor, Å
        """
        share = torch.tensor(self._share).to(positions)
        token = torch.tensor(self._token, device=positions.device)
        zeros = positions.new_zeros((len(positions), self.n_tokens, 3))
        return zeros.index_add(1, token, positions) * share[:, None]


def count_shells(
    vector: torch.Tensor, first: torch.Tensor, second: torch.Tensor, n_tokens: int
) -> torch.Tensor:
    """Return the numbers (N, 8) of tokens, of the vectors between them.

    Parameters
    ----------
    vector : (E, 3) Tensor, Å
    first, second : (E,) Tensor of int64
        Both tokens of every pair, which stands here once.
    n_tokens : int
        N.
    """
    radii = _FIRST + _STEP * torch.arange(
        N_SHELLS, dtype=vector.dtype, device=vector.device
    )
    distance = torch.linalg.vector_norm(vector, dim=1)
    off = ((distance[:, None] - radii) / _HALF).clamp(-1.0, 1.0)
    bumps = 0.5 * (1.0 + torch.cos(torch.pi * off))
    out = vector.new_zeros((n_tokens, N_SHELLS))
    return out.index_add(0, first, bumps).index_add(0, second, bumps)


@cached_njit()
def _add_atoms(positions, token, share, out):  # type: ignore[no-untyped-def]
    for f in range(positions.shape[0]):
        for a in range(positions.shape[1]):
            i = token[a]
            for x in range(3):
                out[f, i, x] += share[i] * np.float64(positions[f, a, x])


@cached_njit()
def _counts(i, j, chain, window):  # type: ignore[no-untyped-def]
    """Tell whether two different tokens count for each other."""
    if chain[i] != chain[j]:
        return window < 0
    apart = abs(i - j)
    return apart > _BONDED and (window < 0 or apart <= window)


@cached_njit()
def _find(centres, lattice, inverse, reach, chain, window):  # type: ignore[no-untyped-def]
    """List pairs within reach: first how many, then which."""
    first, second = np.empty(0, np.int64), np.empty(0, np.int64)
    vector = np.empty((0, 3))
    for filling in range(2):
        at = 0
        for i in range(centres.shape[0]):
            for j in range(i):
                if _counts(i, j, chain, window):
                    at = _images(
                        centres, i, j, lattice, inverse, reach,
                        first, second, vector, at, filling,
                    )  # fmt: skip
        if not filling:
            first, second = np.empty(at, np.int64), np.empty(at, np.int64)
            vector = np.empty((at, 3))
    return first, second, vector


@cached_njit()
def _turns(dx, dy, dz, inverse, reach, k):  # type: ignore[no-untyped-def]
    """Return the first and the last image along an edge that may be within reach."""
    if reach[k] == 0.0:
        return 0, 0
    turn = dx * inverse[0, k] + dy * inverse[1, k] + dz * inverse[2, k]
    return int(np.ceil(-reach[k] - turn)), int(np.floor(reach[k] - turn))


@cached_njit()
def _images(  # type: ignore[no-untyped-def]
    centres, i, j, lattice, inverse, reach, first, second, vector, at, filling
):
    """List the images of one pair that are within reach."""
    dx = centres[j, 0] - centres[i, 0]
    dy = centres[j, 1] - centres[i, 1]
    dz = centres[j, 2] - centres[i, 2]
    a0, a1 = _turns(dx, dy, dz, inverse, reach, 0)
    b0, b1 = _turns(dx, dy, dz, inverse, reach, 1)
    c0, c1 = _turns(dx, dy, dz, inverse, reach, 2)
    for a in range(a0, a1 + 1):
        for b in range(b0, b1 + 1):
            for c in range(c0, c1 + 1):
                x = dx + a * lattice[0, 0] + b * lattice[1, 0] + c * lattice[2, 0]
                y = dy + a * lattice[0, 1] + b * lattice[1, 1] + c * lattice[2, 1]
                z = dz + a * lattice[0, 2] + b * lattice[1, 2] + c * lattice[2, 2]
                if x * x + y * y + z * z >= _REACH * _REACH:
                    continue
                if filling:
                    first[at], second[at] = i, j
                    vector[at, 0], vector[at, 1], vector[at, 2] = x, y, z
                at += 1
    return at


@cached_njit()
def _length(vector, e):  # type: ignore[no-untyped-def]
    return np.sqrt(vector[e, 0] ** 2 + vector[e, 1] ** 2 + vector[e, 2] ** 2)


@cached_njit()
def _touched(distance):  # type: ignore[no-untyped-def]
    """Return the shells, as a range, that a distance is within."""
    first = int(np.ceil((distance - _FIRST - _HALF) / _STEP))
    last = int(np.floor((distance - _FIRST + _HALF) / _STEP))
    return max(first, 0), min(last + 1, N_SHELLS)


@cached_njit()
def _fill(first, second, vector, out):  # type: ignore[no-untyped-def]
    """Add every pair to the numbers (N, 8) of both tokens."""
    for e in range(len(first)):
        distance = _length(vector, e)
        begin, end = _touched(distance)
        for k in range(begin, end):
            off = (distance - _FIRST - _STEP * k) / _HALF
            bump = 0.5 * (1.0 + np.cos(np.pi * off))
            out[first[e], k] += bump
            out[second[e], k] += bump


@cached_njit()
def _fill_back(first, second, vector, by_shells, by_centres):  # type: ignore[no-untyped-def]
    """Add the slopes of numbers to those of centres (d, N, 3)."""
    for e in range(len(first)):
        distance = _length(vector, e)
        if distance == 0.0:
            continue
        i, j = first[e], second[e]
        begin, end = _touched(distance)
        for k in range(begin, end):
            off = (distance - _FIRST - _STEP * k) / _HALF
            slope = -0.5 * np.pi / _HALF * np.sin(np.pi * off) / distance
            for s in range(by_shells.shape[0]):
                factor = (by_shells[s, i, k] + by_shells[s, j, k]) * slope
                for x in range(3):
                    by_centres[s, j, x] += factor * vector[e, x]
                    by_centres[s, i, x] -= factor * vector[e, x]
