"""Token features of arrays and mdtraj trajectories, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from mdgeomfeat.boxes import BoxSample, has_box, judge_box, spread
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import (
    FeatureOptions,
    FeatureSpec,
    feature_options,
    takes_features,
)
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.invariants import compute_invariants, invariant_names
from mdgeomfeat.featurizer.surroundings import Surroundings
from mdgeomfeat.structure import Structure, Tokens, make_whole
from mdgeomfeat.structure.plausibility import check_positions

__all__ = ["GeomGNNTransformer"]

_NM = 10.0  # in Å


class GeomGNNTransformer(TransformerMixin, BaseEstimator):
    """Turn coordinates into rotation-invariant features of tokens.

    The same features as :class:`mdgeomfeat.GeomGNNFeaturizer` makes, for coordinates
    that are in memory already. Nothing is learnt from the data: ``fit`` looks at the
    structure and loads the network.

    Parameters
    ----------
    structure : Universe, AtomGroup, mdtraj topology or trajectory, Structure, or tuple
        What the atoms are. A tuple holds atomic numbers (A,) and, if wanted, the
        number of the token that each atom belongs to (A,).
    select : str, optional
        A selection in the language of MDAnalysis, or of mdtraj for its topologies.
    device, engine, batch_size, allow_implausible
        As for :class:`mdgeomfeat.GeomGNNFeaturizer`.
    **features
        Any option of :class:`mdgeomfeat.featurespec.FeatureSpec`. ``tokens`` is unused
        where `structure` is a Structure or a tuple, which state their tokens.

    Attributes
    ----------
    structure_ : Structure
    encoder_ : TokenEncoder
    n_features_out_ : int
        D, the number of features of a frame.

    Examples
    --------
    >>> import mdtraj
    >>> from sklearn.pipeline import make_pipeline
    >>> from deeptime.decomposition import TICA
    >>> from mdgeomfeat import GeomGNNTransformer
    >>> from mdgeomfeat.kinetics import estimator
    >>> runs = [mdtraj.load(name, top="top.pdb") for name in ("traj.xtc", "other.xtc")]
    >>> pipeline = make_pipeline(
    ...     GeomGNNTransformer(runs[0].topology), estimator(TICA(lagtime=10, dim=2))
    ... )
    >>> [slow.shape for slow in pipeline.fit_transform(runs)]
    [(40, 2), (40, 2)]
    """

    # Options that are used here; fit hands the others on to the encoder.
    tokens: Tokens
    periodic: bool | Literal["auto"]

    @takes_features
    def __init__(
        self,
        structure: Any,
        select: str | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        allow_implausible: bool = False,
        **features: Unpack[FeatureOptions],
    ) -> None:
        self.structure = structure
        self.select = select
        self.device = device
        self.engine = engine
        self.batch_size = batch_size
        self.allow_implausible = allow_implausible
        # As they were given: scikit-learn wants them back.
        options = feature_options()
        if unknown := features.keys() - options.keys():
            raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
        for name in options.keys() - {"select"}:
            setattr(self, name, features.get(name, options[name].default))

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Look at the structure and load the network.

        Parameters
        ----------
        X, y
            Not used; here because scikit-learn passes them.

        Raises
        ------
        InputError
            If the structure or an option cannot be used.
        """
        del X, y
        spec = FeatureSpec(**{name: getattr(self, name) for name in feature_options()})
        self.structure_, self._n_source_atoms = _structure(
            self.structure, self.select, self.tokens
        )
        self.encoder_ = TokenEncoder(
            self.structure_,
            spec,
            device=self.device,
            engine=self.engine,
            batch_size=self.batch_size,
        )
        names = invariant_names(self.encoder_.spec, self.encoder_.n_channels)
        self.n_features_out_ = self.structure_.n_tokens * len(names)
        return self

    def transform(
        self, X: Any, boxes: Any = None
    ) -> NDArray[np.floating] | list[NDArray[np.floating]]:
        """Compute the features.

        Parameters
        ----------
        X : (F, A, 3) ndarray, Å, or mdtraj.Trajectory, or a list of either
            Of all atoms of the structure's source, or of the selected ones.
        boxes : (F, 6) or (6,) ndarray, Å and degrees, or a list of them, optional
            An mdtraj trajectory brings its own.

        Returns
        -------
        features : (F, D) ndarray, or a list of them
            A list where `X` is a list.

        Raises
        ------
        InputError
            If shapes do not fit the structure or positions are not numbers.
        """
        tokens = self.transform_tokens(X, boxes)
        if isinstance(tokens, list):
            return [_flat(x) for x in tokens]
        return _flat(tokens)

    def transform_tokens(
        self, X: Any, boxes: Any = None
    ) -> NDArray[np.floating] | list[NDArray[np.floating]]:
        """Compute the features as (F, N, K) ndarrays; see :meth:`transform`.

        Parameters
        ----------
        X : (F, A, 3) ndarray, mdtraj.Trajectory, or a list of these
        boxes : array or list, optional
            As in :meth:`transform`.

        Returns
        -------
        (F, N, K) ndarray, or a list of them
        """
        tokens = [self._invariants(*run) for run in self._encode_all(X, boxes)]
        return tokens if isinstance(X, list | tuple) else tokens[0]

    def encode(
        self, X: Any, boxes: Any = None
    ) -> (
        tuple[NDArray[np.floating], NDArray[np.floating]]
        | list[tuple[NDArray[np.floating], NDArray[np.floating]]]
    ):
        """Compute scalars (F, N, C) and vectors (F, N, 3, C); see :meth:`transform`.

        Parameters
        ----------
        X : (F, A, 3) ndarray, mdtraj.Trajectory, or a list of these
        boxes : array or list, optional
            As in :meth:`transform`.

        Returns
        -------
        (scalars, vectors), or a list of such pairs

        Raises
        ------
        InputError
            If positions or boxes do not fit the structure or each other, or are not
            finite.
        """
        pairs = [run[:2] for run in self._encode_all(X, boxes)]
        return pairs if isinstance(X, list | tuple) else pairs[0]

    def fit_transform(
        self, X: Any, y: Any = None, boxes: Any = None
    ) -> NDArray[np.floating] | list[NDArray[np.floating]]:
        """Fit and transform; see :meth:`transform`.

        Parameters
        ----------
        X : (F, A, 3) ndarray, mdtraj.Trajectory, or a list of these
        y : None
            Ignored; scikit-learn passes it.
        boxes : array or list, optional
            As in :meth:`transform`.

        Returns
        -------
        (F, D) ndarray, or a list of them
        """
        return self.fit(X, y).transform(X, boxes)

    def get_feature_names_out(
        self, input_features: object = None
    ) -> NDArray[np.object_]:
        """Return the names (D,) of the features, such as ``A:LEU42:s017``.

        Parameters
        ----------
        input_features
            Not used; here because scikit-learn passes it.
        """
        del input_features
        check_is_fitted(self, "encoder_")
        names = invariant_names(self.encoder_.spec, self.encoder_.n_channels)
        labels = self.structure_.token_labels()
        return np.array([f"{a}:{b}" for a in labels for b in names], dtype=object)

    def __sklearn_clone__(self) -> Self:
        # Arguments are shared, not copied: a Universe cannot be deep-copied once it
        # has read a frame, and nothing here changes an argument.
        return type(self)(**self.get_params(deep=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _invariants(
        self,
        scalars: NDArray[np.floating],
        vectors: NDArray[np.floating],
        shells: NDArray[np.floating] | None,
    ) -> NDArray[np.floating]:
        return compute_invariants(
            scalars, vectors, self.structure_.next_token, self.encoder_.spec, shells
        )

    def _encode_all(
        self, X: Any, boxes: Any
    ) -> list[
        tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating] | None]
    ]:
        """Return scalars, vectors and, where they are needed, shells of every run."""
        check_is_fitted(self, "encoder_")
        names = [""]
        if isinstance(X, list | tuple):
            boxes = boxes if isinstance(boxes, list | tuple) else [boxes] * len(X)
            if len(boxes) != len(X):
                raise InputError(
                    f"boxes= has {len(boxes)} entries for {len(X)} trajectories; give "
                    "one for each."
                )
            names = [f" of trajectory {number}" for number in range(len(X))]
        else:
            X, boxes = [X], [boxes]
        runs = [
            self._checked(*run, len(X)) for run in zip(X, boxes, names, strict=True)
        ]
        samples = [sample for run in runs for sample in run.samples]
        used = judge_box(self.periodic, samples, self.structure_.numbers).used
        check_positions(
            self.structure_,
            [sample for run in runs for sample in run.samples[:2]],
            periodic=used,
            allow=self.allow_implausible,
        )
        return [self._encode(run, used) for run in runs]

    def _checked(self, x: Any, boxes: Any, where: str, n_runs: int) -> _Run:
        positions, boxes, unit = _arrays(x, boxes)
        positions = self._selected(positions, where)
        finite = np.isfinite(positions).all(axis=(1, 2))
        if not finite.all():
            raise InputError(
                f"Frame {int(np.argmin(finite))}{where} holds positions that are not "
                "finite; leave it out."
            )
        if boxes is not None and len(positions):
            boxes = np.asarray(boxes)
            if boxes.shape not in ((6,), (1, 6), (len(positions), 6)):
                raise InputError(
                    f"The boxes{where} have the shape {boxes.shape}; give (6,), or "
                    f"({len(positions)}, 6) for these frames."
                )
            boxes = np.broadcast_to(boxes, (len(positions), 6))
        samples = [
            BoxSample(
                f"frame {row}{where}",
                positions[row].astype(np.float64) * unit,
                None if boxes is None else boxes[row],
            )
            for row in spread(len(positions), n_runs)
        ]
        return _Run(positions, boxes, unit, where, samples)

    def _encode(
        self, run: _Run, box_used: bool
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating] | None]:
        positions, boxes, unit, where, _ = run
        if not box_used or not len(positions):
            boxes = None
        elif not (usable := has_box(boxes)).all():
            raise InputError(
                f"Frame {int(np.argmin(usable))}{where} has no usable box where "
                "others have one; leave it out or pass periodic=False."
            )
        spec = self.encoder_.spec
        surroundings = None
        if spec.invariants == "spatial":
            surroundings = Surroundings(self.structure_, spec)
        out, near = [], []
        for start in range(0, max(len(positions), 1), self.encoder_.batch_size):
            batch = slice(start, start + self.encoder_.batch_size)
            x = positions[batch]
            x = x if unit == 1 else x.astype(np.float64) * unit
            cells = None if boxes is None else boxes[batch]
            out.append(self.encoder_.encode(x, cells))
            if surroundings is not None:
                whole = x if cells is None else make_whole(self.structure_, x, cells)
                near.append(surroundings(whole, cells))
        scalars, vectors = (np.concatenate(x) for x in zip(*out, strict=True))
        return scalars, vectors, np.concatenate(near) if near else None

    def _selected(
        self, positions: NDArray[np.floating], where: str
    ) -> NDArray[np.floating]:
        shape, n_atoms = positions.shape, self.structure_.n_atoms
        if len(shape) == 3 and shape[2] == 3:
            if shape[1] == n_atoms:
                return positions
            if shape[1] == self._n_source_atoms:
                return positions[:, self.structure_.indices]
        known = {n_atoms, self._n_source_atoms}
        raise InputError(
            f"The positions{where} have the shape {shape}; give (frames, atoms, 3) "
            f"with {' or '.join(map(str, sorted(known)))} atoms."
        )


class _Run(NamedTuple):
    """Positions (F, A, 3) of a trajectory in a unit of Å, its boxes, and a sample."""

    positions: NDArray[np.floating]
    boxes: NDArray[np.floating] | None
    unit: float
    where: str
    samples: list[BoxSample]


def _flat(tokens: NDArray[np.floating]) -> NDArray[np.floating]:
    n_frames, n_tokens, n_numbers = tokens.shape
    return tokens.reshape(n_frames, n_tokens * n_numbers)


def _structure(
    source: Any, select: str | None, tokens: Tokens
) -> tuple[Structure, int]:
    """Return a structure and the number of atoms that it was chosen from."""
    if isinstance(source, Structure | tuple | list):
        if select is not None:
            raise InputError("select= needs a Universe, an AtomGroup or a topology.")
        if not isinstance(source, Structure):
            if not 1 <= len(source) <= 2:
                raise InputError(
                    f"A tuple of {len(source)} is not a structure; give atomic numbers "
                    "and, if wanted, the token of each atom."
                )
            source = Structure.from_arrays(*source)
        return source, source.n_atoms
    universe = getattr(source, "universe", None)
    if universe is not None:
        from mdgeomfeat.structure.selected import select_structure

        _, structure = select_structure(source, select, tokens=tokens)
        return structure, len(universe.atoms)
    topology = getattr(source, "topology", source)
    if type(topology).__module__.split(".")[0] != "mdtraj":
        raise InputError(
            f"Got a {type(source).__name__} as structure; give a Universe, an "
            "AtomGroup, an mdtraj topology or trajectory, a Structure, or atomic "
            "numbers and tokens."
        )
    structure = Structure.from_mdtraj(topology, select=select, tokens=tokens)
    return structure, topology.n_atoms


def _arrays(x: Any, boxes: ArrayLike | None) -> tuple[NDArray[np.floating], Any, float]:
    """Return positions, boxes in Å, and what the positions' unit is in Å."""
    if not hasattr(x, "xyz"):
        x = np.asarray(x)
        return x if x.dtype.kind == "f" else x.astype(np.float64), boxes, 1.0
    if boxes is None and x.unitcell_lengths is not None:
        boxes = np.concatenate([x.unitcell_lengths * _NM, x.unitcell_angles], axis=1)
    return x.xyz, boxes, _NM
