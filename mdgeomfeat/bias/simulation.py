"""A biased simulation in a folder, which goes on where it was stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.bias.checkpoint import Checkpoint
from mdgeomfeat.bias.colvar import ColvarWriter
from mdgeomfeat.bias.ranges import BiasRange
from mdgeomfeat.bias.sampler import Bias, BiasSettings
from mdgeomfeat.bias.signals import hold_back
from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

__all__ = ["CHECKPOINT", "COLVAR", "TRAJECTORY", "BiasedSimulation", "RunSettings"]

CHECKPOINT, COLVAR, TRAJECTORY = "checkpoint.npz", "COLVAR", "trajectory.xtc"
#: COLVAR's column of the logarithm of a frame's weight.
LOGWEIGHT: Final = "logweight"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a simulation is run and what it writes.

    Attributes
    ----------
    time_step : float
        Time step, ps.
    friction : float
        Friction coefficient of the Langevin thermostat, 1/ps.
    seed : int
        Random seed of the velocities and the thermostat.
    platform : str or None
        Platform of OpenMM; None lets OpenMM choose.
    record : int
        Number of steps between lines of COLVAR.
    frames : int
        Number of steps between frames of the trajectory, a multiple of `record`.
    checkpoint : int
        Number of steps between checkpoints, a multiple of `frames`.

    Raises
    ------
    InputError
        If a number is out of its range or not a multiple.

    Examples
    --------
    >>> from mdgeomfeat.bias import RunSettings
    >>> RunSettings(record=500, frames=1000).checkpoint
    10000
    >>> RunSettings(record=500, frames=700)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: frames=700 is not a multiple of record=500; ...
    """

    time_step: float = 0.002
    friction: float = 1.0
    seed: int = 0
    platform: str | None = None
    record: int = 500
    frames: int = 500
    checkpoint: int = 10_000

    def __post_init__(self) -> None:
        for name in ("time_step", "friction", "record", "frames", "checkpoint"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"{name}={value!r} must be a number above 0.")
        for coarse, fine in (("frames", "record"), ("checkpoint", "frames")):
            a, b = getattr(self, coarse), getattr(self, fine)
            if a % b:
                raise InputError(
                    f"{coarse}={a} is not a multiple of {fine}={b}; choose one that is."
                )


class BiasedSimulation:
    """A simulation with a bias, and its files.

    Parameters
    ----------
    folder : Path
        Holds or gets COLVAR, trajectory and checkpoint. If there is a checkpoint the
        simulation goes on from it.
    topology : openmm.app.Topology
    system : openmm.System
        Gets the bias.
    positions : (A, 3) array, nm
        Where it begins, after minimisation.
    box : (3, 3) array or None
        Where it begins, nm; None where the system has none.
    variables : mapping of str to openmm.Force
        By the names they have in COLVAR.
    ranges : sequence of BiasRange
    bias : BiasSettings
    run : RunSettings
    distance : openmm.Force, optional
        Of the distance from the training data.

    Attributes
    ----------
    bias : Bias
    exact : bool
        Whether it is, or goes on as, the one simulation that these settings give.

    Raises
    ------
    InputError
        If settings, files or positions cannot be used.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import openmm
    >>> from openmm import app
    >>> from mdgeomfeat.bias import BiasedSimulation, BiasRange
    >>> from mdgeomfeat.bias import BiasSettings, RunSettings
    >>> system, topology = openmm.System(), app.Topology()
    >>> residue = topology.addResidue("AR2", topology.addChain())
    >>> for name in ("A1", "A2"):
    ...     _ = topology.addAtom(name, app.element.argon, residue)
    ...     _ = system.addParticle(39.9)
    >>> bond = openmm.CustomBondForce("r")  # its energy is the variable: a distance, nm
    >>> _ = bond.addBond(0, 1)
    >>> Path("biased").mkdir(exist_ok=True)
    >>> simulation = BiasedSimulation(
    ...     Path("biased"), topology, system, np.array([[0, 0, 0], [0, 0, 0.5]]), None,
    ...     {"distance": bond},
    ...     [BiasRange(width=0.05, lower=0.3, upper=1.0, grid=(0.1, 1.2))],
    ...     BiasSettings(pace=50),
    ...     RunSettings(record=50, frames=50, checkpoint=100),
    ... )
    >>> simulation.run(100, advance=lambda n_steps: None)
    >>> simulation.close()
    >>> sorted(path.name for path in Path("biased").iterdir())
    ['COLVAR', 'checkpoint.npz', 'trajectory.xtc']
    """

    def __init__(
        self,
        folder: Path,
        topology: Topology,
        system: openmm.System,
        positions: NDArray[np.floating],
        box: NDArray[np.floating] | None,
        variables: dict[str, openmm.Force],
        ranges: Sequence[BiasRange],
        bias: BiasSettings,
        run: RunSettings,
        distance: openmm.Force | None = None,
    ) -> None:
        self.folder, self._run = folder, run
        path = folder / CHECKPOINT
        found = Checkpoint.load(path) if path.exists() else None
        self.bias = Bias(
            system,
            list(variables.values()),
            ranges,
            bias,
            distance,
            state=None if found is None else found.bias,
        )
        self._names = list(variables)
        self._simulation = _simulation(topology, system, bias, run, self.bias)
        self._saved = 0 if found is None else found.step
        self.exact = True
        try:
            if found is None:
                self._begin(positions, box, bias.temperature)
            else:
                self.exact = found.restore(self._simulation)
            self._open(topology, found)
            self._check(self.bias.values(self._simulation.context))
        except Exception as error:
            raise self._told(error) from error

    @property
    def step(self) -> int:
        """Steps that have been made."""
        return int(self._simulation.currentStep)

    def run(self, n_steps: int, advance: Callable[[int], object]) -> None:
        """Simulate until so many steps have been made since the beginning.

        Ctrl-C and SIGTERM take effect between two lines of COLVAR. They leave the last
        checkpoint in place: the bias goes on from what a checkpoint holds of it, which
        rounds it, so that one more would change the run in its last digits.

        Parameters
        ----------
        n_steps : int
        advance : callable
            Is told how many steps were just made.

        Raises
        ------
        InputError
            If positions are no longer numbers or a variable leaves its grid. The last
            checkpoint stays.
        """
        with hold_back() as stopped:
            while self.step < n_steps and not stopped:
                part = self._run.record - self.step % self._run.record
                part = min(part, n_steps - self.step)
                try:
                    self.bias.step(self._simulation, part)
                    if self.step % self._run.record == 0:
                        self._tell()
                except Exception as error:
                    raise self._told(error) from error
                if self.step % self._run.checkpoint == 0:
                    self.save()
                advance(part)
            if not stopped:
                self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        trajectory = self.folder / TRAJECTORY
        sizes = {
            COLVAR: self._colvar.flush(),
            TRAJECTORY: trajectory.stat().st_size if trajectory.exists() else 0,
        }
        Checkpoint.take(self._simulation, self.bias.state(), sizes).save(
            self.folder / CHECKPOINT
        )
        self._saved = self.step

    def close(self) -> None:
        """Close the files."""
        self._colvar.close()

    def _begin(
        self,
        positions: NDArray[np.floating],
        box: NDArray[np.floating] | None,
        temperature: float,
    ) -> None:
        """Relax, and draw velocities."""
        context = self._simulation.context
        if box is not None:
            context.setPeriodicBoxVectors(*box)
        context.setPositions(positions)
        self._check(self.bias.values(context))
        self._simulation.minimizeEnergy()
        context.setVelocitiesToTemperature(temperature, self._run.seed)
        context.setTime(0)
        context.setStepCount(0)

    def _open(self, topology: Topology, found: Checkpoint | None) -> None:
        """Open COLVAR and trajectory, without what was written after a checkpoint."""
        from openmm import app

        method = self.bias.settings.method
        told = [] if self._distance() is None else ["distance"]
        fields = ["time", *self._names, *told]
        fields += [f"{method}.bias", f"{method}.c", "wall.bias", LOGWEIGHT]
        size = None if found is None else found.sizes[COLVAR]
        self._colvar = ColvarWriter(self.folder / COLVAR, fields, size)
        trajectory = self.folder / TRAJECTORY
        kept = 0 if found is None else found.sizes[TRAJECTORY]
        if trajectory.exists():
            with trajectory.open("r+b") as file:
                file.truncate(kept)
        self._trajectory = app.XTCFile(
            str(trajectory),
            topology,
            self._run.time_step,
            firstStep=self._run.frames,
            interval=self._run.frames,
            append=kept > 0,
        )

    def _distance(self) -> float | None:
        return self.bias.distance(self._simulation.context)

    def _tell(self) -> None:
        """Write a line of COLVAR, and a frame if it is time for one."""
        context = self._simulation.context
        values = self.bias.values(context)
        self._check(values)
        energy, walls = self.bias.energies(context)
        constant = self.bias.constant()
        if math.isnan(constant):  # a bias that is flat so far
            constant = energy
        weight = (energy - constant) / self.bias.settings.kt
        distance = self._distance()
        self._colvar.write(
            [
                self.step * self._run.time_step,
                *values,
                *([] if distance is None else [distance]),
                energy,
                constant,
                walls,
                weight,
            ]
        )
        if self.step % self._run.frames == 0:
            state = context.getState(getPositions=True)
            # written only where the topology has one, too
            box = state.getPeriodicBoxVectors()
            self._trajectory.writeModel(state.getPositions(), periodicBoxVectors=box)

    def _check(self, values: Sequence[float]) -> None:
        """Refuse values that are not finite or lie outside the grid."""
        for name, value, r in zip(self._names, values, self.bias.ranges, strict=True):
            if not math.isfinite(value):
                raise FloatingPointError(f"{name} is not a finite number")
            if not r.periodic and not r.grid[0] <= value <= r.grid[1]:
                raise InputError(
                    f"At step {self.step:,} {name} is {value:.4g}, outside of its grid "
                    f"from {r.grid[0]:.4g} to {r.grid[1]:.4g}"
                    f"{self._kept()}; give a wider --grid, or begin with a structure "
                    "like those the model was learnt from."
                )

    def _kept(self) -> str:
        return f" (the checkpoint of step {self._saved:,} is kept)" * bool(self._saved)

    def _told(self, error: Exception) -> Exception:
        """Return what an error of a step is to be told as."""
        text = str(error)
        numbers = isinstance(error, FloatingPointError) or any(
            words in text for words in ("not finite", "NaN", "nan", "infinite")
        )
        if isinstance(error, InputError) or not numbers:
            return error
        return InputError(
            f"At step {self.step:,} ({self.step * self._run.time_step:.6g} ps) "
            f"positions are no longer finite numbers{self._kept()}; use a shorter "
            "--time-step, or a bias that grows more gently (a lower --barrier, a "
            "larger --width)."
        )


def _simulation(
    topology: Topology,
    system: openmm.System,
    bias: BiasSettings,
    run: RunSettings,
    forces: Bias,
) -> openmm.app.Simulation:
    import openmm
    from openmm import app

    integrator = openmm.LangevinMiddleIntegrator(
        bias.temperature, run.friction, run.time_step
    )
    integrator.setRandomNumberSeed(run.seed)
    integrator.setIntegrationForceGroups(set(range(32)) - forces.idle_groups)
    if run.platform is None:
        return app.Simulation(topology, system, integrator)
    known = [
        openmm.Platform.getPlatform(k).getName()
        for k in range(openmm.Platform.getNumPlatforms())
    ]
    if run.platform not in known:
        raise InputError(
            f"OpenMM has no platform '{run.platform}' here; choose one of "
            f"{', '.join(known)}."
        )
    platform = openmm.Platform.getPlatformByName(run.platform)
    return app.Simulation(topology, system, integrator, platform)
