"""Fine-tuning runs: resumable, frozen or not, from the command line, and used again."""

import csv
import json

import numpy as np
import pytest
import torch
from labelled_molecules import TARGETS
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mdgeomfeat.errors import InputError
from mdgeomfeat.finetuning import (
    FinetuneConfig,
    FineTuning,
    Parts,
    finetune,
    load_finetuned,
    predict,
    split,
)
from mdgeomfeat.finetuning.trainer import StepBatches
from mdgeomfeat.gnn import build_model, load_model, save_model, verify_model
from mdgeomfeat.pretraining.packed import Packed


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def trainer(config, data, folder, parts=None):
    return FineTuning(
        config, folder, data=data, parts=parts or split(data, config.split)
    )


def one_conformation():
    """Return pre-training data of one molecule."""
    return Packed(
        z=np.array([6, 8], np.uint8),
        pos=np.array([[0, 0, 0], [0, 0, 1200]], np.int16),
        mol_ptr=np.array([0, 2]),
        mol_of=np.array([0], np.int32),
        source_of=np.array([0], np.int16),
        keys=np.array(["CO"]),
        manifest={"sources": [{"name": "one"}], "sha256": ""},
    )


@pytest.mark.parametrize("kind", list(TARGETS))
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    kind, config, labels, tmp_path, monkeypatch
):
    data, tuning = labels(kind), config(kind, train={"denoising": 0.1})
    whole = trainer(tuning, data, tmp_path / "whole")
    losses = whole.run()
    share = FineTuning._one_step

    def step(self):
        if self.step == 5:
            self.save()
        if self.step == 7:
            raise KeyboardInterrupt
        return share(self)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "_one_step", step)
        killed = trainer(tuning, data, tmp_path / "killed")
        with pytest.raises(KeyboardInterrupt):
            killed.run()
    resumed = trainer(tuning, data, tmp_path / "killed")
    assert resumed.step == 5
    assert resumed.run() == losses[5:]
    torch.testing.assert_close(weights(resumed.ema), weights(whole.ema), rtol=0, atol=0)
    log = (tmp_path / "killed/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in log] == losses


@pytest.mark.parametrize("kind", list(TARGETS))
def test_what_is_trained_on_is_learnt(kind, config, labels, tmp_path):
    tuning = config(kind, train={"steps": 60, "learning_rate": 1e-2})
    run = trainer(tuning, labels(kind), tmp_path)
    losses = run.run()
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_epochs_use_every_entry_once_from_any_step_on():
    whole = iter(StepBatches(10, 3, seed=4))
    batches = [next(whole) for _ in range(9)]
    for epoch in range(3):
        used = {i for batch in batches[3 * epoch : 3 * epoch + 3] for i in batch}
        assert len(used) == 9
    assert batches[0] != batches[3]
    late = iter(StepBatches(10, 3, seed=4, first=5))
    assert [next(late) for _ in range(4)] == batches[5:]
    assert len(next(iter(StepBatches(2, 16, seed=0)))) == 2


def test_the_three_starts(config, labels, network, tmp_path):
    own = weights(load_model(network))
    found = {}
    for start in ("pretrained", "scratch", "frozen"):
        tuning = config("intensive", model={"start": start})
        run = trainer(tuning, labels("intensive"), tmp_path / start)
        before = weights(run.model.backbone)
        assert torch.equal(before, own) == (start != "scratch")
        run.run()
        found[start] = weights(run.ema.backbone)
        assert torch.equal(found[start], before) == (start == "frozen")
    assert not torch.equal(found["pretrained"], found["scratch"])


def test_from_python_to_a_network_that_is_used_again(
    config, labels, frames, graphs, tmp_path
):
    data = labels("conservative")
    extra = labels("conservative", frames[:5])
    tuning = config("conservative", labels={"target": "energy"})
    found = finetune(tuning, tmp_path, data=data, tests={"other": extra})
    assert found["done"]
    assert found == json.loads((tmp_path / "metrics.json").read_text())
    assert [s["n"] for s in found["sets"].values()] == [24, 8, 16, 5]
    assert found["sets"]["other"]["forces"]["unit"] == "eV/Å"

    # Errors follow from the table, row by row.
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for part, scores in found["sets"].items():
        for label in ("energy", "forces"):
            error = np.array(
                [
                    float(r["prediction"]) - float(r["label"])
                    for r in rows
                    if r["set"] == part and r["quantity"] == label
                ]
            )
            assert np.abs(error).mean() == pytest.approx(scores[label]["mae"], rel=1e-3)
            rmse = np.sqrt(np.square(error).mean())
            assert rmse == pytest.approx(scores[label]["rmse"], rel=1e-3)

    path = tmp_path / "finetuned.safetensors"
    assert verify_model(path) == []
    card = load_model(path).card
    assert card["from"]["licence"] == "MIT"
    assert card["errors"] == found["sets"]
    assert card["recipe"]["model"]["start"] == "pretrained"
    assert card["data"]["sha256"] == data.sha256
    again = load_finetuned(path)
    averaged = trainer(tuning, data, tmp_path, split(data, tuning.split))
    assert torch.equal(weights(again.backbone), weights(averaged.ema.backbone))
    assert not torch.equal(weights(again.backbone), weights(averaged.model.backbone))
    row = next(r for r in rows if r["set"] == "test" and r["quantity"] == "energy")
    energy = predict(again, [graphs[int(row["index"])]]).y.item()
    assert energy == pytest.approx(float(row["prediction"]), abs=2e-4)
    # It can be the start of another fine-tuning.
    second = config("intensive", model={"network": str(path)})
    assert finetune(second, tmp_path / "second", data=labels("intensive"))["done"]


def test_predictions_are_compared_with_a_guess(config, labels, tmp_path):
    for kind in ("classes", "dipole", "extensive"):
        found = finetune(config(kind), tmp_path / kind, data=labels(kind))
        for scores in found["sets"].values():
            if kind == "classes":
                assert 0 <= scores["balanced_accuracy"] <= 1
                assert scores["baseline_accuracy"] >= 0.4
            else:
                for label, score in scores.items():
                    if label != "n":
                        assert score["mae"] <= score["rmse"]
                        assert score["baseline_mae"] > 0


def test_lengths_of_dipoles_are_learnt_as_lengths_of_vectors(
    config, graphs, labels, tmp_path
):
    from torch_geometric.data import Data

    from mdgeomfeat.finetuning import from_graphs

    lengths = [Data(z=g.z, pos=g.pos, mu=g.dipole.norm()) for g in graphs]
    data = from_graphs(lengths, kind="dipole", target="mu", unit="D")
    found = finetune(config("dipole"), tmp_path, data=data)
    assert found["sets"]["test"]["mu"]["mae"] > 0
    model = load_finetuned(tmp_path / "finetuned.safetensors")
    assert predict(model, graphs[:2]).y.shape == (2, 3)


def test_checkpoints_of_other_runs_are_refused(config, labels, network, tmp_path):
    data = labels("intensive")
    trainer(config("intensive"), data, tmp_path).save()
    with pytest.raises(InputError, match="is the checkpoint of another head"):
        trainer(config("extensive"), labels("extensive"), tmp_path)
    with pytest.raises(InputError, match=r"another \[model\]"):
        trainer(config("intensive", model={"head": "linear"}), data, tmp_path)
    with pytest.raises(InputError, match=r"another \[train\]"):
        trainer(config("intensive", train={"batch": 7}), data, tmp_path)
    with pytest.raises(InputError, match="on another split"):
        trainer(config("intensive", split={"seed": 5}), data, tmp_path)
    other = labels("intensive")
    other.graphs[0].y += 1.0
    with pytest.raises(InputError, match="on another data"):
        trainer(config("intensive"), other, tmp_path)
    with pytest.raises(InputError, match="exists; continue it"):
        finetune(config("intensive"), tmp_path, data=data, resume=False)
    # another network under the name of the one that it was begun with
    path = tmp_path / "net.safetensors"
    for seed in (1, 2):
        spec = load_model(network).spec
        save_model(build_model(spec, seed=seed), path, {})
        mine = config("intensive", model={"network": str(path)})
        if seed == 1:
            trainer(mine, data, tmp_path / "other").save()
            continue
        with pytest.raises(InputError, match="on another network"):
            trainer(mine, data, tmp_path / "other")
    trainer(config("intensive", train={"log_every": 3}), data, tmp_path)


def test_a_pretraining_checkpoint_and_a_finetuned_one_are_told_apart(
    config, labels, tmp_path
):
    from mdgeomfeat.pretraining.config import RunConfig
    from mdgeomfeat.pretraining.export import read_checkpoint
    from mdgeomfeat.pretraining.trainer import Trainer

    trainer(config("forces"), labels("forces"), tmp_path).save()
    with pytest.raises(InputError, match="is not a checkpoint of pre-training"):
        read_checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"belongs to a run with another \[model\]"):
        Trainer(RunConfig(), tmp_path, data=one_conformation())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["config"] = {"model": {}, "train": {}}
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"of another head .of pre-training,"):
        trainer(config("forces"), labels("forces"), tmp_path)


def test_heads_of_other_networks_are_refused(config, labels, tmp_path):
    for seed in (0, 1):
        finetune(
            config("forces", train={"seed": seed}),
            tmp_path / str(seed),
            data=labels("forces"),
        )
    head = "finetuned-head.safetensors"
    (tmp_path / "0" / head).write_bytes((tmp_path / "1" / head).read_bytes())
    with pytest.raises(InputError, match="is the head of another network"):
        load_finetuned(tmp_path / "0/finetuned.safetensors")
    path = tmp_path / "1" / head
    with safe_open(str(path), "pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["scale"] *= float("nan")
    save_file(tensors, path, metadata=about)
    with pytest.raises(InputError, match="has values that are not finite"):
        load_finetuned(tmp_path / "1/finetuned.safetensors")
    (tmp_path / "0" / head).write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not the head of a fine-tuned network"):
        load_finetuned(tmp_path / "0/finetuned.safetensors")
    (tmp_path / "0" / head).unlink()
    with pytest.raises(InputError, match=r"needs its head finetuned-head\.safetensors"):
        load_finetuned(tmp_path / "0/finetuned.safetensors")


def test_elements_outside_the_card_are_refused(config, labels, graphs, tmp_path):
    from torch_geometric.data import Data

    changed = [Data(**g.to_dict()) for g in graphs]
    changed[5].z = changed[5].z.clone()
    changed[5].z[0] = 16
    data = labels("forces", changed)
    with pytest.raises(InputError, match="atoms of atomic number 16, which small was"):
        finetune(config("forces"), tmp_path / "a", data=data)
    with pytest.raises(InputError, match="atoms of atomic number 16"):
        finetune(
            config("forces"), tmp_path / "b", data=labels("forces"),
            tests={"other": labels("forces", changed[5:6])},
        )  # fmt: skip
    scratch = config("forces", model={"start": "scratch"})
    finetune(scratch, tmp_path / "c", data=data)
    card = load_model(tmp_path / "c/finetuned.safetensors").card
    assert card["spec"]["elements"] == [1, 6, 8, 16]


def test_a_split_that_leaks_is_refused_before_training(
    config, labels, graphs, tmp_path
):
    from torch_geometric.data import Data

    data = labels("intensive")
    leaky = Parts(np.arange(20), np.arange(0), np.arange(19, 40))
    with pytest.raises(InputError, match="entry 19 stands in train and in test"):
        finetune(config("intensive"), tmp_path, data=data, parts=leaky)
    # a test file with a conformation that is trained on, of another kind, of a name
    parts = split(data, config("intensive").split)
    known = labels("intensive", [graphs[int(parts.train[0])]])
    fine = labels(
        "intensive", [Data(**{**graphs[0].to_dict(), "pos": graphs[0].pos * 2})]
    )
    for tests, said in (
        ({"new": known}, "entry 0 of the tests of file 1 is the same conformation"),
        ({"test": fine}, "'test' of a test file is that of a part"),
    ):
        with pytest.raises(InputError, match=said):
            finetune(config("intensive"), tmp_path, data=data, tests=tests)
    assert not (tmp_path / "checkpoint.pt").exists()
    moved = [Data(**{**g.to_dict(), "pos": g.pos * 2}) for g in graphs[:2]]
    with pytest.raises(InputError, match="labels of kind 'dipole', not 'intensive'"):
        finetune(
            config("intensive"), tmp_path, data=data,
            tests={"new": labels("dipole", moved)},
        )  # fmt: skip


def test_the_guess_comes_from_what_was_trained_on(config, labels, tmp_path):
    kinds = np.array([int(g.y) for g in labels("classes").graphs])
    train = np.sort(np.r_[np.flatnonzero(kinds == 0)[:3], np.flatnonzero(kinds)[:8]])
    test = np.setdiff1d(np.arange(len(kinds)), train)
    parts = Parts(train, np.empty(0, int), test)
    for kind in ("classes", "intensive", "extensive"):
        data = labels(kind)
        found = finetune(config(kind), tmp_path / kind, data=data, parts=parts)
        scores = found["sets"]["test"]
        if kind == "classes":
            assert scores["baseline_accuracy"] == pytest.approx(kinds[test].mean())
            continue
        y = np.array([g.y.item() for g in data.graphs])
        simple = np.median(y[train])
        if kind == "extensive":
            z = [g.z.numpy() for g in data.graphs]
            counts = np.array([[(one == e).sum() for e in (1, 6, 8)] for one in z])
            simple = counts[test] @ np.linalg.lstsq(counts[train], y[train])[0]
        wanted = np.abs(y[test] - simple).mean()
        assert scores["energy"]["baseline_mae"] == pytest.approx(wanted, rel=1e-6)


def test_the_command(run_cli, network, frames, tmp_path, monkeypatch):
    pytest.importorskip("ase")
    from ase import Atoms
    from ase.io import write

    monkeypatch.chdir(tmp_path)
    images = [
        Atoms(
            numbers=g.z.numpy(),
            positions=g.pos.numpy(),
            info={"U": g.energy.item()},
        )
        for g in frames
    ]
    for image, one in zip(images, frames, strict=True):
        image.arrays["F"] = one.force.numpy()
    write("frames.xyz", images[:30], format="extxyz")
    write("hot.xyz", images[30:], format="extxyz")
    options = (
        "frames.xyz", "--kind", "conservative", "--target", "U", "--forces", "F",
        "--unit", "eV", "--train", 15, "--gap", 2, "--model", network, "--steps", 6,
        "--batch", 4, "--tests", "hot.xyz", "--out", "run", "--threads", 1,
    )  # fmt: skip
    early = run_cli("finetune", *options, "--minutes", 0)
    assert early.exit_code == 0, early.output
    assert "Stopped at step 0; the same command continues." in early.stdout
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = run_cli("finetune", "--resume", "--out", "../run")
    assert done.exit_code == 0, done.output
    assert "hot              forces" in done.stdout
    found = json.loads((tmp_path / "run/metrics.json").read_text())
    assert found["split"] == {
        "method": "time", "train": 15, "validation": 3, "test": 8,
        "left_out": {"gap": 4},
    }  # fmt: skip
    assert found["steps"] == 6
    assert verify_model(tmp_path / "run/finetuned.safetensors") == []


def test_the_command_reads_a_file_that_options_change(run_cli, tmp_path, network):
    pytest.importorskip("rdkit")
    rows = "".join(
        f"{s},\"['C','O']\",\"[[0.,0.,0.],[0,0,{1.1 + i / 50}]]\",{i}\n"
        for i, s in enumerate(["C", "CC", "CCC", "CO", "CCO", "C=O", "CCCO", "C#C"])
    )
    (tmp_path / "a.csv").write_text(f"SMILES,Elements,XYZ_Ang,gap\n{rows}")
    (tmp_path / "run.toml").write_text(
        f'name = "gap"\n[labels]\nfile = "{tmp_path}/a.csv"\ntarget = "gap"\n'
        f'unit = "eV"\n[model]\nnetwork = "{network}"\n[train]\nsteps = 900\n'
        "[split]\ntrain = 4\nvalidation = 1\n"
    )
    out = tmp_path / "run"
    result = run_cli(
        "finetune", tmp_path / "run.toml", "--steps", 2, "--start", "frozen",
        "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load_model(out / "gap.safetensors").card["steps"] == 2
    assert json.loads((out / "config.json").read_text())["model"]["start"] == "frozen"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "holds no run that could go on"),
        (["none.xyz", "--kind", "forces", "--unit", "eV"], "none.xyz does not exist"),
        (["none.xyz", "--unit", "parsec"], "The unit of the labels is 'parsec'"),
        (["none.xyz", "--kind", "magic"], "kind='magic' is unknown; choose one of int"),
        (["none.xyz", "--start", "warm"], "start='warm' is unknown; choose one of pre"),
        (["none.xyz", "--train", "0"], r"\[split\] train=0.0 is not a share or number"),
        (["none.xyz", "--batch", "0"], r"\[train\] batch=0 must be positive"),
        (["none.xyz", "--denoising", "-1"], "denoising=-1.0 must not be negative"),
        (["none.toml"], "The run none.toml cannot be read"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(
    run_cli, tmp_path, arguments, message
):
    import re

    result = run_cli("finetune", *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert re.search(message, result.stderr), result.stderr


def test_unknown_tables_and_entries_are_refused():
    with pytest.raises(InputError, match=r"unknown tables \['task'\]"):
        FinetuneConfig.from_dict({"task": {}})
    with pytest.raises(InputError, match=r"\[labels\] has unknown entries \['units'\]"):
        FinetuneConfig.from_dict({"labels": {"units": "eV"}})
