"""Fine-tuned energies and forces in ASE, and how well they conserve energy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch, Data

from ..errors import InputError
from .model import PropertyModel
from .trainer import refuse_unseen

try:
    from ase import Atoms, units
    from ase.calculators.calculator import Calculator, all_changes
    from ase.md.velocitydistribution import Stationary
    from ase.md.verlet import VelocityVerlet
except ImportError as error:
    raise InputError(
        "ASE is not installed, and molecules are moved with it; install it with: "
        "pip install 'mdgeomfeat[finetuning]'."
    ) from error

__all__ = ["NetworkCalculator", "calculator", "energy_drift"]


class NetworkCalculator(Calculator):
    """Energy (eV) and forces (eV/Å) of a network, in double precision.

    Parameters
    ----------
    model : PropertyModel
        Of kind "conservative" or "forces"; the second has no energy.
    """

    def __init__(self, model: PropertyModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.implemented_properties = ["energy", "forces"]
        self.model = copy.deepcopy(model).double().eval()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces (ASE calls this).

        Parameters
        ----------
        atoms : ase.Atoms, optional
        properties, system_changes : list of str
            What ASE asks for, and what has changed since it last did.

        Raises
        ------
        InputError
            If the molecule is periodic or holds an element that the network does not
            know.
        """
        super().calculate(  # type: ignore[no-untyped-call]
            atoms, properties, system_changes
        )
        assert self.atoms is not None
        if self.atoms.pbc.any():
            raise InputError("The molecule is periodic; take its box away.")
        refuse_unseen(self.model.backbone, self.atoms.numbers)
        one = Data(
            z=torch.from_numpy(self.atoms.numbers.astype(np.int64)),
            pos=torch.from_numpy(self.atoms.positions),
        )
        batch = Batch.from_data_list([one])
        with torch.no_grad():
            found = self.model.physical(batch, self.model(batch))
        self.results["forces"] = found["forces"].detach().numpy()
        if "y" in found:
            self.results["energy"] = found["y"].item()


def calculator(model: PropertyModel) -> NetworkCalculator:
    """Put a fine-tuned network behind ASE's interface.

    Parameters
    ----------
    model : PropertyModel

    Returns
    -------
    NetworkCalculator

    Raises
    ------
    InputError
        If the network predicts no forces.

    Examples
    --------
    >>> from ase import Atoms
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.finetuning import HeadSpec, PropertyModel, calculator
    >>> spec = HeadSpec(kind="conservative", target="energy", unit="eV")
    >>> model = PropertyModel(load_model(), spec).eval()
    >>> atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
    >>> atoms.calc = calculator(model)
    >>> atoms.get_forces().shape
    (2, 3)
    """
    if model.spec.kind not in ("conservative", "forces"):
        raise InputError(
            f"The network predicts {model.spec.target!r}, and nothing moves by that; "
            "give one of kind 'conservative' or 'forces'."
        )
    return NetworkCalculator(model)


def energy_drift(
    model: PropertyModel,
    numbers: Any,
    positions: Any,
    *,
    temperature: float = 300.0,
    timestep: float = 0.5,
    steps: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Run a molecule at constant energy, and see whether the energy is constant.

    Parameters
    ----------
    model : PropertyModel
        Of kind "conservative".
    numbers : array, shape (A,)
    positions : array, shape (A, 3), Å
    temperature : float, K
        Of the first velocities.
    timestep : float, fs
    steps : int
    seed : int

    Returns
    -------
    dict
        ``drift`` of the total energy (slope of a straight line, meV per atom and ps),
        its standard deviation about that line (``fluctuation``, meV per atom), the mean
        kinetic ``temperature`` (K) and ``ps``.

    Raises
    ------
    InputError
        If the network has no energy.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.finetuning import HeadSpec, PropertyModel, energy_drift
    >>> spec = HeadSpec(kind="conservative", target="energy", unit="eV")
    >>> model = PropertyModel(load_model(), spec).eval()
    >>> positions = [[0, 0, 0], [0, 0, 1.1]]
    >>> drift = energy_drift(model, [6, 8], positions, temperature=50.0, steps=20)
    >>> sorted(drift), round(drift["ps"], 3)
    (['drift', 'fluctuation', 'ps', 'temperature'], 0.01)
    """
    if model.spec.kind != "conservative":
        raise InputError(
            f"The network is of kind {model.spec.kind!r} and has no energy that could "
            "be conserved; give one of kind 'conservative'."
        )
    atoms = Atoms(numbers=np.asarray(numbers), positions=np.asarray(positions))
    atoms.calc = calculator(model)
    rng = np.random.default_rng(seed)
    width = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(width[:, None] * rng.standard_normal((len(atoms), 3)))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, timestep=timestep * units.fs)
    total: list[float] = []
    kinetic: list[float] = []

    def note() -> None:
        total.append(atoms.get_total_energy())
        kinetic.append(atoms.get_temperature())

    dynamics.attach(note, interval=1)
    dynamics.run(steps)
    meV = 1e3 * (np.array(total) - total[0]) / len(atoms)
    ps = np.arange(len(meV)) * timestep * 1e-3
    slope, start = np.polyfit(ps, meV, 1)
    return {
        "drift": float(slope),
        "fluctuation": float(np.std(meV - slope * ps - start)),
        "temperature": float(np.mean(kinetic)),
        "ps": float(ps[-1]),
    }
