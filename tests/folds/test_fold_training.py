"""Training on folds: it learns a handful, and goes on where it was killed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from fold_files import CLASSES, LISTS, write_benchmark

from mdgeomfeat import InputError
from mdgeomfeat.folds import FoldConfig, fit_folds, read_domains, read_fold_lists
from mdgeomfeat.folds.run import make_part
from mdgeomfeat.folds.training import FoldTraining, predict_classes
from mdgeomfeat.gnn import load_model, random_twin

PARTS = tuple(LISTS)
SMALL = {
    "n_channels": 16,
    "n_layers": 2,
    "batch": 2,
    "learning_rate": 5e-3,
    "validate_every": 10,
    "log_every": 1,
    "patience": 100,
}


@pytest.fixture(scope="module", params=["pdb", "hdf5"])
def benchmark(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / request.param
    return write_benchmark(folder, request.param)


@pytest.fixture(scope="module")
def one_benchmark(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("train") / "hdf5", "hdf5")


def parts_of(folder, config, network=None):
    lists = read_fold_lists(folder, PARTS)
    return {
        part: make_part(*read_domains(lists, part), config, network) for part in PARTS
    }


def training(folder, out, **options):
    config = FoldConfig(**{**SMALL, **options})
    network = load_model() if config.tokens != "none" else None
    parts = parts_of(folder, config, network)
    return FoldTraining(
        config,
        out,
        training=parts["training"],
        validation=parts["validation"],
        n_classes=len(CLASSES),
    )


@pytest.mark.parametrize("tokens", ["none", "framed"])
def test_a_handful_is_learnt_by_heart(benchmark, tmp_path, tokens):
    config = FoldConfig(**SMALL, steps=120, dropout=0.0, tokens=tokens)
    found = fit_folds(benchmark, tmp_path / "run", config, parts=PARTS)
    assert found["done"]
    assert found["steps"] == 120
    logged = [
        json.loads(line)["loss"]
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert np.mean(logged[:2]) > 0.7
    assert np.mean(logged[-10:]) < 0.05
    again = FoldTraining(
        config,
        tmp_path / "run",
        **{
            k: v
            for k, v in parts_of(
                benchmark, config, load_model() if tokens != "none" else None
            ).items()
            if k in ("training", "validation")
        },
        n_classes=len(CLASSES),
    )
    part = again.training
    assert (predict_classes(again.ema, part.graphs) == part.labels).all()


def test_results_are_those_of_the_predictions(one_benchmark, tmp_path):
    config = FoldConfig(**SMALL, steps=20)
    out = tmp_path / "run"
    found = fit_folds(one_benchmark, out, config, parts=PARTS)
    assert json.loads((out / "metrics.json").read_text()) == found
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert {row["part"] for row in rows} == set(PARTS[1:])
    for part in PARTS[1:]:
        own = [row for row in rows if row["part"] == part]
        assert {row["domain"]: row["class"] for row in own} == LISTS[part]
        right = np.mean([row["class"] == row["predicted"] for row in own])
        assert found["accuracy"][part] == right
        assert found["n"][part] == len(own)
    card = json.loads((out / "residue-network.json").read_text())
    assert card["recipe"] == config.to_dict()
    assert card["tokens"] is None


def losses_with_a_kill(folder, out, at, **options):
    first = training(folder, out, **options)
    step = first._one_step
    done = []

    def killed():
        if len(done) == at:
            raise KeyboardInterrupt
        done.append(step())
        if len(done) == at - 3:
            first.step += 1
            first.save()
            first.step -= 1
        return done[-1]

    first._one_step = killed
    first.save = lambda save=first.save: save() if len(done) == at - 3 else None
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = training(folder, out, **options)
    assert second.step == at - 3
    return [loss for loss, _ in done[: at - 3]] + second.run(), second


@pytest.mark.parametrize(
    "options", [{"tokens": "none"}, {"tokens": "scalars", "noise": 0.1}]
)
def test_a_killed_run_goes_on_to_the_same_losses(one_benchmark, tmp_path, options):
    options = {**options, "steps": 30, "dropout": 0.2}
    whole = training(one_benchmark, tmp_path / "whole", **options)
    losses = whole.run()
    assert len(losses) == 30
    broken, second = losses_with_a_kill(one_benchmark, tmp_path / "b", 16, **options)
    assert broken == losses
    assert second.looks == whole.looks
    one, two = whole.best_network(), second.best_network()
    for name, value in one.state_dict().items():
        assert (value == two.state_dict()[name]).all()


def test_training_stops_when_validation_gets_no_better(one_benchmark, tmp_path):
    run = training(
        one_benchmark, tmp_path / "run", steps=200, patience=3, validate_every=5
    )
    accuracy = iter([0.2, 0.5, 0.5, 0.4, 0.5, 0.9])
    look = run._look

    def pretended(step):
        look(step)
        run.looks[-1][1] = next(accuracy)

    run._look = pretended
    assert len(run.run()) == 25
    assert run.stopped
    assert run.best == (10, 0.5)
    assert run.progress == 1.0


def test_the_best_look_is_what_is_tested(one_benchmark, tmp_path):
    run = training(one_benchmark, tmp_path / "run", steps=20, validate_every=5)
    run.run()
    assert [step for step, _ in run.looks] == [5, 10, 15, 20]
    part = run.validation
    guess = predict_classes(run.best_network(), part.graphs)
    assert run.best[1] == (guess == part.labels).mean()


def test_untrained_tokens_are_others(one_benchmark):
    config = FoldConfig(tokens="scalars", steps=1)
    network = load_model()
    one = parts_of(one_benchmark, config, network)["training"]
    two = parts_of(one_benchmark, config, random_twin(network, 0))["training"]
    assert one.sha256 != two.sha256
    bare = parts_of(one_benchmark, FoldConfig(), None)["training"]
    assert "scalars" not in bare.graphs[0]


def test_stopped_runs_say_so_and_give_no_accuracy(one_benchmark, tmp_path):
    config = FoldConfig(**SMALL, steps=10**6)
    found = fit_folds(
        one_benchmark, tmp_path / "run", config, parts=PARTS, minutes=1e-3
    )
    assert not found["done"]
    assert "accuracy" not in found
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_another_run_is_refused(one_benchmark, tmp_path):
    training(one_benchmark, tmp_path / "run", steps=10).save()
    with pytest.raises(InputError, match="run with another n_layers"):
        training(one_benchmark, tmp_path / "run", steps=10, n_layers=3)
    with pytest.raises(InputError, match="run with another tokens"):
        training(one_benchmark, tmp_path / "run", steps=10, tokens="scalars")
    run = training(one_benchmark, tmp_path / "other", steps=10)
    run._data = ["others"]
    run.save()
    with pytest.raises(InputError, match="on other proteins or tokens"):
        training(one_benchmark, tmp_path / "other", steps=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"twin": 0}, "twin=0 needs tokens"),
        ({"noise": -1.0}, "noise=-1.0 must be"),
        ({"batch": 0}, "batch=0 must be positive"),
        ({"patience": 0}, "patience=0 must be positive"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FoldConfig(**options)


def test_a_configuration_comes_back(one_benchmark, tmp_path):
    config = FoldConfig(tokens="framed", twin=2, steps=5)
    assert FoldConfig.from_dict(config.to_dict()) == config
    with pytest.raises(InputError, match=r"unknown entries \['layers'\]"):
        FoldConfig.from_dict({"layers": 3})
    with pytest.raises(InputError, match="has no validation"):
        fit_folds(one_benchmark, tmp_path, config, parts=["training"])
    bare = parts_of(one_benchmark, FoldConfig(), None)
    with pytest.raises(InputError, match="needs graphs with tokens"):
        FoldTraining(
            config,
            tmp_path / "run",
            training=bare["training"],
            validation=bare["validation"],
            n_classes=4,
        )
