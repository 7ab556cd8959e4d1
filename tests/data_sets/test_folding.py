"""The structure-based model of ``data/folding`` and the script that simulates it."""

import itertools

import MDAnalysis as mda
import numpy as np
import pytest

mm = pytest.importorskip("openmm")


@pytest.fixture(scope="module", params=["hairpin", "villin", "lambda"])
def protein(request, simulate_folding):
    return simulate_folding.load(request.param)


def angle_between(a, b):
    return np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)


def dihedral(p, q, r, s):
    """Signed angle between the planes p-q-r and q-r-s (IUPAC)."""
    n1, n2 = np.cross(q - p, r - q), np.cross(r - q, s - r)
    return np.copysign(angle_between(n1, n2), n1 @ (s - r))


def energy_by_hand(model, x):
    """Sum the paper's formulae term by term, without OpenMM (epsilon, nm)."""
    native = model.native

    def wrapped(quadruple):
        difference = dihedral(*x[quadruple]) - dihedral(*native[quadruple])
        return (difference + np.pi) % (2 * np.pi) - np.pi

    def distance(y, i, j):
        return np.sqrt(((y[i] - y[j]) ** 2).sum())

    energy = 0.0
    for i, j in model.bonds:  # 100 epsilon per square angstrom
        energy += 100 * (10 * (distance(x, i, j) - distance(native, i, j))) ** 2
    for i, j, k in model.angles:
        now = angle_between(x[i] - x[j], x[k] - x[j])
        energy += (
            20
            * (now - angle_between(native[i] - native[j], native[k] - native[j])) ** 2
        )
    for quadruple in itertools.chain(model.impropers, model.planar):
        energy += 10 * wrapped(quadruple) ** 2
    for quadruple, k in zip(model.dihedrals, model.dihedral_strengths, strict=True):
        t = wrapped(quadruple)
        energy += k * ((1 - np.cos(t)) + 0.5 * (1 - np.cos(3 * t)))
    for (i, j), k in zip(model.contacts, model.contact_strengths, strict=True):
        ratio = distance(native, i, j) / distance(x, i, j)
        energy += k * (ratio**12 - 2 * ratio**6)
    bonded = {frozenset(map(int, pair)) for pair in model.bonds}
    reach = bonds_apart(len(x), bonded)
    contacts = {frozenset(map(int, pair)) for pair in model.contacts}
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    for i, j in zip(*np.triu_indices(len(x), 1), strict=True):
        repelled = reach[i, j] > 3 and frozenset((i, j)) not in contacts
        if repelled and distances[i, j] < 0.5:
            energy += 0.01 * (0.25 / distances[i, j]) ** 12
    return energy


def bonds_apart(n_atoms, bonded):
    """Number of bonds between all atoms, 4 standing for more than three."""
    adjacent = np.zeros((n_atoms, n_atoms), int)
    for i, j in bonded:
        adjacent[i, j] = adjacent[j, i] = 1
    found, walk = np.full((n_atoms, n_atoms), 4), np.eye(n_atoms, dtype=int)
    np.fill_diagonal(found, 0)
    for n in (1, 2, 3):
        walk = walk @ adjacent
        found[(walk > 0) & (found == 4)] = n
    return found


def context_of(structure_based, model):
    system = structure_based.build_system(model)
    return mm.Context(
        system,
        mm.VerletIntegrator(0.001),
        mm.Platform.getPlatformByName("Reference"),
    )


def forces_and_energy(context, x):
    context.setPositions(x)
    state = context.getState(getForces=True, getEnergy=True)
    return state.getForces(asNumpy=True)._value, state.getPotentialEnergy()._value


def test_counts_of_atoms_and_bonds(simulate_folding):
    """The molecules of the data sheet: one chain, every bond by its length."""
    for name, n_atoms in [("hairpin", 100), ("villin", 289), ("lambda", 613)]:
        model = simulate_folding.load(name)
        assert len(model.native) == n_atoms
        close = np.linalg.norm(model.native[:, None] - model.native[None], axis=2)
        by_length = {tuple(p) for p in np.argwhere(np.triu(close < 0.195, 1))}
        assert {tuple(p) for p in model.bonds} == by_length


def test_every_angle_and_dihedral_of_the_bonds_is_there(protein):
    """Walks along the bonds, each once and not also backwards."""
    step = bonds_apart(len(protein.native), {frozenset(b) for b in protein.bonds}) == 1
    walks = [(i, j, k) for i, j in np.argwhere(step) for k in np.flatnonzero(step[j])]
    walks = [w for w in walks if w[0] < w[2]]
    assert once(protein.angles) == once(walks)
    centres = np.flatnonzero(step.sum(0) == 3)
    assert sorted(protein.impropers[:, 0]) == centres.tolist()
    for centre, *around in protein.impropers:
        assert sorted(around) == np.flatnonzero(step[centre]).tolist()
    longer = [
        (i, j, k, m)
        for j, k in protein.bonds
        for i in np.flatnonzero(step[j])
        for m in np.flatnonzero(step[k])
        if len({i, j, k, m}) == 4
    ]
    assert once([*protein.dihedrals, *protein.planar]) == once(longer)


def once(walks):
    """Sort walks, each from its smaller end, and check that none stands twice."""
    found = sorted(min(tuple(w), tuple(w)[::-1]) for w in np.asarray(walks).tolist())
    assert len(set(map(tuple, found))) == len(found)
    return found


def test_what_is_planar(simulate_folding, folding):
    """Peptide bonds and aromatic rings; no backbone dihedral but omega."""
    model = simulate_folding.load("villin")
    atoms = mda.Universe(str(folding / "villin" / "villin.pdb")).atoms
    about = {frozenset((int(j), int(k))) for _, j, k, _ in model.planar}
    names = [frozenset(atoms[sorted(pair)].names) for pair in about]
    assert names.count(frozenset({"C", "N"})) == 34
    assert sum({"CZ", "NE"} == name for name in names) == 1
    # Six bonds in each of four phenylalanines, four bonds of the proline's ring
    # outside the backbone, five of the histidine, ten of the tryptophan.
    assert len(about) == 34 + 1 + 4 * 6 + 4 + 5 + 10
    rotating = {frozenset((int(j), int(k))) for _, j, k, _ in model.dihedrals}
    assert not about & rotating
    backbone = [p for p in rotating if set(atoms[sorted(p)].names) <= {"N", "CA", "C"}]
    assert len(backbone) == 34 + 35  # phi and psi, the last by its oxygen atoms


@pytest.mark.parametrize(("name", "contacts"), [("villin", 2 / 3), ("lambda", 1 / 2)])
def test_contacts_and_dihedrals_share_the_strength(simulate_folding, name, contacts):
    """2 : 1, as in the paper, and 1 : 1, so that the larger protein crosses."""
    protein = simulate_folding.load(name)
    n_atoms = len(protein.native)
    assert protein.contact_strengths.sum() == pytest.approx(contacts * n_atoms)
    assert protein.dihedral_strengths.sum() == pytest.approx((1 - contacts) * n_atoms)


def test_strengths_follow_the_paper(protein):
    """Backbone : side chain 2 : 1 per bond."""
    per_bond = {}
    for (_, j, k, _), strength in zip(
        protein.dihedrals, protein.dihedral_strengths, strict=True
    ):
        per_bond[j, k] = per_bond.get((j, k), 0.0) + strength
    low, high = min(per_bond.values()), max(per_bond.values())
    assert high == pytest.approx(2 * low)
    for value in per_bond.values():
        assert value == pytest.approx(low) or value == pytest.approx(high)


def test_contacts_are_those_within_the_cutoff(simulate_folding, folding):
    model = simulate_folding.load("villin")
    structure = mm.app.PDBFile(str(folding / "villin" / "villin.pdb"))
    atoms = list(structure.topology.atoms())
    expected = [
        (a.index, b.index)
        for a, b in itertools.combinations(atoms, 2)
        if b.residue.index - a.residue.index >= 4
        and np.linalg.norm(model.native[a.index] - model.native[b.index]) < 0.45
    ]
    assert [tuple(pair) for pair in model.contacts] == expected


def test_energy_is_the_sum_of_the_papers_terms(structure_based, protein):
    random = np.random.default_rng(0)
    context = context_of(structure_based, protein)
    for scale in (0.0, 0.005, 0.02):
        x = protein.native + scale * random.normal(size=protein.native.shape)
        _, energy = forces_and_energy(context, x)
        assert energy == pytest.approx(energy_by_hand(protein, x), rel=1e-5, abs=2e-3)


def test_forces_are_the_slopes_of_that_energy(structure_based, simulate_folding):
    """Finite differences of the formulae, along random directions."""
    model = simulate_folding.load("villin")
    random = np.random.default_rng(1)
    x = model.native + 0.005 * random.normal(size=model.native.shape)
    forces, _ = forces_and_energy(context_of(structure_based, model), x)
    step = 1e-5
    for _ in range(3):
        direction = random.normal(size=x.shape)
        direction /= np.linalg.norm(direction)
        ahead = energy_by_hand(model, x + step * direction)
        behind = energy_by_hand(model, x - step * direction)
        slope = (ahead - behind) / (2 * step)
        assert -(forces * direction).sum() == pytest.approx(slope, rel=1e-4)


def test_native_structure_is_the_minimum(structure_based, protein):
    """All terms but the weak repulsion have their minimum there."""
    context = context_of(structure_based, protein)
    _, energy = forces_and_energy(context, protein.native)
    # Repulsion of pairs that are close in the structure, and nothing else.
    assert energy == pytest.approx(-protein.contact_strengths.sum(), rel=0.05)
    mm.LocalEnergyMinimizer.minimize(context, 0.1)
    x = context.getState(getPositions=True).getPositions(asNumpy=True)._value
    centred = x - x.mean(0)
    native = protein.native - protein.native.mean(0)
    u, singular, vt = np.linalg.svd(centred.T @ native)
    singular[-1] *= np.sign(np.linalg.det(u @ vt))
    rmsd2 = (centred**2).sum() + (native**2).sum() - 2 * singular.sum()
    assert np.sqrt(max(rmsd2, 0.0) / len(x)) < 0.02  # nm


def test_fraction_native_counts_formed_contacts(simulate_folding):
    model = simulate_folding.load("villin")
    stretched = np.stack([model.native, 1.49 * model.native, 1.51 * model.native])
    np.testing.assert_array_equal(model.fraction_native(stretched), [1.0, 1.0, 0.0])


def test_a_stopped_run_goes_on_bit_for_bit(
    simulate_folding, structure_based, folding, tmp_path, monkeypatch
):
    monkeypatch.setattr(simulate_folding, "EQUILIBRATION", 20)
    short = simulate_folding.Protein(
        temperature=0.97,
        contacts_to_dihedrals=2.0,
        friction=1.0,
        time_step=0.002,
        n_runs=1,
        n_segments=2,
        every=20,
        seed=5,
    )
    monkeypatch.setitem(simulate_folding.PROTEINS, "villin", short)
    model = simulate_folding.load("villin")
    system = structure_based.build_system(model)

    whole = simulate_folding.Run("villin", 0, tmp_path / "whole")
    whole.folder.mkdir()
    for _ in range(2):
        whole.advance(system, model.native, 100)

    stopped = simulate_folding.Run("villin", 0, tmp_path / "stopped")
    stopped.folder.mkdir()
    stopped.advance(system, model.native, 100)
    # Killed after frames were appended, before the checkpoint was written.
    with stopped.trajectory.open("ab") as handle:
        handle.write(b"half a segment")
    again = simulate_folding.Run("villin", 0, tmp_path / "stopped")
    again.advance(structure_based.build_system(model), model.native, 100)

    assert again.n_done == 2
    assert again.trajectory.read_bytes() == whole.trajectory.read_bytes()
    frames = mda.Universe(
        str(folding / "villin" / "villin.pdb"), str(again.trajectory)
    ).trajectory
    np.testing.assert_allclose([ts.time for ts in frames], np.arange(1, 11) * 0.04)
    last = np.load(again.checkpoint)["positions"]
    frames[-1]
    np.testing.assert_allclose(frames.ts.positions / 10, last, atol=0.0021)


@pytest.fixture
def heated(simulate_folding, structure_based, tmp_path, monkeypatch):
    """An odd run of villin whose heating may burst, and how often it was heated."""
    monkeypatch.setattr(simulate_folding, "EQUILIBRATION", 1)
    monkeypatch.setattr(simulate_folding, "UNFOLDING", 1)
    model = simulate_folding.load("villin")
    system = structure_based.build_system(model)
    verdicts, tried = [], []

    def burst(positions):
        tried.append(positions)
        return verdicts.pop(0)

    def advance(*found):
        verdicts[:] = found
        monkeypatch.setattr(simulate_folding, "_burst", burst)
        simulate_folding.Run("villin", 1, tmp_path).advance(system, model.native, 1000)
        return tried

    return advance


def test_a_run_that_bursts_while_heated_is_heated_again(heated, tmp_path):
    first, second, _ = heated(True, False, False)
    assert not np.allclose(first, second, atol=1e-4), "with other random numbers"
    assert (tmp_path / "villin-1.xtc").stat().st_size > 0


def test_a_run_that_bursts_is_not_written(heated, tmp_path):
    with pytest.raises(RuntimeError, match="villin-1 burst; use a shorter time step"):
        heated(False, True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="bursts whenever it is heated"):
        heated(*[True] * 10)


def test_what_a_burst_is(simulate_folding):
    native = simulate_folding.load("villin").native
    assert not simulate_folding._burst(3 * native)
    for value in (1e3, np.nan, np.inf):
        torn = native.copy()
        torn[5] = value
        assert simulate_folding._burst(torn)


@pytest.mark.parametrize("name", ["hairpin", "villin", "lambda"])
def test_the_trajectories_are_those_of_the_script(simulate_folding, folding, name):
    """As many runs and frames, as far apart, and no bond is torn in any of them."""
    settings, model = simulate_folding.PROTEINS[name], simulate_folding.load(name)
    files = sorted((folding / name).glob("*.xtc"))
    assert [f.stem for f in files] == [f"{name}-{k}" for k in range(settings.n_runs)]
    n_frames = settings.n_segments * simulate_folding.SEGMENT // settings.every
    native = np.linalg.norm(np.diff(model.native[model.bonds], axis=1), axis=-1)[:, 0]
    for file in files:
        run = mda.Universe(str(folding / name / f"{name}.pdb"), str(file)).trajectory
        assert len(run) == n_frames
        assert run.dt == pytest.approx(settings.every * settings.time_step)
        for frame in run[:: n_frames // 10]:
            ends = frame.positions[model.bonds] / 10
            bonds = np.linalg.norm(np.diff(ends, axis=1), axis=-1)[:, 0]
            np.testing.assert_allclose(bonds, native, atol=0.06)  # nm
