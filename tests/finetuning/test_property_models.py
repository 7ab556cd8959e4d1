"""Predictions obey the physics of what they predict."""

import numpy as np
import pytest
import torch
from labelled_molecules import OWN, TARGETS, labelled_graph
from torch_geometric.data import Batch, Data

from mdgeomfeat.errors import InputError
from mdgeomfeat.finetuning import HeadSpec, PropertyModel, energy_drift, predict
from mdgeomfeat.finetuning.model import fit_scales
from mdgeomfeat.gnn import ModelSpec, build_model, load_model

KINDS = list(TARGETS)
VECTORS = {"dipole": "y", "forces": "forces", "conservative": "forces"}


@pytest.fixture
def model(network, labels):
    """Return an untrained model of a kind, with the scales of its labels."""

    def make(kind: str, head: str = "gated") -> PropertyModel:
        data = labels(kind)
        torch.manual_seed(1)
        made = PropertyModel(load_model(network), HeadSpec.of(data, head))
        fit_scales(made, data, range(len(data)))
        return made.eval()

    return make


def rotation(seed: int = 0) -> torch.Tensor:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return torch.tensor(q, dtype=torch.float32)


def values(model: PropertyModel, graphs) -> dict[str, np.ndarray]:
    found = predict(model, graphs, batch_size=5)
    pairs = {"y": found.y, "forces": found.forces}
    return {name: value for name, value in pairs.items() if value is not None}


def near(one, other, tolerance=2e-5):
    scale = np.abs(other).max()
    assert np.abs(one - other).max() < tolerance * scale


@pytest.mark.parametrize("head", ["gated", "linear"])
@pytest.mark.parametrize("kind", KINDS)
def test_molecules_may_be_turned_and_moved(model, graphs, kind, head):
    made, turn = model(kind, head), rotation()
    moved = [
        Data(z=g.z, pos=g.pos @ turn.T + torch.tensor([3.0, -1.0, 2.0]))
        for g in graphs[:9]
    ]
    before, after = values(made, graphs[:9]), values(made, moved)
    for name in before:
        expected = before[name]
        if VECTORS.get(kind) == name:
            assert np.abs(expected).max() > 1e-4
            expected = expected @ turn.numpy().T.astype(float)
        offset = 3e3 if name == "y" and kind in ("extensive", "conservative") else 0
        near(after[name] + offset, expected + offset)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_atoms_and_molecules_does_not_matter(model, graphs, kind):
    made = model(kind)
    orders = [torch.randperm(len(g.z)) for g in graphs[:7]]
    mixed = [Data(z=g.z[o], pos=g.pos[o]) for g, o in zip(graphs, orders, strict=False)]
    before, after = values(made, graphs[:7]), values(made, mixed[::-1])
    if "y" in before:
        near(after["y"][::-1], before["y"])
    if "forces" in before:
        sizes = [len(o) for o in orders]
        old = np.split(before["forces"], np.cumsum(sizes)[:-1])
        new = np.split(after["forces"], np.cumsum(sizes[::-1])[:-1])[::-1]
        for one, other, order in zip(new, old, orders, strict=True):
            near(one, other[order.numpy()], 1e-4)


def test_forces_are_minus_the_slope_of_the_energy(model, graphs):
    made = model("conservative").double()
    one = Data(z=graphs[4].z, pos=graphs[4].pos.double())
    forces = predict(made, [one]).forces
    step = 1e-4
    for atom in range(len(one.z)):
        for axis in range(3):
            sides = []
            for sign in (1, -1):
                pos = one.pos.clone()
                pos[atom, axis] += sign * step
                sides.append(predict(made, [Data(z=one.z, pos=pos)]).y.item())
            slope = (sides[0] - sides[1]) / (2 * step)
            assert forces[atom, axis] == pytest.approx(-slope, abs=2e-5)


@pytest.mark.parametrize("kind", ["forces", "conservative"])
def test_nothing_pulls_at_a_molecule_as_a_whole(model, graphs, kind):
    forces = predict(model(kind), graphs[:1]).forces
    assert np.abs(forces).max() > 1e-3
    assert np.abs(forces.sum(axis=0)).max() < 1e-5 * np.abs(forces).max()


@pytest.mark.parametrize("kind", ["extensive", "conservative", "intensive"])
def test_two_far_molecules_are_the_sum_of_both(model, graphs, kind):
    made, (a, b) = model(kind), graphs[:2]
    far = Data(z=torch.cat([a.z, b.z]), pos=torch.cat([a.pos, b.pos + 40.0]))
    apart, together = predict(made, [a, b]).y[:, 0], predict(made, [far]).y[0, 0]
    if kind == "intensive":
        sizes = [len(a.z), len(b.z)]
        assert together == pytest.approx(np.average(apart, weights=sizes), rel=1e-5)
    else:
        assert together == pytest.approx(apart.sum(), abs=2e-3)
        assert abs(apart).min() > 1000


def test_the_dipole_of_two_charges_is_charge_times_distance(network):
    # Two atoms of the same element have the same charge, so none after neutralising;
    # the head's own charges are made to differ by element instead.
    class Charges(torch.nn.Module):
        def forward(self, scalars, vectors):
            return self.charge.unsqueeze(1), vectors[..., :1] * 0

    backbone = load_model(network)
    made = PropertyModel(backbone, HeadSpec(kind="dipole", unit="D"))
    made.head = Charges()
    one = Data(z=torch.tensor([1, 8]), pos=torch.tensor([[0.0, 0, 0], [0, 0, 2.0]]))
    made.head.charge = torch.tensor([1.5, -0.5])  # net charge 1: ± 1 without it
    assert predict(made, [one]).y[0].tolist() == pytest.approx([0, 0, -2.0])


def test_the_dipole_of_an_ion_is_that_about_its_centre(network):
    """Wherever a molecule stands, also if its charges do not sum to zero."""
    made = PropertyModel(load_model(network), HeadSpec(kind="dipole", unit="D"))
    z = torch.tensor([1, 8, 6])
    pos = torch.tensor([[0.0, 0, 0], [0, 0, 1.0], [0.5, 1.0, 0]])
    one, far = predict(made, [Data(z=z, pos=pos), Data(z=z, pos=pos + 50)]).y
    assert np.abs(one).max() > 1e-3
    near(far, one, 1e-4)


def test_references_of_elements_are_found(model, graphs):
    found = model("extensive").references
    # Springs add about the same per pair of atoms; elements differ by hundreds of eV.
    for z, energy in OWN.items():
        assert float(found[z]) == pytest.approx(energy, abs=20)
    assert found[[2, 3, 7]].tolist() == [0, 0, 0]


def test_batches_are_as_good_as_single_molecules(model, graphs):
    made = model("conservative")
    one, many = predict(made, graphs[:6], batch_size=1), predict(made, graphs[:6])
    near(one.y, many.y, 1e-7)
    near(one.forces, many.forces)


def test_the_compiled_path_agrees_with_the_network(model, graphs, monkeypatch):
    made = model("forces")
    fast = predict(made, graphs[:6]).forces
    from mdgeomfeat.pretraining import forward

    monkeypatch.setattr(forward, "supports", lambda model: False)
    near(fast, predict(made, graphs[:6]).forces, 5e-3)


def test_a_network_that_jumps_has_no_energy(labels):
    jumping = build_model(ModelSpec(n_channels=8, n_layers=1, n_heads=2, smooth=False))
    with pytest.raises(InputError, match="jump where a pair crosses the cutoff"):
        PropertyModel(jumping, HeadSpec(kind="conservative"))
    PropertyModel(jumping, HeadSpec(kind="forces"))


def test_labels_that_are_all_the_same_teach_nothing(network, labels, graphs):
    data = labels("intensive", graphs[:1] * 3)
    made = PropertyModel(load_model(network), HeadSpec.of(data, "gated"))
    with pytest.raises(InputError, match="nothing to learn"):
        fit_scales(made, data, range(3))


def test_a_gradient_conserves_energy(model, graphs):
    pytest.importorskip("ase")
    one = graphs[0]
    found = [
        energy_drift(
            model("conservative"), one.z, one.pos, steps=steps, timestep=timestep
        )["fluctuation"]
        for steps, timestep in ((40, 0.5), (80, 0.25))
    ]
    # Verlet's error is of the second order in the time step.
    assert found[1] < 0.4 * found[0]
    with pytest.raises(InputError, match="no energy that could be conserved"):
        energy_drift(model("forces"), one.z, one.pos)


def test_a_drift_is_that_of_one_atom_at_the_temperature_asked_for(monkeypatch):
    """Energies that are known: they rise by 3 meV a step, over five atoms."""
    pytest.importorskip("ase")
    from ase.calculators.calculator import Calculator

    from mdgeomfeat.finetuning import dynamics

    class Rising(Calculator):
        implemented_properties = ("energy", "forces")
        energy = 0.0

        def calculate(self, atoms=None, properties=None, system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": Rising.energy, "forces": np.zeros((5, 3))}
            Rising.energy += 3e-3

    class Conservative:
        spec = HeadSpec(kind="conservative")

    monkeypatch.setattr(dynamics, "calculator", lambda model: Rising())
    x = np.random.default_rng(0).normal(size=(5, 3))
    found = [
        energy_drift(
            Conservative(), [6, 6, 8, 1, 1], x, steps=20, timestep=0.5, temperature=t
        )
        for t in (300.0, 900.0)
    ]
    # 3 meV in half a femtosecond
    assert found[0]["drift"] == pytest.approx(3 / 5 / 0.5e-3, rel=1e-6)
    assert found[0]["ps"] == pytest.approx(0.01)
    ratio = found[1]["temperature"] / found[0]["temperature"]
    assert ratio == pytest.approx(3, rel=1e-6)


def test_ase_gets_what_the_network_predicts(model, graphs):
    ase = pytest.importorskip("ase")
    from mdgeomfeat.finetuning import calculator

    made, one = model("conservative"), graphs[3]
    atoms = ase.Atoms(numbers=one.z.numpy(), positions=one.pos.numpy())
    atoms.calc = calculator(made)
    expected = predict(made, [one])
    near(atoms.get_forces(), expected.forces)
    assert atoms.get_potential_energy() == pytest.approx(expected.y.item(), abs=1e-3)
    atoms.set_cell([20, 20, 20])
    atoms.pbc = True
    with pytest.raises(InputError, match="is periodic; take its box away"):
        atoms.get_forces()
    atoms.pbc = False
    atoms.numbers[0] = 53
    with pytest.raises(InputError, match="atomic number 53"):
        atoms.get_forces()
    with pytest.raises(InputError, match="nothing moves by that"):
        calculator(model("dipole"))


def test_the_energy_keeps_its_digits(model):
    # Total energies of thousands of eV: single precision would leave 0.5 meV.
    made = model("extensive")
    made.references[[1, 6, 8]] = torch.tensor(
        [0.1, -90123.4567891, 0.0], dtype=torch.float64
    )
    z, x = np.array([6, 1, 1]), np.random.default_rng(0).normal(size=(3, 3))
    batch = Batch.from_data_list([labelled_graph(z, x)])
    with torch.no_grad():
        made.head.second.update[-1].weight.zero_()
        made.head.second.update[-1].bias.zero_()
    energy = made.physical(batch, made(batch))["y"].item()
    assert energy == pytest.approx(-90123.2567891, abs=1e-9)
