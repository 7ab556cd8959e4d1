"""The benchmarks of labels on a few molecules: grids, trajectories, probes."""

import csv
import json
from importlib import import_module
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("rdkit")

from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read, write

from mdgeomfeat.finetuning import SplitConfig, from_graphs, split
from mdgeomfeat.pretraining.molecules import key_of_smiles

HARTREE = units.Hartree
SMILES = [
    "C", "CC", "CCC", "CCCC", "CC(C)C", "O", "CO", "CCO", "CCCO", "COC", "C=O", "CC=O",
    "CC(C)=O", "C=C", "CC=C", "C#C", "CC#C", "OCO", "OCCO", "CC(O)C", "C1CC1", "CC1CC1",
    "C1CCC1", "C1CO1", "CC1CO1", "OC1CC1", "O=C1CC1", "C1COC1", "OC=O", "COC=O",
]  # fmt: skip


@pytest.fixture(scope="module")
def scripts():
    """Scripts of ``benchmarks/``, which import each other."""
    names = ("qm9", "qm9_data", "qm9_probe", "hot_molecules", "constant_energy")
    found = {name: import_module(name) for name in names}
    return SimpleNamespace(**found, forces=import_module("finetuning"))


class Springs(Calculator):
    """Springs between all atoms, as long as they are in the first frame seen."""

    implemented_properties = ("energy", "forces")

    def __init__(self, strength=2.0):
        super().__init__()
        self.strength, self.rest = strength, None

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        gap = x[:, None] - x[None]
        length = np.linalg.norm(gap, axis=2) + np.eye(len(x))
        if self.rest is None:
            self.rest = length.copy()
        stretch = length - self.rest
        self.results["energy"] = 0.25 * self.strength * (stretch**2).sum()
        pull = self.strength * (stretch / length)[..., None] * gap
        self.results["forces"] = -pull.sum(axis=1)


# --- QM9


def qm9_row(smiles, names):
    """Return a row as the package writes it, with its numbers' notation."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0
    symbols = [a.GetSymbol() for a in mol.GetAtoms()]
    x = mol.GetConformer().GetPositions()
    heavy = sum(s != "H" for s in symbols)
    values = {
        "HOMO_LUMO_gap_au": 0.2 + 0.01 * heavy + 0.02 * symbols.count("O"),
        "HOMO_au": -0.3 + 0.01 * heavy,
        "LUMO_au": 0.1 - 0.005 * len(symbols),
        "Dipole_debye": float(np.linalg.norm(x[0] - x.mean(axis=0))),
        "InternalEnergy_0K_au": -40.0 * heavy + 0.05 * np.sqrt(len(symbols)),
    }
    text = {name: f"{value:.6e}".replace("e", "*^") for name, value in values.items()}
    atoms = "[" + ",".join(f"'{s}'" for s in symbols) + "]"
    return [smiles, atoms, json.dumps(x.round(6).tolist()), *(text[n] for n in names)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, scripts):
    """Two tables in the layout of the package qm9pack."""
    folder = tmp_path_factory.mktemp("qm9pack")
    names = [column for column, _, _ in scripts.qm9_data.TARGETS.values()]
    for part, some in enumerate((SMILES[:20], SMILES[20:]), 1):
        with (folder / f"qm9_part{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["SMILES", "Elements", "XYZ_Ang", *names])
            writer.writerows(qm9_row(one, names) for one in some)
    return folder


def test_the_pool_holds_qm9_without_what_was_seen(scripts, tables, tmp_path):
    seen = {key_of_smiles("OCC"), key_of_smiles("C1CC1"), key_of_smiles("CCCCCCCC")}
    facts = scripts.qm9_data.build_pool(
        sorted(tables.glob("*.csv")), tmp_path, seen, size=100
    )
    assert (facts["molecules"], facts["seen"], facts["pool"]) == (30, 2, 28)
    gap = scripts.qm9_data.labels(tmp_path, "gap")
    assert not seen & set(gap.keys)
    assert gap.smiles == [s for s in SMILES if s not in ("CCO", "C1CC1")]
    methanol = gap.smiles.index("CO")
    assert gap.graphs[methanol].z.tolist() == [6, 8, 1, 1, 1, 1]
    assert gap.graphs[methanol].y.item() == pytest.approx(0.24 * HARTREE)
    dipole = scripts.qm9_data.labels(tmp_path, "dipole").graphs[methanol]
    x = dipole.pos.numpy()
    length = np.linalg.norm(x[0] - x.mean(axis=0))
    assert dipole.y.item() == pytest.approx(length, abs=1e-5)


def test_what_pretraining_can_have_seen_is_listed_without_building(scripts, tmp_path):
    from mdgeomfeat.pretraining.datasets import open_source

    texts = [f"{'C' * n}OC(=O)c1ccc({'C' * m})cc1" for n in (1, 2, 3) for m in (1, 2)]
    (tmp_path / "some.smi").write_text("\n".join(texts) + "\n")
    for mode in ("whole", "fragments", "pairs"):
        source = {"mode": mode, "max_heavy": 20, "seed": 3, "max_molecules": 3,
                  "files": ["some.smi"]}  # fmt: skip
        found = set(scripts.qm9_data.candidate_keys(source, tmp_path))
        table = {"kind": "conformers", "name": mode, "n_conformers": 1, **source}
        built = {m.key for m in open_source(table, tmp_path).molecules}
        assert built
        assert built <= found


def test_a_pool_is_a_random_part(scripts, tables, tmp_path):
    files = sorted(tables.glob("*.csv"))
    found = []
    for seed in (0, 0, 1):
        scripts.qm9_data.build_pool(files, tmp_path, set(), size=10, seed=seed)
        found.append(scripts.qm9_data.labels(tmp_path, "u0").smiles)
    assert len(found[0]) == 10
    assert found[0] == found[1] != found[2]


@pytest.fixture(scope="module")
def grid(scripts, tables, tmp_path_factory, network):
    """Return what runs the script on a small grid, and the grid's folder."""
    out = tmp_path_factory.mktemp("grid")
    scripts.qm9.main(["pool", "--out", str(out), "--data", str(tables)])
    options = [
        *("--targets", "gap", "u0", "--sizes", "12", "--splits", "random"),
        *("--seeds", "0", "1", "--tests", "6", "--steps", "4", "--batch", "4"),
        *("--network", network),
    ]

    def run(what, *more):
        scripts.qm9.main([what, "--out", str(out), *options, *more])

    return run, out


def mae(folder, target):
    found = json.loads((folder / "metrics.json").read_text())
    return found["sets"]["test"][target]["mae"]


def test_the_grid_goes_on_where_it_was_stopped(grid, scripts, monkeypatch, capsys):
    run, out = grid
    run("run", "--minutes", "0")
    assert "out of time" in capsys.readouterr().out
    assert not list(out.glob("*/metrics.json"))
    begun = scripts.qm9.finetune

    def interrupted(config, folder, **settings):
        if len(list(out.glob("*/metrics.json"))) == 2:
            raise KeyboardInterrupt
        return begun(config, folder, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(scripts.qm9, "finetune", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("run")
    done = {p.parent.name: p.stat().st_mtime_ns for p in out.glob("*/metrics.json")}
    assert len(done) == 2
    capsys.readouterr()
    run("table")
    told = capsys.readouterr().out
    assert "2 of 12 runs are done." in told
    assert "not run: u0, 12, random split: 6 runs" in told
    assert "not run: gap, 12, random split: 4 runs" in told
    run("run")
    now = {p.parent.name: p.stat().st_mtime_ns for p in out.glob("*/metrics.json")}
    assert len(now) == 12
    assert {name: now[name] for name in done} == done
    assert not list(out.glob("*/checkpoint.pt"))
    capsys.readouterr()
    run("table")
    lines = capsys.readouterr().out.splitlines()
    assert "12 of 12 runs are done." in lines
    (row,) = (line for line in lines if line.startswith("| gap, meV"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    folders = {
        (start, seed): next(out.glob(f"gap-*-{start}-{seed}"))
        for start in scripts.qm9.STARTS
        for seed in (0, 1)
    }
    errors = {key: 1e3 * mae(folder, "gap") for key, folder in folders.items()}
    scratch = np.array([errors["scratch", 0], errors["scratch", 1]])
    frozen = np.array([errors["frozen", 0], errors["frozen", 1]])
    assert cells[4] == f"{scratch.mean():.0f} ± {scratch.std(ddof=1):.0f}"
    paired = frozen - scratch
    assert cells[7] == f"{paired.mean():+.0f} ± {paired.std(ddof=1):.0f}"
    assert cells[9] == "2"


def test_starts_are_compared_on_the_same_molecules(grid, scripts):
    run, out = grid
    run("run")
    for seed in (0, 1):
        configs = [
            json.loads((path / "config.json").read_text())
            for path in out.glob(f"u0-*-{seed}")
        ]
        assert len(configs) == 3
        assert len({json.dumps(c["split"]) for c in configs}) == 1
        assert {c["model"]["start"] for c in configs} == set(scripts.qm9.STARTS)
        rows = [
            list(csv.DictReader((path / "predictions.csv").open()))
            for path in out.glob(f"u0-*-{seed}")
        ]
        labels = {tuple(r["label"] for r in table if r["set"] == "test")
                  for table in rows}  # fmt: skip
        assert len(labels) == 1
        assert len(labels.pop()) == 6


def test_larger_training_sets_hold_the_smaller_and_the_same_tests(grid, scripts):
    _, out = grid
    args = SimpleNamespace(out=out, tests=6)
    found = []
    for n in (8, 16):
        cell = scripts.qm9.Cell(target="gap", n=n, method="random", seed=3)
        data, parts = scripts.qm9.parts_of(args, cell)
        found.append({name: set(data.keys[rows])
                      for name, rows in parts.named().items()})  # fmt: skip
    assert (len(found[0]["train"]), len(found[1]["train"])) == (8, 16)
    assert found[0]["train"] < found[1]["train"]
    assert found[0]["test"] == found[1]["test"]
    assert not found[1]["train"] & found[1]["test"]


def test_the_grid_begins_with_few_molecules_and_random_splits(scripts):
    args = scripts.qm9.parser().parse_args(["run", "--out", "x"])
    order = list(scripts.qm9.cells(args))
    assert len(order) == len(set(order)) == 5 * 3 * 2 * 3
    assert [c.target for c in order[:3]] == ["gap", "dipole", "u0"]
    assert {(c.n, c.method, c.seed) for c in order[:3]} == {(1000, "random", 0)}
    assert [c.n for c in order] == sorted(c.n for c in order)
    assert {c.method for c in order[:9]} == {"random"}


def test_the_script_says_that_there_is_no_pool(scripts, tmp_path):
    with pytest.raises(SystemExit, match=r"make it with: qm9\.py pool"):
        scripts.qm9.main(["table", "--out", str(tmp_path)])


# --- probes of features


def test_a_ridge_finds_what_is_linear_and_its_tests_choose_nothing(scripts):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = x @ [1.0, -2.0, 0.5, 0.0] + 3.0
    parts = list(np.split(np.arange(300), [200, 250]))
    assert scripts.qm9_probe.ridge_error(x, y, parts) < 1e-4
    # Labels of the tests do not reach the choice: wrong ones are simply wrong.
    wrong = y.copy()
    wrong[250:] += 100.0
    assert scripts.qm9_probe.ridge_error(x, wrong, parts) == pytest.approx(100.0)


def test_few_noisy_labels_take_a_larger_penalty(scripts):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2040, 100))
    y = x[:, 0] + rng.normal(size=2040)
    parts = list(np.split(np.arange(2040), [120, 1040]))
    (train, _, test) = parts
    free = np.linalg.lstsq(x[train], y[train], rcond=None)[0]
    unpenalised = np.abs(x[test] @ free - y[test]).mean()
    assert scripts.qm9_probe.ridge_error(x, y, parts) < 0.7 * unpenalised


def test_probes_turn_with_molecules_and_know_compositions(scripts, graphs, network):
    from mdgeomfeat.gnn import load_model
    from mdgeomfeat.testing import random_rotation

    model = load_model(network)
    data = from_graphs(graphs, kind="intensive", target="energy", unit="eV")
    turned = []
    turn = np.asarray(random_rotation(4), np.float32)
    for one in graphs:
        copy = one.clone()
        copy.pos = copy.pos @ one.pos.new_tensor(turn).T
        turned.append(copy)
    other = from_graphs(turned, kind="intensive", target="energy", unit="eV")
    every = np.arange(len(data))
    sizes = np.array([one.num_nodes for one in graphs], float)
    for extensive in (False, True):
        sets = [
            scripts.qm9_probe.feature_sets(
                scripts.qm9_probe.pooled(model, given, every), sizes, extensive
            )
            for given in (data, other)
        ]
        for name, values in sets[0].items():
            assert values.shape[1] == (16 if name == "scalars" else 32)
            np.testing.assert_allclose(values, sets[1][name], atol=2e-4)
    counts = scripts.qm9_probe.element_counts(data, every)
    assert counts.sum(axis=1).tolist() == sizes.tolist()
    # Labels that are sums over elements are known from the counts.
    for one, row in zip(data.graphs, counts, strict=True):
        one.y[:] = row @ [1.0, 5.0, 7.0]
    parts = split(data, SplitConfig(train=30, validation=8, test=10))
    used = np.concatenate(list(parts.named().values()))
    features = {"random": scripts.qm9_probe.pooled(model, data, used)}
    found = scripts.qm9_probe.errors(data, parts, features)
    assert found["elements"] < 1e-3 < 0.1 * found["guess"]
    assert set(found) > {"random: scalars", "random: scalars, vectors"}


def test_the_table_of_probes(grid, scripts, capsys):
    _, out = grid
    scripts.qm9.main(
        ["probe", "--out", str(out), "--targets", "dipole", "u0", "--sizes", "14",
         "--tests", "6", "--seeds", "0", "1"]
    )  # fmt: skip
    told = capsys.readouterr().out
    assert "| dipole, D |" in told
    assert "| u0, meV |" in told
    rows = [line for line in told.splitlines() if line.startswith("| pretrained: ")]
    assert len(rows) == 4
    assert all(row.count("±") == 2 for row in rows)


# --- trajectories


def run_hot(scripts, out, frames, **settings):
    return scripts.hot_molecules.simulate(
        "malonaldehyde", out, frames=frames, spacing=2,
        calculator=settings.pop("calculator", None) or Springs(), **settings,
    )  # fmt: skip


def test_a_hot_run_goes_on_and_stores_energies_and_forces(scripts, tmp_path):
    assert run_hot(scripts, tmp_path, 3) == 3
    path = tmp_path / "malonaldehyde.xyz"
    before = path.read_text()
    with path.open("a") as file:
        file.write("9\nProperties=species:S:1:pos:R:3 energy=0.0\nO 0.0 0.")
    assert run_hot(scripts, tmp_path, 5) == 5
    assert path.read_text().startswith(before)
    frames = read(path, index=":")
    assert len(frames) == 5
    assert run_hot(scripts, tmp_path, 5) == 5
    assert len(read(path, index=":")) == 5
    for frame in frames:
        assert np.isfinite(frame.get_potential_energy())
        assert np.abs(frame.get_forces().sum(axis=0)).max() < 1e-6
        assert len(frame.get_momenta()) == 9
    steps = [np.abs(a.positions - b.positions).max() for a, b in pairwise(frames)]
    assert min(steps) > 1e-4


def test_a_stopped_run_has_the_frames_of_a_whole_one(scripts, tmp_path):
    """To the digits that the file holds: the springs are those of the first frame."""
    springs = Springs()
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        folder.mkdir()
    run_hot(scripts, whole, 4, calculator=springs)
    run_hot(scripts, halves, 2, calculator=springs)
    run_hot(scripts, halves, 4, calculator=springs)
    one, other = (read(f / "malonaldehyde.xyz", index=":") for f in (whole, halves))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-6)
        np.testing.assert_allclose(a.get_forces(), b.get_forces(), atol=1e-5)


def test_a_hot_run_is_hot(scripts, tmp_path):
    run_hot(scripts, tmp_path, 250, temperature=900.0)
    frames = read(tmp_path / "malonaldehyde.xyz", index=":")[50:]
    temperature = np.mean([frame.get_temperature() for frame in frames])
    assert 600 < temperature < 1200


def test_a_molecule_that_comes_apart_ends_the_run(scripts, tmp_path, capsys):
    done = run_hot(scripts, tmp_path, 400, calculator=Springs(-4.0))
    assert done < 400
    assert "came apart" in capsys.readouterr().out
    for frame in read(tmp_path / "malonaldehyde.xyz", index=":"):
        assert scripts.hot_molecules.in_one_piece(frame.positions)


def test_pieces_are_told_apart(scripts):
    chain = np.array([[2.0 * i, 0.0, 0.0] for i in range(4)])
    assert scripts.hot_molecules.in_one_piece(chain)
    chain[2:] += 1.0
    assert not scripts.hot_molecules.in_one_piece(chain)


def test_gfn2_forces_are_the_slope_of_its_energy(scripts):
    # torch 2.6 brings a libgomp that is too old for it, and comes first here
    pytest.importorskip("tblite.library", exc_type=ImportError)
    atoms = scripts.hot_molecules.build("C=O", seed=0)
    atoms.calc = scripts.hot_molecules.gfn2()
    force = atoms.get_forces()[0, 0]
    energies = []
    for shift in (1e-3, -1e-3):
        moved = atoms.copy()
        moved.positions[0, 0] += shift
        moved.calc = scripts.hot_molecules.gfn2()
        energies.append(moved.get_potential_energy())
    assert force == pytest.approx((energies[1] - energies[0]) / 2e-3, abs=2e-3)


@pytest.fixture(scope="module")
def trajectory(scripts, tmp_path_factory):
    """Return a folder with 160 frames of malonaldehyde on springs."""
    folder = tmp_path_factory.mktemp("hot")
    run_hot(scripts, folder, 160, temperature=300.0)
    return folder


def test_forces_of_a_trajectory_are_tested_on_what_comes_later(
    scripts, trajectory, tmp_path, capsys
):
    scripts.forces.main(
        ["--data", str(trajectory), "--out", str(tmp_path), "--cases", "malonaldehyde",
         "--frames", "40", "--steps", "2", "--seeds", "0", "1"]
    )  # fmt: skip
    told = capsys.readouterr().out
    for path in tmp_path.glob("*/metrics.json"):
        found = json.loads(path.read_text())
        assert found["split"] == {
            "method": "time", "train": 40, "validation": 0, "test": 20,
            "left_out": {"gap": 100},
        }  # fmt: skip
        rows = csv.DictReader((path.parent / "predictions.csv").open())
        asked = {int(row["index"]) for row in rows if row["set"] == "test"}
        assert asked == set(range(140, 160))
    assert len(list(tmp_path.glob("*/metrics.json"))) == 4
    assert "| malonaldehyde | test | rmse |" in told


def test_what_a_random_split_hides_can_be_measured(scripts, trajectory, tmp_path):
    scripts.forces.main(
        ["--data", str(trajectory), "--out", str(tmp_path), "--cases", "malonaldehyde",
         "--frames", "40", "--steps", "1", "--seeds", "0", "--starts", "scratch",
         "--random"]
    )  # fmt: skip
    (path,) = tmp_path.glob("malonaldehyde-*-random/metrics.json")
    found = json.loads(path.read_text())["split"]
    assert (found["method"], found["train"], found["test"]) == ("random", 40, 120)


def test_files_in_the_layout_of_xxmd_are_learnt_from(scripts, trajectory, tmp_path):
    """Extended XYZ per molecule and level, frames in the order of time."""
    from typer.testing import CliRunner

    from mdgeomfeat.cli import app

    frames = read(trajectory / "malonaldehyde.xyz", index=":")[:60]
    plain = []
    for frame in frames:
        one = Atoms(numbers=frame.numbers, positions=frame.positions)
        one.info["energy_s0"] = frame.get_potential_energy()
        one.arrays["forces_s0"] = frame.get_forces()
        plain.append(one)
    path = tmp_path / "malonaldehyde-s0.xyz"
    write(path, plain, format="extxyz")
    out = tmp_path / "run"
    words = [
        *("finetune", str(path), "--kind", "conservative", "--unit", "eV"),
        *("--target", "energy_s0", "--forces", "forces_s0"),
        *("--split", "time", "--train", "0.5", "--validation", "0.2", "--gap", "5"),
        *("--steps", "1", "--out", str(out)),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "metrics.json").read_text())
    # A file that is a part already is taken whole, but for what must be tested on.
    early, late = tmp_path / "early.xyz", tmp_path / "late.xyz"
    write(early, plain[:50], format="extxyz")
    write(late, plain[50:], format="extxyz")
    words[1] = str(early)
    words[words.index("0.5")], words[words.index("5")] = "0.98", "0"
    words[words.index("0.2")] = "0"
    words[-1] = str(tmp_path / "parts")
    result = CliRunner().invoke(app, [*words, "--tests", str(late)])
    assert result.exit_code == 0, result.output
    parts = json.loads((tmp_path / "parts/metrics.json").read_text())
    assert (parts["split"]["train"], parts["sets"]["late"]["n"]) == (49, 10)
    assert found["split"]["method"] == "time"
    assert (found["split"]["train"], found["split"]["validation"]) == (30, 12)
    assert found["split"]["left_out"] == {"gap": 10}
    assert set(found["sets"]["test"]) == {"n", "energy_s0", "forces"}


def test_forces_that_do_work_heat_and_others_do_not(scripts):
    """Springs keep their energy; springs with a push along the velocity do not."""

    class Pushed(Springs):
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results["forces"] += 0.02 * self.atoms.get_momenta()
            del self.results["energy"]

    atoms = scripts.hot_molecules.build("O=C/C=C\\O", seed=0)

    def moved(forces):
        judge = Springs()
        for one in (forces, judge):
            copy = atoms.copy()
            copy.calc = one
            copy.get_forces()
        return scripts.constant_energy.at_constant_energy(
            atoms, forces, judge, steps=400
        )

    kept, heated = moved(Springs()), moved(Pushed())
    assert abs(kept["judged_drift"]) < 1.0
    assert kept["own_drift"] == pytest.approx(kept["judged_drift"], abs=1e-6)
    assert heated["judged_drift"] > 30.0
    assert "own_drift" not in heated
    assert heated["last_temperature"] > 1.3 * heated["first_temperature"]
