"""Peptides in motion: short implicit-solvent simulations for pre-training.

Frames of molecular dynamics are not minima. Each peptide is built from its sequence
in a given or random backbone conformation, minimised, shaken at 600 K and then
simulated at a temperature drawn between 300 and 600 K.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .exclusion import HELD_OUT_PAIRS, LETTERS, RESIDUES, peptide_smiles
from .molecules import Molecule, key_of_smiles, require_rdkit
from .packed import Source
from .peptides import FORCE_FIELD_FILES, build_peptide

if TYPE_CHECKING:
    from openmm.app import ForceField

__all__ = ["PeptideSettings", "peptides", "simulate_peptide"]

#: Protonation states by letter, OpenMM's names; the common one first.
STATES = {
    "D": ("ASP", "ASH"),
    "E": ("GLU", "GLH"),
    "H": ("HIE", "HID", "HIP"),
    "K": ("LYS", "LYN"),
    "C": ("CYS",),
}
NAMES = dict(zip(LETTERS, RESIDUES, strict=True))
#: Backbone dihedrals (phi, psi) of the start structures, degrees.
BACKBONES = {
    "helix": (-60.0, -45.0),
    "strand": (-120.0, 130.0),
    "polyproline": (-75.0, 145.0),
    "left": (55.0, 45.0),
}
#: Sequences of evaluation peptides, not to be built.
EVALUATION_SEQUENCES = frozenset({"A", "G", "WLALL", "RDQAHGKLFW"})


@dataclass(frozen=True, kw_only=True)
class PeptideSettings:
    """What is simulated.

    Parameters
    ----------
    length : int
        Residues between the caps ACE and NME.
    n_peptides : int
        Sequences, drawn without repetition; for lengths 1 and 2 all that exist at
        most.
    backbone : {"any", "helix", "strand", "polyproline", "left"}
        Start conformation; ``"any"`` draws one per peptide.
    shake : float, ps
        At 600 K before the first frame; 0 keeps the start conformation.
    n_frames : int
    interval : float, ps
        Between frames.
    temperatures : (float, float), K
    rare_states : float
        Probability that a residue stands in one of its rarer protonation states.
    held_out : bool
        Build the pairs that nothing is trained on instead (for evaluation;
        `pack` drops them unless its exclusion list is emptied).
    seed : int
    """

    length: int = 2
    n_peptides: int = 100
    backbone: str = "any"
    shake: float = 6.0
    n_frames: int = 10
    interval: float = 1.5
    temperatures: tuple[float, float] = (300.0, 600.0)
    rare_states: float = 0.2
    held_out: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.backbone != "any" and self.backbone not in BACKBONES:
            raise InputError(
                f"backbone={self.backbone!r} is unknown; choose any or one of "
                f"{', '.join(BACKBONES)}."
            )
        if self.length < 1 or self.n_frames < 1 or self.n_peptides < 1:
            raise InputError(
                "length=, n_frames= and n_peptides= must be at least 1, not "
                f"{self.length}, {self.n_frames} and {self.n_peptides}."
            )


def peptides(
    settings: PeptideSettings,
    *,
    name: str = "peptides",
    about: dict[str, Any] | None = None,
) -> Source:
    """Simulate peptides.

    Parameters
    ----------
    settings : PeptideSettings
    name, about
        See `Source`.

    Returns
    -------
    Source
        Streams one peptide after another; counts simulations that failed.
    """
    require_rdkit()
    tally: Counter[str] = Counter()
    about = {
        "builder": "peptides",
        "settings": asdict(settings),
        "force_field": list(FORCE_FIELD_FILES),
        **(about or {}),
    }
    return Source(name, _stream(settings, tally), tally, about)


def _sequences(settings: PeptideSettings) -> list[str]:
    """Draw sequences, none with a held-out pair unless those are asked for."""
    rng = random.Random(settings.seed)
    if settings.held_out:
        pairs = sorted(HELD_OUT_PAIRS)
        return rng.sample(pairs, min(settings.n_peptides, len(pairs)))
    possible = 20**settings.length
    drawn: list[str] = []
    tried: set[str] = set()
    while len(drawn) < settings.n_peptides and len(tried) < possible:
        sequence = "".join(rng.choices(LETTERS, k=settings.length))
        if sequence in tried:
            continue
        tried.add(sequence)
        pairs_in = {sequence[i : i + 2] for i in range(len(sequence) - 1)}
        if sequence not in EVALUATION_SEQUENCES and not pairs_in & HELD_OUT_PAIRS:
            drawn.append(sequence)
    return drawn


def _stream(settings: PeptideSettings, tally: Counter[str]) -> Iterator[Molecule]:
    import openmm as mm
    from openmm import app

    forcefield = app.ForceField(*FORCE_FIELD_FILES)
    rng = np.random.default_rng(settings.seed)
    for sequence in _sequences(settings):
        residues = [
            str(rng.choice(STATES[a][1:]))
            if len(STATES.get(a, ())) > 1 and rng.random() < settings.rare_states
            else NAMES[a]
            for a in sequence
        ]
        seed = int(rng.integers(1, 2**31 - 1))
        temperature = float(rng.uniform(*settings.temperatures))
        backbone = settings.backbone
        if backbone == "any":
            backbone = str(rng.choice(list(BACKBONES)))
        try:
            numbers, positions = simulate_peptide(
                sequence,
                residues=residues,
                backbone=BACKBONES[backbone],
                temperature=temperature,
                shake=settings.shake,
                n_frames=settings.n_frames,
                interval=settings.interval,
                seed=seed,
                forcefield=forcefield,
            )
        except mm.OpenMMException:
            tally["simulation failed"] += 1
            continue
        key = key_of_smiles(peptide_smiles(residues))
        if key is None:
            raise RuntimeError(f"the SMILES of {sequence} cannot be read")
        yield Molecule(numbers, positions, key)


def simulate_peptide(
    sequence: str,
    *,
    residues: list[str] | None = None,
    backbone: tuple[float, float] = BACKBONES["strand"],
    temperature: float = 300.0,
    shake: float = 6.0,
    n_frames: int = 10,
    interval: float = 1.5,
    seed: int = 1,
    forcefield: ForceField | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames of ACE-`sequence`-NME in implicit solvent.

    Parameters
    ----------
    sequence : str
        One-letter codes.
    residues : list of str, optional
        Protonation states, one name per letter (``"HIP"``, ``"ASH"``).
    backbone : (float, float), degrees
        phi and psi of the start structure.
    temperature : float, K
    shake, interval : float, ps
        Time at 600 K before the first frame, and between frames.
    n_frames : int
    seed : int
    forcefield : openmm.app.ForceField, optional
        ff99SB-ILDN with OBC by default.

    Returns
    -------
    numbers : ndarray, shape (A,), uint8
    positions : ndarray, shape (n_frames, A, 3), float32, Å
    """
    import openmm as mm
    from openmm import app, unit

    forcefield = forcefield or app.ForceField(*FORCE_FIELD_FILES)
    variants = {i: name for i, name in enumerate(residues or []) if name in _VARIANTS}
    peptide = build_peptide(
        sequence,
        phi=backbone[0],
        psi=backbone[1],
        variants=variants,
        forcefield=forcefield,
    )
    numbers = np.array(
        [atom.element.atomic_number for atom in peptide.topology.atoms()], np.uint8
    )
    system = forcefield.createSystem(
        peptide.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=3.0 * unit.amu,
    )
    step = 0.004  # ps
    integrator = mm.LangevinMiddleIntegrator(600.0 * unit.kelvin, 5.0, step)
    integrator.setRandomNumberSeed(seed)
    # The Reference platform is the faster one up to some 60 atoms.
    small = len(numbers) <= 70
    platform = mm.Platform.getPlatformByName("Reference" if small else "CPU")
    properties = {} if small else {"Threads": "1"}
    context = mm.Context(system, integrator, platform, properties)
    context.setPositions(peptide.positions)
    mm.LocalEnergyMinimizer.minimize(context, maxIterations=200)
    context.setVelocitiesToTemperature(600.0 * unit.kelvin, seed)
    if shake:
        integrator.step(round(shake / step))
    integrator.setTemperature(temperature * unit.kelvin)
    frames = []
    for _ in range(n_frames):
        integrator.step(max(1, round(interval / step)))
        state = context.getState(getPositions=True)
        frames.append(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
    return numbers, np.asarray(frames, np.float32)


_VARIANTS = frozenset({"ASH", "GLH", "HIE", "HID", "HIP", "LYN"})
