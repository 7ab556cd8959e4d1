"""Conformations from SMILES: embedded, minimised, and warmed up with MMFF94.

Every molecule is embedded with ETKDGv3 (Riniker & Landrum, J. Chem. Inf. Model.
55, 2562 (2015)), minimised with MMFF94 where it has parameters, and, if asked for,
carried on from there by Langevin dynamics in the same force field, so that the
networks see bent and stretched molecules beside relaxed ones.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .molecules import Molecule, key_of_mol, open_file, require_rdkit
from .packed import Source

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["ConformerSettings", "candidates", "conformers", "read_smiles"]

#: Elements that MMFF94 and the shipped models cover.
COMMON = frozenset({1, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53})
#: Boltzmann's constant, kcal/mol/K, and (kcal/mol/Å/u) in Å/ps².
KB = 0.0019872041
ACCELERATION = 418.4


@dataclass(frozen=True, kw_only=True)
class ConformerSettings:
    """How molecules are chosen and built.

    Parameters
    ----------
    n_conformers : int
        Embeddings per molecule.
    snapshots : int
        Frames of Langevin dynamics per embedding, beside the minimised one.
    temperatures : (float, float), K
        Each run's temperature is drawn between them.
    interval : float, ps
        Between snapshots.
    max_heavy : int
        Larger molecules are passed over.
    max_molecules : int or None
        Stop after so many.
    mode : {"whole", "fragments", "pairs"}
        The molecules as they are, their BRICS fragments, or two fragments in
        contact.
    elements : frozenset of int
        Molecules with another element are passed over.
    seed : int
    """

    n_conformers: int = 2
    snapshots: int = 0
    temperatures: tuple[float, float] = (300.0, 1000.0)
    interval: float = 0.1
    max_heavy: int = 30
    max_molecules: int | None = None
    mode: str = "whole"
    elements: frozenset[int] = COMMON
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in {"whole", "fragments", "pairs"}:
            raise InputError(
                f"mode={self.mode!r} is unknown; choose whole, fragments or pairs."
            )
        if self.n_conformers < 1 or self.snapshots < 0 or self.max_heavy < 1:
            raise InputError(
                "n_conformers and max_heavy must be at least 1 and snapshots at "
                f"least 0, not {self.n_conformers}, {self.max_heavy} and "
                f"{self.snapshots}."
            )


def read_smiles(path: str | Path) -> list[str]:
    """Read the first column of a SMILES file (``.smi`` or ``.smi.gz``).

    Raises
    ------
    InputError
        If the file does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The SMILES file {path} does not exist; check its path.")
    with open_file(path) as file:
        return [line.split()[0].decode() for line in file if line.strip()]


def conformers(
    smiles: Iterable[str],
    settings: ConformerSettings | None = None,
    *,
    name: str = "conformers",
    about: dict[str, Any] | None = None,
) -> Source:
    """Build conformations of molecules.

    Parameters
    ----------
    smiles : iterable of str
        Duplicates are passed over.
    settings : ConformerSettings, optional
    name, about
        See `Source`.

    Returns
    -------
    Source
        Streams; counts what could not be parsed, embedded or minimised.
    """
    require_rdkit()
    settings = settings or ConformerSettings()
    tally: Counter[str] = Counter()
    stated = asdict(settings)
    stated["elements"] = sorted(settings.elements)
    about = {"builder": "conformers", "settings": stated, **(about or {})}
    return Source(name, _stream(smiles, settings, tally), tally, about)


def _stream(
    smiles: Iterable[str], settings: ConformerSettings, tally: Counter[str]
) -> Iterator[Molecule]:
    rng = np.random.default_rng(settings.seed)
    done = 0
    for mol in candidates(smiles, settings, tally):
        if settings.max_molecules is not None and done >= settings.max_molecules:
            return
        seed = int(rng.integers(2**31 - 1))
        positions = _build(mol, settings, tally, seed)
        if positions is None:
            continue
        from rdkit import Chem

        whole = Chem.AddHs(mol)
        numbers = np.array([a.GetAtomicNum() for a in whole.GetAtoms()], np.uint8)
        done += 1
        yield Molecule(numbers, positions, key_of_mol(mol))


def candidates(
    smiles: Iterable[str],
    settings: ConformerSettings,
    tally: Counter[str] | None = None,
) -> Iterator[Mol]:
    """Molecules in the order in which `conformers` tries to build them.

    Nothing is embedded, so that it can be told in seconds which molecules a data set
    may hold: it holds the first of these, but for those that could not be built.

    Parameters
    ----------
    smiles : iterable of str
    settings : ConformerSettings
    tally : collections.Counter, optional
        Counts what was passed over, by reason.

    Yields
    ------
    rdkit.Chem.Mol
    """
    tally = Counter() if tally is None else tally
    chosen: Iterator[Mol] = _parsed(smiles, settings, tally)
    if settings.mode != "whole":
        chosen = _fragments(chosen, settings, tally)
    if settings.mode == "pairs":
        chosen = _pairs(chosen, settings.seed)
    yield from chosen


def _parsed(
    smiles: Iterable[str], settings: ConformerSettings, tally: Counter[str]
) -> Iterator[Mol]:
    """Readable molecules of allowed size and elements, each once."""
    from rdkit import Chem

    seen: set[str] = set()
    limit = settings.max_heavy if settings.mode == "whole" else 60
    for text in smiles:
        if settings.mode == "whole" and len(text) > 6 * settings.max_heavy:
            tally["too large"] += 1
            continue
        mol = Chem.MolFromSmiles(text)
        if mol is None:
            tally["not parsed"] += 1
        elif mol.GetNumHeavyAtoms() > limit or mol.GetNumHeavyAtoms() == 0:
            tally["too large"] += 1
        elif any(a.GetAtomicNum() not in settings.elements for a in mol.GetAtoms()):
            tally["other elements"] += 1
        elif settings.mode == "whole" and "." in text:
            tally["several molecules in one line"] += 1
        elif any(a.GetNumRadicalElectrons() for a in mol.GetAtoms()):
            tally["radicals"] += 1
        else:
            name = Chem.MolToSmiles(mol)
            if name in seen:
                tally["duplicates"] += 1
                continue
            seen.add(name)
            yield mol


def _fragments(
    mols: Iterable[Mol], settings: ConformerSettings, tally: Counter[str]
) -> Iterator[Mol]:
    """BRICS pieces whose cut bonds end in hydrogens, each once."""
    from rdkit import Chem
    from rdkit.Chem import BRICS

    seen: set[str] = set()
    for mol in mols:
        broken = BRICS.BreakBRICSBonds(mol)
        for piece in Chem.GetMolFrags(broken, asMols=True, sanitizeFrags=False):
            # The dummies at the cuts become hydrogens.
            editable = Chem.RWMol(piece)
            for atom in editable.GetAtoms():
                if atom.GetAtomicNum() == 0:
                    atom.SetAtomicNum(1)
                    atom.SetIsotope(0)
            try:
                fragment = editable.GetMol()
                Chem.SanitizeMol(fragment)
                fragment = Chem.RemoveHs(fragment)
            except (Chem.MolSanitizeException, ValueError):
                tally["fragments not valid"] += 1
                continue
            name = Chem.MolToSmiles(fragment, isomericSmiles=False)
            heavy = fragment.GetNumHeavyAtoms()
            if name in seen or not 1 <= heavy <= settings.max_heavy:
                continue
            seen.add(name)
            yield fragment


def _pairs(mols: Iterable[Mol], seed: int) -> Iterator[Mol]:
    """Join molecules at random, two and two, from a reservoir."""
    from rdkit import Chem

    rng = random.Random(seed)
    waiting: list[Mol] = []
    for mol in mols:
        waiting.append(mol)
        if len(waiting) >= 200:
            first = waiting.pop(rng.randrange(len(waiting)))
            second = waiting[rng.randrange(len(waiting))]
            yield Chem.CombineMols(first, second)
    rng.shuffle(waiting)
    for first, second in zip(waiting[::2], waiting[1::2], strict=False):
        yield Chem.CombineMols(first, second)


def _build(
    mol: Mol, settings: ConformerSettings, tally: Counter[str], seed: int
) -> NDArray[np.float32] | None:
    """Conformations (K, A, 3) of a molecule, or None if none could be embedded."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    Chem.SanitizeMol(mol)
    whole = Chem.AddHs(mol)
    options: Any = rdDistGeom.ETKDGv3()
    options.randomSeed = seed
    options.maxIterations = 20
    ids = list(rdDistGeom.EmbedMultipleConfs(whole, settings.n_conformers, options))
    if not ids:
        tally["not embedded"] += 1
        return None
    properties = None
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(whole):
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(whole)
    if properties is None:
        tally["kept without MMFF parameters"] += 1
    rng = np.random.default_rng(seed)
    frames = []
    for conformer in ids:
        if settings.mode == "pairs":
            _bring_together(whole, conformer, rng)
        if properties is None:
            if settings.mode == "pairs":
                tally["pairs without MMFF parameters"] += 1
                return None
            frames.append(whole.GetConformer(conformer).GetPositions())
            continue
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
            whole, properties, confId=conformer, ignoreInterfragInteractions=False
        )
        field.Initialize()
        field.Minimize(maxIts=200)
        relaxed = np.array(field.Positions()).reshape(-1, 3)
        frames.append(relaxed)
        masses = np.array([a.GetMass() for a in whole.GetAtoms()])
        temperature = rng.uniform(*settings.temperatures)
        frames.extend(
            _langevin(
                field, whole.GetConformer(conformer), masses, temperature, settings, rng
            )
        )
    positions = np.asarray(frames)
    extent = np.ptp(positions, axis=1).max(axis=1)
    kept = positions[extent < 60.0].astype(np.float32)  # false for NaN
    if len(kept) < len(positions):
        tally["frames not finite or torn apart"] += len(positions) - len(kept)
    return kept if len(kept) else None


def _bring_together(mol: Mol, conformer: int, rng: np.random.Generator) -> None:
    """Turn the second fragment at random and set it beside the first, in contact."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D
    from scipy.spatial.transform import Rotation

    atoms = [np.array(f) for f in Chem.GetMolFrags(mol)]
    conf = mol.GetConformer(conformer)
    x = conf.GetPositions()
    first = x[atoms[0]] - x[atoms[0]].mean(0)
    rest = np.concatenate(atoms[1:])
    second = x[rest] - x[rest].mean(0)
    second = second @ Rotation.random(rng=rng).as_matrix().T
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    nearest = rng.uniform(1.9, 2.8)
    shift = 0.0
    while True:
        moved = second + shift * direction
        gaps = np.linalg.norm(first[:, None] - moved[None], axis=2)
        if gaps.min() >= nearest:
            break
        shift += 0.2
    x[atoms[0]], x[rest] = first, moved
    for index, point in enumerate(x):
        conf.SetAtomPosition(index, Point3D(*(float(v) for v in point)))


def _langevin(
    field: Any,
    conformer: Any,
    masses: NDArray[np.float64],
    temperature: float,
    settings: ConformerSettings,
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Snapshots of Langevin dynamics (BAOAB, 1 fs, friction 10/ps).

    B. Leimkuhler & C. Matthews, Appl. Math. Res. eXpress 2013, 34. Units: Å, ps,
    u, kcal/mol.
    """
    if not settings.snapshots:
        return []
    dt, friction = 1e-3, 10.0
    inverse = (ACCELERATION / masses)[:, None]
    thermal = np.sqrt(KB * temperature * inverse)
    keep = np.exp(-friction * dt)
    kick = np.sqrt(1.0 - keep**2) * thermal
    x = conformer.GetPositions()
    v = rng.normal(size=x.shape) * thermal

    def force_at(positions: NDArray[np.float64]) -> NDArray[np.float64]:
        # CalcGrad(positions) mixes the given positions with the stored ones, so
        # they are stored first.
        conformer.SetPositions(positions)
        field.Initialize()
        return -np.array(field.CalcGrad()).reshape(-1, 3)

    force = force_at(x)
    frames = []
    for _ in range(settings.snapshots):
        for _ in range(max(1, round(settings.interval / dt))):
            v += 0.5 * dt * force * inverse
            x = x + 0.5 * dt * v
            v = keep * v + kick * rng.normal(size=x.shape)
            x = x + 0.5 * dt * v
            force = force_at(x)
            v += 0.5 * dt * force * inverse
        frames.append(x.copy())
    return frames
