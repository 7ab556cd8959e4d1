"""The bias itself: OPES or metadynamics, walls, and where it fades out.

OPES is M. Invernizzi and M. Parrinello, J. Phys. Chem. Lett. 11, 2731 (2020), as the
package openmm-opes has it; metadynamics is well-tempered (A. Barducci, G. Bussi and
M. Parrinello, Phys. Rev. Lett. 100, 020603 (2008)), as OpenMM has it.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from mdgeomfeat.bias.ranges import BiasRange
from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.energy import GAS_CONSTANT

if TYPE_CHECKING:
    import openmm
    from openmm.app import Simulation

__all__ = ["METHODS", "Bias", "BiasSettings"]

METHODS: Final = ("opes", "metad")
_LEVEL = "bias_level"


@dataclass(frozen=True, kw_only=True)
class BiasSettings:
    """How a bias grows.

    Attributes
    ----------
    method : {"opes", "metad"}
        OPES or well-tempered metadynamics.
    temperature : float
        Temperature of the simulation, K.
    barrier : float
        Highest barrier that the bias should overcome, kJ/mol.
    height : float
        Initial height of the Gaussians in metadynamics, kJ/mol.
    bias_factor : float or None
        Bias factor of the well-tempered distribution; by default the barrier divided
        by kT.
    pace : int
        Number of steps between Gaussians.
    fade : float or None
        Width over which the bias fades out, in units of the distance from the training
        data and starting at a distance of 1. None means no fading.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> from mdgeomfeat.bias import BiasSettings
    >>> settings = BiasSettings(method="metad", temperature=300.0, barrier=25.0)
    >>> round(settings.kt, 3), round(settings.factor, 2)
    (2.494, 10.02)
    >>> BiasSettings(method="funnel")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: method='funnel' is not known; use 'opes' or 'metad'.
    """

    method: str = "opes"
    temperature: float = 300.0
    barrier: float = 40.0
    height: float = 1.0
    bias_factor: float | None = None
    pace: int = 500
    fade: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"method={self.method!r} is not known; use 'opes' or 'metad'."
            )
        for name in ("temperature", "barrier", "height", "pace"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"{name}={value!r} must be a number above 0.")
        if self.fade is not None and not 0 < self.fade < math.inf:
            raise InputError(f"fade={self.fade!r} must be a number above 0, or None.")
        if not 1 < self.factor < math.inf:
            raise InputError(
                f"A bias factor of {self.factor:.3g} gives no bias; it must be above "
                f"1, and so must the barrier over kT ({self.kt:.2f} kJ/mol)."
            )

    @property
    def kt(self) -> float:
        """Thermal energy, kJ/mol."""
        return GAS_CONSTANT * self.temperature

    @property
    def factor(self) -> float:
        """The bias factor."""
        return self.barrier / self.kt if self.bias_factor is None else self.bias_factor


class Bias:
    """A bias on variables of a system, which :meth:`step` lets grow.

    Where it fades out its energy goes to that of no bias in what has been explored
    (of OPES 0; of metadynamics the highest so far), so that nothing drives the
    molecule out of the training data: what has not been explored is lower inside.

    Parameters
    ----------
    system : openmm.System
        Gets the forces of the bias.
    forces : sequence of openmm.Force
        One per variable; its energy is the variable.
    ranges : sequence of BiasRange
        One per variable.
    settings : BiasSettings
    distance : openmm.Force, optional
        Its energy is the distance from the training data; needed if the bias is to
        fade out, else only told.
    state : mapping, optional
        Of :meth:`state`, to go on from.

    Attributes
    ----------
    idle_groups : set of int
        Force groups that integrators shall leave out.

    Raises
    ------
    InputError
        If there are too many variables, or a package is missing.

    Examples
    --------
    >>> import openmm
    >>> from mdgeomfeat.bias import Bias, BiasRange, BiasSettings
    >>> system = openmm.System()
    >>> _ = [system.addParticle(16.0) for _ in range(2)]
    >>> bond = openmm.CustomBondForce("r")  # its energy is the variable: a distance, nm
    >>> _ = bond.addBond(0, 1)
    >>> ranges = [BiasRange(width=0.05, lower=0.2, upper=1.0, grid=(0.1, 1.2))]
    >>> bias = Bias(system, [bond], ranges, BiasSettings(pace=10))
    >>> context = openmm.Context(system, openmm.VerletIntegrator(0.001))
    >>> context.setPositions([[0, 0, 0], [0, 0, 0.5]])
    >>> [round(value, 3) for value in bias.values(context)]
    [0.5]
    """

    def __init__(
        self,
        system: openmm.System,
        forces: Sequence[openmm.Force],
        ranges: Sequence[BiasRange],
        settings: BiasSettings,
        distance: openmm.Force | None = None,
        state: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        from openmm import app

        if settings.fade is not None and distance is None:
            raise InputError(
                "To fade out, a bias needs the distance from the training data; make "
                "the variables with reach=True."
            )
        if len({r.periodic for r in ranges}) > 1:
            raise InputError(
                "Angles cannot be biased together with variables that are not angles; "
                "choose one kind."
            )
        self.settings, self.ranges = settings, tuple(ranges)
        self._walls = _walls(forces, ranges)
        if self._walls is not None:
            self._walls.setForceGroup(_free_group(system))
            system.addForce(self._walls)
        self._variables = [
            app.BiasVariable(f, *r.grid, r.width, r.periodic, r.points(len(ranges)))
            for f, r in zip(forces, ranges, strict=True)
        ]
        self._sampler = self._make(system, state)
        self._force = system.getForce(system.getNumForces() - 1)
        self._watch = None
        if settings.fade is not None:
            self._fade_out(distance, settings.fade)
        elif distance is not None:
            self._watch = _silent(distance)
            self._watch.setForceGroup(_free_group(system))
            system.addForce(self._watch)
        self.idle_groups = {self._watch.getForceGroup()} if self._watch else set()

    def _make(
        self, system: openmm.System, state: Mapping[str, NDArray[Any]] | None
    ) -> Any:
        """Return the sampler, which adds its force to the system."""
        from openmm import app

        chosen = self.settings
        if chosen.method == "opes":
            sampler = _opes_class()(
                system,
                self._variables,
                temperature=chosen.temperature,
                barrier=chosen.barrier,
                frequency=chosen.pace,
                varianceFrequency=None,
                biasFactor=chosen.factor,
            )
            if state is not None:
                sampler.setState(state)
            return sampler
        with tempfile.TemporaryDirectory() as folder:
            options: dict[str, Any] = {}
            if state is not None:
                # it goes on from what "another walker" has left in a folder
                np.save(Path(folder) / "bias_0_0.npy", state["table"])
                options = {"saveFrequency": chosen.pace, "biasDir": folder}
            sampler = app.Metadynamics(
                system,
                self._variables,
                chosen.temperature,
                chosen.factor,
                chosen.height,
                chosen.pace,
                **options,
            )
        sampler.saveFrequency = sampler.biasDir = None
        return sampler

    def _fade_out(self, distance: openmm.Force, width: float) -> None:
        force = self._force
        force.addCollectiveVariable("distance", distance)
        force.addGlobalParameter(_LEVEL, self._highest())
        force.setEnergyFunction(
            f"{_LEVEL}*(1-keep) + keep*{force.getEnergyFunction()};"
            "keep = 1 - x*x*(3-2*x);"
            f"x = min(1, max(0, (distance-1)/{width!r}))"
        )

    def _highest(self) -> float:
        """Return the energy of the bias in what has been explored."""
        if self.settings.method == "opes":
            return self.settings.barrier  # its table is the bias plus the barrier
        return float(self._table().max())

    def _table(self) -> NDArray[np.float64]:
        """Return what is tabulated on the grid, the first variable's axis last."""
        values = self._force.getTabulatedFunction(0).getFunctionParameters()
        (table,) = (v for v in values if not isinstance(v, int | float))
        return np.array(table).reshape([v.gridWidth for v in self._variables[::-1]])

    def step(self, simulation: Simulation, n_steps: int) -> None:
        """Simulate, and let the bias grow.

        Parameters
        ----------
        simulation : openmm.app.Simulation
        n_steps : int
        """
        fades = self.settings.fade is not None and self.settings.method == "metad"
        while n_steps > 0:
            part = min(n_steps, self.settings.pace) if fades else n_steps
            if fades:
                simulation.context.setParameter(_LEVEL, self._highest())
            self._sampler.step(simulation, part)
            n_steps -= part

    def values(self, context: openmm.Context) -> tuple[float, ...]:
        """Return the variables.

        Parameters
        ----------
        context : openmm.Context
        """
        found = self._force.getCollectiveVariableValues(context)
        return tuple(found[: len(self.ranges)])

    def distance(self, context: openmm.Context) -> float | None:
        """Return the distance from the training data, None where it is unknown.

        It has no unit; 1 is at the edge of what was seen
        (:class:`~mdgeomfeat.variables.Reach`).

        Parameters
        ----------
        context : openmm.Context
        """
        if self._watch is not None:
            return float(self._watch.getCollectiveVariableValues(context)[0])
        if self.settings.fade is None:
            return None
        return float(self._force.getCollectiveVariableValues(context)[-1])

    def energies(self, context: openmm.Context) -> tuple[float, float]:
        """Return the energies of bias and walls, kJ/mol.

        Parameters
        ----------
        context : openmm.Context
        """
        energy = _energy(context, self._force)
        if self.settings.method == "opes":
            energy -= self.settings.barrier
        return energy, 0.0 if self._walls is None else _energy(context, self._walls)

    def constant(self) -> float:
        """Return the energy that makes the bias's weights comparable in time, kJ/mol.

        A frame at which the bias is V weighs ``exp((V - c) / kT)``. Of OPES it is
        that of openmm-opes, of metadynamics that of P. Tiwary and M. Parrinello,
        J. Phys. Chem. B 119, 736 (2015), equation 9. NaN before the first Gaussian.
        """
        kt, factor = self.settings.kt, self.settings.factor
        if self.settings.method == "opes":
            from openmm import unit

            return float(self._sampler.getCt().value_in_unit(unit.kilojoules_per_mole))
        v = self._table() / kt
        if not v.any():
            return math.nan
        both = logsumexp(v * factor / (factor - 1)) - logsumexp(v / (factor - 1))
        return float(kt * both)

    def free_energy(self) -> NDArray[np.float64]:
        """Return the bias's own estimate on the grid, kJ/mol, least 0.

        The first variable's axis is the last; NaN before the first Gaussian.

        Returns
        -------
        (n_1,) or (n_2, n_1) ndarray, kJ/mol
            At the points of :meth:`axes`.
        """
        from openmm import unit

        energy = self._sampler.getFreeEnergy()
        values = np.asarray(energy.value_in_unit(unit.kilojoules_per_mole), float)
        above: NDArray[np.float64] = values - np.min(values)
        return above

    def axes(self) -> tuple[NDArray[np.float64], ...]:
        """Return the grid's points along each variable, (n_i,) ndarrays."""
        return tuple(
            np.linspace(v.minValue, v.maxValue, v.gridWidth) for v in self._variables
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Return arrays from which another bias goes on as this one does.

        That it goes on from its own arrays, too, makes the two bit-identical.

        Returns
        -------
        dict of str to ndarray
            Of metadynamics ``table``, the energy on the grid in kJ/mol, with the shape
            of :meth:`free_energy`; of OPES what openmm-opes keeps.
        """
        if self.settings.method == "metad":
            return {"table": self._table()}
        state = {k: np.asarray(v) for k, v in self._sampler.getState().items()}
        self._sampler.setState(state)
        return state


def _opes_class() -> Any:
    """Return OPES of a force that may have more variables than the biased ones."""
    try:
        from openmm_opes import OPES
    except ImportError as error:
        raise InputError(
            "OPES needs openmm-opes, which is not installed; install the extra: pip "
            "install 'mdgeomfeat[bias]', or use metadynamics."
        ) from error

    class LeadingOPES(OPES):
        def getCollectiveVariables(  # noqa: N802
            self, simulation: Simulation
        ) -> tuple[float, ...]:
            found = super().getCollectiveVariables(simulation)
            return tuple(found[: len(self.variables)])

    return LeadingOPES


def _free_group(system: openmm.System) -> int:
    """Return the first force group from the top that no force is in."""
    taken = {force.getForceGroup() for force in system.getForces()}
    return max(set(range(32)) - taken)


def _energy(context: openmm.Context, force: openmm.Force) -> float:
    from openmm import unit

    state = context.getState(getEnergy=True, groups={force.getForceGroup()})
    return float(state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole))


def _silent(distance: openmm.Force) -> openmm.CustomCVForce:
    """Return a force that does nothing but tell the distance."""
    import openmm

    force = openmm.CustomCVForce("0*distance")
    force.addCollectiveVariable("distance", distance)
    return force


def _walls(
    forces: Sequence[openmm.Force], ranges: Sequence[BiasRange]
) -> openmm.CustomCVForce | None:
    """Return harmonic walls that keep variables on their grids, if any are needed."""
    import openmm

    terms = []
    for k, r in enumerate(ranges):
        if r.periodic:
            continue
        lower, upper = r.stiffness()
        terms += [
            f"{lower / 2!r}*min(0, cv{k} - ({r.lower!r}))^2",
            f"{upper / 2!r}*max(0, cv{k} - ({r.upper!r}))^2",
        ]
    if not terms:
        return None
    walls = openmm.CustomCVForce(" + ".join(terms))
    for k, force in enumerate(forces):
        walls.addCollectiveVariable(f"cv{k}", copy.deepcopy(force))
    return walls
