"""An all-heavy-atom structure-based model, as an OpenMM system.

Whitford, Noel, Gosavi, Schug, Sanbonmatsu and Onuchic, "An all-atom structure-based
potential for proteins", Proteins 75, 430 (2009): every minimum of the energy is a
value of the native structure. Reduced units: energies in epsilon = 1 kJ/mol, lengths
in nm (the paper's constants are per square angstrom), masses of 1 u, so that a
reduced temperature of 1 is 120.27 K to OpenMM.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import openmm as mm
from openmm import app

#: Strengths of the paper, in epsilon; (r - r0)^2 etc. without a factor 1/2.
BOND = 1e4  # per nm^2: 100 per square angstrom
ANGLE = 20.0  # per rad^2
IMPROPER = 10.0  # per rad^2, planar dihedrals included
BACKBONE_TO_SIDE_CHAIN = 2.0
REPULSION = 0.01
REPULSION_DISTANCE = 0.25  # nm
#: Beyond this distance the repulsion, 2e-6 epsilon, is left out.
REPULSION_CUTOFF = 0.5  # nm

#: Native contacts: pairs of atoms at most this far apart, four or more residues on.
CONTACT_CUTOFF = 0.45  # nm
MIN_SEQUENCE_SEPARATION = 4

BACKBONE = frozenset({"N", "CA", "C", "O", "OXT"})
#: K; the temperature at which the thermal energy is 1 epsilon.
UNIT_TEMPERATURE = 120.27


@dataclass(frozen=True, kw_only=True)
class StructureBasedModel:
    """Terms of the energy: atom indices, native values and strengths.

    Attributes
    ----------
    native : numpy.ndarray
        ``(N, 3)``, nm; the minimum of every term but the repulsion.
    bonds, angles, impropers, planar, dihedrals, contacts : numpy.ndarray
        ``(n, 2)`` to ``(n, 4)`` atom indices. `planar` are the dihedrals about
        peptide bonds, in rings and in guanidinium groups, held like impropers.
    dihedral_strengths, contact_strengths : numpy.ndarray
        ``(n,)``, epsilon. Together they sum to N.
    """

    native: np.ndarray
    bonds: np.ndarray
    angles: np.ndarray
    impropers: np.ndarray
    planar: np.ndarray
    dihedrals: np.ndarray
    dihedral_strengths: np.ndarray
    contacts: np.ndarray
    contact_strengths: np.ndarray

    def excluded_pairs(self) -> set[tuple[int, int]]:
        """Pairs (i < j) up to three bonds apart, which do not repel each other."""
        ends = [*self.bonds, *self.angles[:, [0, 2]]]
        ends += [*self.dihedrals[:, [0, 3]], *self.planar[:, [0, 3]]]
        return {(int(min(p)), int(max(p))) for p in ends if p[0] != p[1]}

    def formed(self, positions: np.ndarray, factor: float = 1.5) -> np.ndarray:
        """Tell which native contacts are formed.

        Parameters
        ----------
        positions : numpy.ndarray
            ``(F, N, 3)``, nm.
        factor : float
            A contact is formed within this many native distances.

        Returns
        -------
        numpy.ndarray
            ``(F, n)``, bool.
        """
        limits = (factor * lengths(self.native, self.contacts)) ** 2
        i, j = self.contacts.T
        return ((positions[:, i] - positions[:, j]) ** 2).sum(axis=2) < limits

    def fraction_native(self, positions: np.ndarray, factor: float = 1.5) -> np.ndarray:
        """Share of the native contacts that are formed, Q: ``(F,)``, from 0 to 1."""
        return self.formed(positions, factor).mean(axis=1)


def lengths(positions: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Distances of pairs of atoms, in the unit of the positions."""
    return np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)


def bends(positions: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Angles i-j-k at the middle atoms, radians."""
    a = positions[triples[:, 0]] - positions[triples[:, 1]]
    b = positions[triples[:, 2]] - positions[triples[:, 1]]
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return np.arccos(np.clip(cosines, -1, 1))


def torsions(positions: np.ndarray, quadruples: np.ndarray) -> np.ndarray:
    """Dihedral angles, radians, IUPAC sign."""
    a, b, c, d = (positions[quadruples[:, k]] for k in range(4))
    axis = (c - b) / np.linalg.norm(c - b, axis=1, keepdims=True)
    v = (a - b) - ((a - b) * axis).sum(1, keepdims=True) * axis
    w = (d - c) - ((d - c) * axis).sum(1, keepdims=True) * axis
    return np.arctan2((np.cross(axis, v) * w).sum(1), (v * w).sum(1))


def build_model(
    topology: app.Topology, native: np.ndarray, contacts_to_dihedrals: float = 2.0
) -> StructureBasedModel:
    """Derive every term from a structure of heavy atoms.

    Parameters
    ----------
    topology : openmm.app.Topology
        One chain without hydrogens, bonds included.
    native : numpy.ndarray
        ``(N, 3)``, nm.
    contacts_to_dihedrals : float
        Ratio of the sums of their strengths; 2 in the paper. Less makes folding less
        of an all-or-nothing event, with a lower barrier.

    Returns
    -------
    StructureBasedModel
        Backbone : side chain is 2 : 1 per bond.
    """
    bonds = np.array(sorted(sorted((a.index, b.index)) for a, b in topology.bonds()))
    neighbors: list[list[int]] = [[] for _ in range(topology.getNumAtoms())]
    for i, j in bonds:
        neighbors[i].append(int(j))
        neighbors[j].append(int(i))
    angles = [
        (i, j, k)
        for j, around in enumerate(neighbors)
        for i, k in itertools.combinations(around, 2)
    ]
    impropers = [(j, *around) for j, around in enumerate(neighbors) if len(around) == 3]
    planar, dihedrals, strengths = _sort_dihedrals(topology, bonds, neighbors)
    contacts = _find_contacts(topology, native)
    n_atoms = topology.getNumAtoms()
    of_contacts = n_atoms * contacts_to_dihedrals / (1 + contacts_to_dihedrals)
    return StructureBasedModel(
        native=native,
        bonds=bonds,
        angles=np.array(angles),
        impropers=np.array(impropers),
        planar=planar,
        dihedrals=dihedrals,
        dihedral_strengths=strengths * (n_atoms - of_contacts) / strengths.sum(),
        contacts=contacts,
        contact_strengths=np.full(len(contacts), of_contacts / len(contacts)),
    )


def _sort_dihedrals(
    topology: app.Topology, bonds: np.ndarray, neighbors: list[list[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List all dihedrals: the planar ones, the others, the others' weights."""
    names = [atom.name for atom in topology.atoms()]
    planar, dihedrals, weights = [], [], []
    for j, k in bonds:
        about = [
            (i, int(j), int(k), m)
            for i in neighbors[j]
            for m in neighbors[k]
            if i != k and m not in (j, i)
        ]
        in_backbone = names[j] in BACKBONE and names[k] in BACKBONE
        peptide = {names[j], names[k]} == {"C", "N"}
        guanidinium = {names[j], names[k]} == {"NE", "CZ"}
        if peptide or guanidinium or (not in_backbone and _in_ring(j, k, neighbors)):
            planar += about
        else:
            # Dihedrals about one bond share its strength.
            strength = BACKBONE_TO_SIDE_CHAIN if in_backbone else 1.0
            dihedrals += about
            weights += [strength / len(about) for _ in about]
    return np.array(planar), np.array(dihedrals), np.array(weights)


def _in_ring(j: int, k: int, neighbors: list[list[int]]) -> bool:
    """Whether the bond j-k closes a ring: k is reached without it."""
    seen, pending = {j}, [n for n in neighbors[j] if n != k]
    while pending:
        atom = pending.pop()
        if atom == k:
            return True
        if atom not in seen:
            seen.add(atom)
            pending += neighbors[atom]
    return False


def _find_contacts(topology: app.Topology, native: np.ndarray) -> np.ndarray:
    """List the pairs of atoms of the cutoff map, the smaller index first."""
    residue = np.array([atom.residue.index for atom in topology.atoms()])
    apart = np.abs(residue[:, None] - residue[None]) >= MIN_SEQUENCE_SEPARATION
    distances = np.linalg.norm(native[:, None] - native[None], axis=2)
    return np.argwhere(np.triu(apart & (distances < CONTACT_CUTOFF)))


def build_system(model: StructureBasedModel) -> mm.System:
    """Translate a model into OpenMM's forces.

    The repulsion REPULSION (sigma/r)^12 is written as a Lennard-Jones term with a
    radius so large that its attraction is 5e-6 of the repulsion at sigma: this is
    OpenMM's fast force, and its exceptions hold the contacts.
    """
    system = mm.System()
    for _ in model.native:
        system.addParticle(1.0)
    bond, angle = mm.HarmonicBondForce(), mm.HarmonicAngleForce()
    # OpenMM's harmonic terms carry the factor 1/2 that the paper's lack.
    for (i, j), r in zip(model.bonds, lengths(model.native, model.bonds), strict=True):
        bond.addBond(int(i), int(j), r, 2 * BOND)
    for ijk, theta in zip(model.angles, bends(model.native, model.angles), strict=True):
        angle.addAngle(*map(int, ijk), theta, 2 * ANGLE)
    system.addForce(bond)
    system.addForce(angle)
    system.addForce(_improper_force(model))
    system.addForce(_dihedral_force(model))
    system.addForce(_pair_force(model))
    return system


def _improper_force(model: StructureBasedModel) -> mm.Force:
    force = mm.CustomTorsionForce(
        f"{IMPROPER}*d^2; d=t-{2 * np.pi}*floor(t/{2 * np.pi}+0.5); t=theta-theta0"
    )
    force.addPerTorsionParameter("theta0")
    quadruples = np.concatenate([model.impropers, model.planar])
    for q, native in zip(quadruples, torsions(model.native, quadruples), strict=True):
        force.addTorsion(*map(int, q), [native])
    return force


def _dihedral_force(model: StructureBasedModel) -> mm.Force:
    """Build k {[1 - cos(phi - phi0)] + [1 - cos 3(phi - phi0)] / 2}."""
    # cos 3x = 4 cos^3 x - 3 cos x: one cosine instead of two torsions.
    force = mm.CustomTorsionForce("k*(1.5+0.5*c-2*c^3); c=cos(theta-theta0)")
    force.addPerTorsionParameter("theta0")
    force.addPerTorsionParameter("k")
    native = torsions(model.native, model.dihedrals)
    for q, phi, k in zip(
        model.dihedrals, native, model.dihedral_strengths, strict=True
    ):
        force.addTorsion(*map(int, q), [phi, k])
    return force


def _pair_force(model: StructureBasedModel) -> mm.Force:
    force = mm.NonbondedForce()
    force.setNonbondedMethod(mm.NonbondedForce.CutoffNonPeriodic)
    force.setCutoffDistance(REPULSION_CUTOFF)
    radius = 8 * REPULSION_DISTANCE
    depth = REPULSION / 4 * (REPULSION_DISTANCE / radius) ** 12
    for _ in model.native:
        force.addParticle(0.0, radius, depth)
    for i, j in sorted(model.excluded_pairs()):
        force.addException(i, j, 0.0, 1.0, 0.0)
    distances = lengths(model.native, model.contacts)
    for (i, j), r, k in zip(
        model.contacts, distances, model.contact_strengths, strict=True
    ):
        force.addException(int(i), int(j), 0.0, r / 2 ** (1 / 6), k)
    return force
