"""Where a simulation goes on after it was stopped, by whatever."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    from openmm.app import Simulation

__all__ = ["Checkpoint"]

FORMAT: Final = 1
_BIAS = "bias."


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """State of a simulation, its bias, and how long its files were then.

    Attributes
    ----------
    step : int
    time : float
        ps.
    positions, velocities : (A, 3) ndarray
        nm and nm/ps.
    box : (3, 3) ndarray
        nm.
    made_by : str
        Platform and version of OpenMM whose own checkpoint `native` is.
    native : bytes
        With it the random numbers go on as well.
    bias : mapping of str to ndarray
        Of :meth:`~mdgeomfeat.bias.sampler.Bias.state`.
    sizes : mapping of str to int
        Bytes of each file that is written to.
    """

    step: int
    time: float
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    box: NDArray[np.float64]
    made_by: str
    native: bytes
    bias: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def take(
        cls,
        simulation: Simulation,
        bias: Mapping[str, NDArray[Any]],
        sizes: Mapping[str, int],
    ) -> Checkpoint:
        """Take one of a simulation.

        Parameters
        ----------
        simulation : openmm.app.Simulation
        bias : mapping of str to ndarray
        sizes : mapping of str to int
        """
        from openmm import unit

        context = simulation.context
        state = context.getState(getPositions=True, getVelocities=True)
        speed = unit.nanometer / unit.picosecond
        return cls(
            step=simulation.currentStep,
            time=state.getTime().value_in_unit(unit.picosecond),
            positions=state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
            velocities=state.getVelocities(asNumpy=True).value_in_unit(speed),
            box=state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer),
            made_by=_made_by(simulation),
            native=context.createCheckpoint(),
            bias=bias,
            sizes=sizes,
        )

    def restore(self, simulation: Simulation) -> bool:
        """Bring a simulation to this state.

        Parameters
        ----------
        simulation : openmm.app.Simulation

        Returns
        -------
        bool
            Whether it goes on as if it had not been stopped. It does not where
            another version or platform of OpenMM made the checkpoint: positions and
            velocities are the same then, the thermostat's random numbers others.
        """
        context = simulation.context
        exact = self.made_by == _made_by(simulation)
        if exact:
            context.loadCheckpoint(self.native)
        else:
            context.setPeriodicBoxVectors(*self.box)
            context.setPositions(self.positions)
            context.setVelocities(self.velocities)
        context.setStepCount(self.step)
        context.setTime(self.time)
        return exact

    def save(self, path: Path) -> None:
        """Write it; a reader finds this one or the one before, whole.

        Parameters
        ----------
        path : Path
        """
        draft = path.with_name(f".{path.name}.part")
        with draft.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                format=np.array(FORMAT),
                step=np.array(self.step),
                time=np.array(self.time),
                positions=self.positions,
                velocities=self.velocities,
                box=self.box,
                made_by=np.array(self.made_by),
                native=np.frombuffer(self.native, np.uint8),
                files=np.array(list(self.sizes), dtype=np.str_),
                sizes=np.array(list(self.sizes.values()), dtype=np.int64),
                **{_BIAS + name: values for name, values in self.bias.items()},
            )
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : Path

        Raises
        ------
        InputError
            If it is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            number = int(arrays["format"])
            if number != FORMAT:
                raise InputError(
                    f"The checkpoint '{path}' has format {number}, but this release "
                    f"reads format {FORMAT}; continue with the release that wrote it."
                )
            return cls(
                step=int(arrays["step"]),
                time=float(arrays["time"]),
                positions=arrays["positions"],
                velocities=arrays["velocities"],
                box=arrays["box"],
                made_by=str(arrays["made_by"]),
                native=arrays["native"].tobytes(),
                bias={
                    name.removeprefix(_BIAS): values
                    for name, values in arrays.items()
                    if name.startswith(_BIAS)
                },
                sizes=dict(
                    zip(arrays["files"].tolist(), arrays["sizes"].tolist(), strict=True)
                ),
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"'{path}' is not the checkpoint of a simulation ({error}); start over "
                "with --overwrite."
            ) from error


def _made_by(simulation: Simulation) -> str:
    import openmm

    platform = simulation.context.getPlatform().getName()
    return f"{platform} of OpenMM {openmm.version.full_version}"
