"""The benchmark of QM9 on a few molecules: pools, grids, probes."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("rdkit")

from ase import units

from mdgeomfeat.finetuning import SplitConfig, from_graphs, split
from mdgeomfeat.pretraining.molecules import key_of_smiles

HARTREE = units.Hartree
SMILES = [
    "C", "CC", "CCC", "CCCC", "CC(C)C", "O", "CO", "CCO", "CCCO", "COC", "C=O", "CC=O",
    "CC(C)=O", "C=C", "CC=C", "C#C", "CC#C", "OCO", "OCCO", "CC(O)C", "C1CC1", "CC1CC1",
    "C1CCC1", "C1CO1", "CC1CO1", "OC1CC1", "O=C1CC1", "C1COC1", "OC=O", "COC=O",
]  # fmt: skip


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
