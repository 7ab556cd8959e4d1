import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import ModelSpec, load_model, verify_model
from mdgeomfeat.pretraining.config import (
    DataConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
    read_config,
)
from mdgeomfeat.pretraining.evaluate import denoising_error, predictor
from mdgeomfeat.pretraining.export import export, load_denoiser, read_checkpoint
from mdgeomfeat.pretraining.figure import loss_figure
from mdgeomfeat.pretraining.loop import learning_rate_factor
from mdgeomfeat.pretraining.run import find_config
from mdgeomfeat.pretraining.task import remove_rigid_motion
from mdgeomfeat.pretraining.trainer import Trainer


@pytest.fixture
def config():
    return RunConfig(
        name="tiny",
        model=ModelSpec(n_channels=16, n_layers=2, n_heads=2, n_rbf=16, cutoff=4.0),
        data=DataConfig(validation=0.0),
        task=TaskConfig(),
        train=TrainConfig(steps=12, atoms=150, log_every=1, learning_rate=3e-3),
    )


def weights(denoiser):
    return torch.cat([p.detach().flatten() for p in denoiser.parameters()])


def test_an_untrained_network_predicts_nothing(config, packed, tmp_path):
    trainer = Trainer(config, tmp_path, data=packed)
    error = denoising_error(
        predictor(trainer.model), packed, np.arange(len(packed)), seed=1
    )
    assert 0.85 < error.mse < 1.6


def test_the_loss_falls_on_molecules_seen_again_and_again(config, packed, tmp_path):
    run = config.with_train(steps=100, atoms=300)
    trainer = Trainer(run, tmp_path, data=packed)
    losses = trainer.run()
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])
    error = denoising_error(
        predictor(trainer.ema), packed, np.arange(len(packed)), seed=1
    )
    assert error.floor < error.mse < 0.9


def test_a_killed_run_goes_on_as_if_it_had_not_been(config, packed, tmp_path):
    whole = Trainer(config, tmp_path / "whole", data=packed)
    losses = whole.run()
    assert len(losses) == 12

    killed = Trainer(config, tmp_path / "killed", data=packed)
    first = []
    with pytest.raises(KeyboardInterrupt):
        killed.run(progress=lambda done, record: first.append(record) or _kill(first))
    killed.step = 7  # nothing of what follows the last save may matter
    resumed = Trainer(config, tmp_path / "killed", data=packed)
    assert resumed.step == 5
    assert [r["loss"] for r in first][:5] == losses[:5]
    assert resumed.run() == losses[5:]
    torch.testing.assert_close(weights(resumed.ema), weights(whole.ema), rtol=0, atol=0)
    log = (tmp_path / "killed/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in log] == losses


def _kill(records):
    """Interrupt after the seventh step; the fifth was saved."""
    if len(records) == 7:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _save_at_step_five(monkeypatch, request):
    """Stand in for the clock that decides when a checkpoint is written."""
    if "killed" not in request.node.name:
        return
    share = Trainer._one_step

    def step(self):
        if self.step == 5:
            self.save()
        return share(self)

    monkeypatch.setattr(Trainer, "_one_step", step)


def test_the_loss_asks_for_noise_without_rigid_motion(config, packed, tmp_path):
    trainer = Trainer(config, tmp_path, data=packed)
    batch = trainer.sampler.batch(0)
    guess = trainer.model(batch.numbers, batch.positions, batch.graph_ptr)
    target = remove_rigid_motion(batch)
    by_hand = np.square(guess.detach().numpy() - target).mean()
    assert trainer._loss().item() == pytest.approx(by_hand, rel=1e-5)
    assert abs(np.square(guess.detach().numpy() - batch.noise).mean() - by_hand) > 0.01


def test_the_average_follows_the_weights(config, packed, tmp_path):
    """As 0.1, then 2/11 of the old: a tenth at first, and ever more of it."""
    trainer = Trainer(config.with_train(warmup=0.0), tmp_path, data=packed)
    average = weights(trainer.ema)
    for step, keep in enumerate((1 / 10, 2 / 11, 3 / 12)):
        assert trainer.step == step
        trainer._one_step()
        trainer.step += 1
        average = keep * average + (1 - keep) * weights(trainer.model)
        torch.testing.assert_close(weights(trainer.ema), average, rtol=1e-5, atol=1e-7)
    last = Trainer(config.with_train(ema=0.05), tmp_path / "b", data=packed)
    before = weights(last.ema)
    last._one_step()
    expected = 0.05 * before + 0.95 * weights(last.model)
    torch.testing.assert_close(weights(last.ema), expected, rtol=1e-5, atol=1e-7)


def test_gradients_are_clipped_and_must_be_numbers(config, packed, tmp_path):
    trainer = Trainer(config.with_train(clip=1e-4), tmp_path, data=packed)
    _, norm = trainer._one_step()
    grads = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    left = torch.cat([g.flatten() for g in grads]).norm()
    assert norm > 1e-3
    assert float(left) == pytest.approx(1e-4, rel=1e-3)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="gradient of step 0 is not finite"):
        trainer._one_step()


def test_a_kill_while_a_checkpoint_is_written_leaves_the_previous(
    config, packed, tmp_path, monkeypatch
):
    trainer = Trainer(config, tmp_path, data=packed)
    trainer.elapsed = 123.0
    trainer.save()

    def half(state, path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            trainer.save()
    # the clock goes on as well, by which a schedule may be measured
    assert Trainer(config, tmp_path, data=packed).elapsed == 123.0


def test_equal_seeds_give_equal_runs(config, packed, tmp_path):
    one, two, three = (
        Trainer(config.with_train(seed=seed), tmp_path / str(i), data=packed).run()
        for i, seed in enumerate((3, 3, 4))
    )
    assert one == two
    assert one != three


def test_minutes_stop_cleanly(config, packed, tmp_path):
    trainer = Trainer(config, tmp_path, data=packed)
    assert trainer.run(minutes=0.0) == []
    assert (tmp_path / "checkpoint.pt").exists()
    timed = config.with_train(steps=None, minutes=0.02)
    assert Trainer(timed, tmp_path / "timed", data=packed).run()


def test_a_folder_of_another_run_is_refused(config, packed, tmp_path):
    Trainer(config, tmp_path, data=packed).save()
    other = RunConfig.from_dict(
        {**config.to_dict(), "task": {"sigmas": [0.1], "sigma_weights": [1.0]}}
    )
    with pytest.raises(InputError, match=r"another \[task\]"):
        Trainer(other, tmp_path, data=packed)
    share = RunConfig.from_dict({**config.to_dict(), "data": {"validation": 0.3}})
    with pytest.raises(InputError, match=r"another \[data\]"):
        Trainer(share, tmp_path, data=packed)
    with pytest.raises(InputError, match="exists; continue it"):
        Trainer(config, tmp_path, data=packed, resume=False)
    Trainer(config, tmp_path, data=packed)


def test_other_data_are_refused_by_a_run_and_by_its_export(config, packed, tmp_path):
    Trainer(config, tmp_path, data=packed).save()
    other = replace(packed, manifest=packed.manifest | {"sha256": "0" * 64})
    with pytest.raises(InputError, match="belongs to a run on other data"):
        Trainer(config, tmp_path, data=other)
    with pytest.raises(InputError, match="was trained on other data"):
        export(tmp_path, tmp_path / "model.safetensors", data=other)


def test_exported_weights_are_the_average(config, packed, tmp_path):
    trainer = Trainer(config, tmp_path / "run", data=packed)
    trainer.run()
    head = tmp_path / "head.safetensors"
    path = tmp_path / "tiny.safetensors"
    card = export(tmp_path / "run", path, data=packed, head=head)
    model = load_model(path)
    for name, value in trainer.ema.backbone.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
    assert head.exists()
    assert model.spec.elements == tuple(sorted({int(z) for z in packed.z}))
    assert card["recipe"]["train"]["steps"] == card["steps"] == 12
    assert card["data"]["conformations"] == len(packed)
    verify_model(path)
    again, _, state = read_checkpoint(tmp_path / "run")
    assert state["step"] == 12
    torch.testing.assert_close(weights(again), weights(trainer.ema))
    torch.testing.assert_close(
        weights(load_denoiser(tmp_path / "run")), weights(trainer.ema)
    )
    assert loss_figure(tmp_path / "run").stat().st_size > 1000


def test_a_run_continues_from_other_weights(config, packed, tmp_path):
    first = Trainer(config, tmp_path / "a", data=packed)
    first.run()
    second = Trainer(
        config.with_train(init=str(tmp_path / "a")), tmp_path / "b", data=packed
    )
    torch.testing.assert_close(weights(second.model), weights(first.ema))


def test_a_network_of_another_shape_is_not_continued(config, packed, tmp_path):
    Trainer(config, tmp_path / "a", data=packed).save()
    wider = replace(config, model=replace(config.model, n_channels=32))
    with pytest.raises(InputError, match=r"is a network of another \[model\]"):
        Trainer(wider.with_train(init=str(tmp_path / "a")), tmp_path / "b", data=packed)


def test_a_head_goes_with_its_network_whatever_the_file_is_called(
    config, packed, tmp_path
):
    shipped = weights(load_denoiser("et-64"))
    torch.testing.assert_close(weights(load_denoiser("default")), shipped)
    Trainer(config, tmp_path / "run", data=packed).save()
    path = tmp_path / "et-64.safetensors"
    export(tmp_path / "run", path, data=packed)
    with pytest.raises(InputError, match="comes without its noise head"):
        load_denoiser(path)
    load_denoiser(path, fresh_head=True)


def test_learning_rate():
    rates = [learning_rate_factor(p, 0.1, 0.01) for p in (0, 0.05, 0.1, 0.55, 1, 2)]
    np.testing.assert_allclose(rates, [0, 0.5, 1, 0.505, 0.01, 0.01], atol=1e-9)


def test_configurations(tmp_path):
    run = read_config(find_config("et-64"))
    assert run.model.cutoff == 5.0
    assert RunConfig.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    (tmp_path / "a.toml").write_text("[train]\nstep = 3\n")
    with pytest.raises(InputError, match=r"\[train\] has unknown entries \['step'\]"):
        read_config(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("[optimizer]\n")
    with pytest.raises(InputError, match="unknown tables"):
        read_config(tmp_path / "b.toml")
    with pytest.raises(InputError, match="et-64"):
        find_config("et-65")


SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from mdgeomfeat.pretraining.config import RunConfig
from mdgeomfeat.pretraining.trainer import Trainer
config = RunConfig.from_dict(json.loads(sys.argv[1]))
trainer = Trainer(config, sys.argv[2])
losses = trainer.run()
total = float(sum(p.double().abs().sum() for p in trainer.model.parameters()))
print(f"RESULT {trainer.world.rank} {losses[-1]!r} {total!r}\\n", end="", flush=True)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_one_network(config, molecules, tmp_path):
    from dataclasses import replace

    from mdgeomfeat.pretraining.packed import Source, pack

    pack([Source("s", molecules)], tmp_path / "d.npz", exclude=frozenset())
    run = replace(config, data=DataConfig(file=str(tmp_path / "d.npz")))
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(script)),
            *(json.dumps(run.to_dict()), str(tmp_path / "run")),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = sorted(
        line.split()[1:] for line in done.stdout.splitlines() if "RESULT" in line
    )
    assert [r[0] for r in results] == ["0", "1"]
    assert results[0][1:] == results[1][1:]
    assert (tmp_path / "run/checkpoint.pt").exists()
