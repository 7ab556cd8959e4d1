"""Learnt variables as forces of OpenMM.

Each variable is a :class:`openmm.PythonForce` whose energy is its value. A bias puts
them into a ``CustomCVForce``, whose inner context works with pickled copies; all
copies in a process lead to one evaluation, so that d variables cost one.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure, select_atoms
from mdgeomfeat.variables import (
    CollectiveVariables,
    Reach,
    read_model_folder,
    read_training,
)

if TYPE_CHECKING:
    import openmm
    from MDAnalysis.core.groups import AtomGroup
    from openmm.app import Topology

    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.kinetics import CVModel

    Parts: TypeAlias = tuple[CVModel, FeatureSpec, Structure, Reach | None, str]

__all__ = ["SharedEvaluation", "openmm_variables", "require_openmm"]

_NM = 10.0  # Å


def require_openmm() -> None:
    """Refuse to go on without OpenMM.

    Raises
    ------
    InputError
        If it is not installed, or too old to run Python in a force.
    """
    try:
        import openmm
    except ImportError as error:
        raise InputError(
            "A bias needs OpenMM, which is not installed; install the extra: "
            "pip install 'mdgeomfeat[bias]'."
        ) from error
    if not hasattr(openmm, "PythonForce"):
        raise InputError(
            f"OpenMM {openmm.version.version} is too old, because a bias needs "
            "PythonForce of 8.5; update it: pip install 'mdgeomfeat[bias]'."
        )


def openmm_variables(
    model: str | Path,
    topology: Topology | AtomGroup,
    *,
    outputs: Sequence[int] | None = None,
    reach: bool = False,
    select: str | None = None,
    periodic: bool | None = None,
    engine: str = "auto",
) -> list[openmm.PythonForce]:
    """Make the variables of a saved model into forces of OpenMM.

    The energy of each, in kJ/mol, is the variable's value. They are meant for
    ``openmm.CustomCVForce``, ``openmm.app.Metadynamics`` and ``openmm_opes.OPES``.

    A system that contains them can be serialised, but what is written then holds
    Python objects: whoever loads it executes whatever its author put there. Load such
    files from nobody you would not take a program from.

    Parameters
    ----------
    model : path
        The folder ``model`` of a report, or the report's folder.
    topology : openmm.app.Topology or AtomGroup
        Of the whole system. The model's atoms are found as they were in its
        trajectories. The atoms of an AtomGroup are taken as they are, by their index.
    outputs : sequence of int, optional
        Which variables, from 0; by default all of them. Each costs a gradient.
    reach : bool
        Whether to add, as the last, the distance from the training data, which is 1
        where one of a thousand training frames lies farther out.
    select : str, optional
        A selection for a topology in which the atoms are named differently.
    periodic : bool, optional
        Whether the nearest image counts. By default it does if the topology has a
        box, which must be so for the model as well.
    engine : {"auto", "cpu", "torch"}
        What computes.

    Returns
    -------
    list of openmm.PythonForce

    Raises
    ------
    InputError
        If the atoms are others than the model's, its network must not drive a
        simulation, there is a box here and none there or the reverse, or OpenMM is
        missing.

    Examples
    --------
    >>> import openmm.app as app
    >>> from mdgeomfeat.bias import openmm_variables
    >>> def biased(report, pdb, system):
    ...     (cv,) = openmm_variables(report, pdb.topology)
    ...     variable = app.BiasVariable(cv, -1, 8, biasWidth=0.2)
    ...     return app.Metadynamics(system, [variable], 300, 10, 1, 500)
    """
    require_openmm()
    cv_model, features = read_model_folder(model)
    atoms, has_box = _atoms(topology, features, select)
    structure = Structure.from_atomgroup(atoms, tokens=features.tokens)
    periodic = _uses_box(model, features, has_box, periodic)
    evaluation = SharedEvaluation.make(
        _only(cv_model, outputs),
        replace(features, periodic=periodic),
        structure,
        read_training(model).reach if reach else None,
        engine,
    )
    evaluation.variables.require_smooth()
    chosen = range(cv_model.dim) if outputs is None else outputs
    names = [f"cv{k + 1}" for k in chosen] + ["distance"] * reach
    return [
        _force(evaluation, k, name, atoms.ix.tolist()) for k, name in enumerate(names)
    ]


def _force(
    evaluation: SharedEvaluation, index: int, name: str, particles: list[int]
) -> openmm.PythonForce:
    import openmm

    force = openmm.PythonForce(Output(evaluation, index))
    force.setParticles(particles)
    force.setUsesPeriodicBoundaryConditions(evaluation.periodic)
    force.setName(name)
    return force


def _atoms(
    topology: Topology | AtomGroup, features: FeatureSpec, select: str | None
) -> tuple[AtomGroup, bool]:
    """Return a model's atoms and whether there is a box."""
    import MDAnalysis as mda
    from MDAnalysis.converters.OpenMMParser import OpenMMTopologyParser

    if isinstance(topology, mda.AtomGroup):
        if select is not None:
            raise InputError(
                "select= cannot be combined with an AtomGroup, which is a selection "
                "already; leave it out, or give the topology."
            )
        return topology, topology.dimensions is not None
    with OpenMMTopologyParser(topology) as parser:
        universe = mda.Universe(parser.parse())
    atoms = select_atoms(universe, features.select if select is None else select)
    return atoms, topology.getPeriodicBoxVectors() is not None


def _uses_box(
    model: str | Path, features: FeatureSpec, has_box: bool, asked: bool | None
) -> bool:
    """Return whether the nearest image counts, which model and system must agree on."""
    if asked is not None:
        return asked
    learnt = features.periodic
    if learnt == "auto":
        learnt = read_training(model).box
    if learnt != has_box:
        here, there = ("a box", "without one") if has_box else ("no box", "in one")
        raise InputError(
            f"This system has {here} and the model was learnt from frames {there}; "
            "say whether to use nearest images, with periodic=True or False (--pbc or "
            "--no-pbc); without them molecules must be whole."
        )
    return has_box


def _only(model: CVModel, outputs: Sequence[int] | None) -> CVModel:
    """Return a model of some of the outputs."""
    if outputs is None:
        return model
    wrong = [k for k in outputs if not 0 <= k < model.dim]
    if wrong or not len(outputs) or len(set(outputs)) < len(outputs):
        raise InputError(
            f"outputs={list(outputs)} does not choose among this model's variables; "
            f"give different numbers from 0 to {model.dim - 1}."
        )
    columns, rotation = list(outputs), model.rotation
    return replace(
        model,
        rotation=replace(
            rotation,
            matrix=rotation.matrix[:, columns],
            offset=rotation.offset[columns],
            timescales=rotation.timescales[columns],
        ),
    )


class SharedEvaluation:
    """Values and gradients at one set of positions, computed once for all who ask.

    Those of one key exist once in a process, also when they come out of a pickle.

    Parameters
    ----------
    key : str
        Names it, in pickles as well.
    parts : tuple
        The arguments of :meth:`make`.
    """

    _alive: ClassVar[WeakValueDictionary[str, SharedEvaluation]] = WeakValueDictionary()
    _making: ClassVar = threading.Lock()

    def __init__(self, key: str, parts: Parts) -> None:
        model, features, structure, reach, engine = self._parts = parts
        self._key = key
        self.periodic = bool(features.periodic)
        self.variables = CollectiveVariables(
            model, features, structure, engine=engine, reach=reach
        )
        self.n_computed = 0
        self._lock = threading.Lock()
        self._at: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None
        self._found: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @classmethod
    def make(cls, *parts: *Parts) -> SharedEvaluation:
        """Return the evaluation of a model.

        Parameters
        ----------
        *parts : CVModel, FeatureSpec, Structure, Reach or None, str
            Model, what makes its features (``periodic`` says whether there is a box),
            atoms, distance from the training data, and engine.
        """
        return cls.restore(uuid.uuid4().hex, parts)

    @classmethod
    def restore(cls, key: str, parts: Parts) -> SharedEvaluation:
        """Return the one of this key, made if this process has none.

        Parameters
        ----------
        key : str
        parts : tuple
        """
        with cls._making:
            found = cls._alive.get(key)
            if found is None:
                cls._alive[key] = found = cls(key, parts)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedEvaluation.restore, (self._key, self._parts)

    def __call__(
        self, positions: NDArray[np.floating], lattice: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute what has not just been computed.

        Parameters
        ----------
        positions : (A, 3) array, nm
        lattice : (3, 3) array or None
            Vectors of the box as rows, nm, lower triangular.

        Returns
        -------
        values : (d,) ndarray
        gradients : (d, A, 3) ndarray, 1/nm
        """
        box = np.zeros(0) if lattice is None else lattice
        with self._lock:
            if (
                self._found is None
                or self._at is None
                or not np.array_equal(self._at[0], positions)
                or not np.array_equal(self._at[1], box)
            ):
                self._at = self._found = None
                values, gradients = self.variables.differentiate(
                    _NM * positions[None],
                    None if lattice is None else _dimensions(_NM * lattice),
                )
                self.n_computed += 1
                self._at = positions.copy(), box.copy()
                self._found = values[0], _NM * gradients[0]
            return self._found


class Output:
    """One variable as the energy that a PythonForce asks for.

    Parameters
    ----------
    evaluation : SharedEvaluation
    index : int
        Which of its outputs.
    """

    def __init__(self, evaluation: SharedEvaluation, index: int) -> None:
        self.evaluation = evaluation
        self.index = index

    def __call__(self, state: openmm.State) -> tuple[float, NDArray[np.float64]]:
        """Return the value and minus the gradient, in kJ/mol and kJ/mol/nm."""
        from openmm import unit

        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        lattice = None
        if self.evaluation.periodic:
            vectors = state.getPeriodicBoxVectors(asNumpy=True)
            lattice = np.asarray(vectors.value_in_unit(unit.nanometer))
        values, gradients = self.evaluation(np.asarray(positions), lattice)
        return float(values[self.index]), -gradients[self.index]


def _dimensions(lattice: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return [a, b, c, alpha, beta, gamma] of lattice vectors, Å and degrees."""
    lengths = np.linalg.norm(lattice, axis=1)
    a, b, c = lattice / lengths[:, None]
    cosines = np.array([b @ c, a @ c, a @ b])
    return np.concatenate([lengths, np.rad2deg(np.arccos(np.clip(cosines, -1, 1)))])
