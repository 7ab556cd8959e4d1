"""What a fine-tuning minimises: errors of labels, and noise beside them."""

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.finetuning import FinetuneConfig, FineTuning, predict, split
from mdgeomfeat.finetuning import trainer as room
from mdgeomfeat.pretraining.forward import atom_features


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def trainer(config, data, folder):
    return FineTuning(config, folder, data=data, parts=split(data, config.split))


def step_loss(run):
    """Return the loss of the first step, and its batch."""
    run._steps = None
    batch = run._batch()
    run._steps = None
    return run._loss().item(), batch


def test_the_terms_of_a_loss_are_weighted(config, labels, tmp_path):
    """Energies per atom and forces, as lengths of errors, by hand."""
    data = labels("conservative")

    def loss(name, **train):
        run = trainer(config("conservative", train=train), data, tmp_path / name)
        return step_loss(run)[0], run

    both, run = loss("both")
    _, batch = step_loss(run)
    found = run.model.train()(batch)
    sizes = np.diff(batch.ptr.numpy())
    wanted = (batch.y - run.model.offset(batch)) / run.model.scale
    error = (found["y"].detach() - wanted).numpy()[:, 0] / sizes
    pull = found["forces"].detach().numpy() - (batch.forces / run.model.scale).numpy()
    energy, forces = np.abs(error).mean(), np.linalg.norm(pull, axis=1).mean()
    assert both == pytest.approx(energy + forces, rel=1e-5)
    assert min(energy, forces) > 1e-3
    weighted, _ = loss("weighted", energy_weight=3.0, force_weight=0.25)
    assert weighted == pytest.approx(3 * energy + 0.25 * forces, rel=1e-5)
    squares, _ = loss("squares", loss="mse")
    assert squares == pytest.approx(
        np.square(error).mean() + np.square(pull).mean(), rel=1e-5
    )


def test_the_pre_training_task_beside_the_labels(config, labels, tmp_path):
    """Its weight, its noise in Å, and new noise in every step."""
    data = labels("intensive")

    def run_of(name, **train):
        return trainer(config("intensive", train=train), data, tmp_path / name)

    run = run_of("weight 2", denoising=2.0)
    loss, batch = step_loss(run)
    beside = run._denoising_loss(batch).item()
    assert beside > 0.1
    labels_alone = run._label_loss(batch, run.model(batch)).item()
    assert loss == pytest.approx(labels_alone + 2 * beside, rel=1e-5)

    run = run_of("noise", denoising=1.0, sigma=0.05)
    seen = []

    class Listening(torch.nn.Module):
        def forward(self, scalars, vectors):
            return scalars, 0 * vectors[..., :1]

    batch = run._batch()
    run.model.noise_head = Listening()

    def note(backbone, numbers, positions, ptr):
        seen.append(positions.numpy() - batch.pos.numpy())
        return atom_features(backbone, numbers, positions, ptr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "atom_features", note)
        for run.step in (0, 1, 1):
            run._denoising_loss(batch)
    assert seen[0].std() == pytest.approx(0.05, rel=0.2)
    assert (seen[1] == seen[2]).all()
    assert np.abs(seen[0] - seen[1]).max() > 0.05


def test_frozen_with_a_linear_head_is_a_linear_probe(config, labels, tmp_path):
    data = labels("intensive")
    tuning = config(
        "intensive",
        model={"start": "frozen", "head": "linear"},
        train={"batch": 40, "loss": "mse"},
        split={"train": 40, "validation": 0},
    )
    run = trainer(tuning, data, tmp_path)
    run.model.double()  # the probe's weights are large
    graphs = [data.graphs[i] for i in run.parts.train]
    pooled = []
    for one in graphs:
        ptr = np.array([0, len(one.z)])
        scalars, _ = atom_features(run.model.backbone, one.z, one.pos, ptr)
        pooled.append(scalars.mean(dim=0).detach().double().numpy())
    X = np.column_stack([pooled, np.ones(len(pooled))])
    y = np.array([one.y.item() for one in graphs])
    y = (y - y.mean()) / y.std()
    probe = np.linalg.lstsq(X, y, rcond=None)[0]
    # All of the set is one batch: its loss at the probe is the probe's, and the least.
    head = run.model.head.scalar_proj
    with torch.no_grad():
        head.weight.copy_(torch.tensor(probe[None, :-1]))
        head.bias.copy_(torch.tensor(probe[-1:]))
    loss = run._loss()
    assert loss.item() == pytest.approx(np.square(X @ probe - y).mean(), rel=1e-6)
    trained = [p for p in run.model.parameters() if p.requires_grad]
    slope = torch.autograd.grad(loss, trained, allow_unused=True)
    assert {id(p) for p in trained} == {id(p) for p in run.model.head.parameters()}
    assert all(g.abs().max() < 1e-6 for g in slope if g is not None)
    assert loss.item() < 0.7


def test_forces_begin_as_noise_with_the_other_sign(frames, labels, tmp_path):
    from mdgeomfeat.pretraining.export import load_denoiser

    data = labels("forces", frames)
    tuning = FinetuneConfig.from_dict(
        {"labels": {"kind": "forces"}, "split": {"train": 20, "gap": 2}}
    )
    run = trainer(tuning, data, tmp_path / "a")
    one = frames[0]
    noise = load_denoiser("default").eval()(
        one.z.numpy(), one.pos.numpy(), np.array([0, len(one.z)])
    )
    expected = -(noise - noise.mean(dim=0)).detach().double() * run.model.scale
    torch.testing.assert_close(
        torch.tensor(predict(run.model, [one]).forces), expected, rtol=1e-4, atol=1e-5
    )
    scratch = FinetuneConfig.from_dict(
        {**tuning.to_dict(), "model": {"start": "scratch"}}
    )
    other = trainer(scratch, data, tmp_path / "b")
    assert not torch.equal(weights(other.model.head), weights(run.model.head))


def test_denoising_beside_the_labels_trains_its_head(config, labels, tmp_path):
    data = labels("forces")
    run = trainer(config("forces", train={"denoising": 1.0}), data, tmp_path / "a")
    before = weights(run.model.noise_head)
    run.run()
    assert not torch.equal(weights(run.model.noise_head), before)
    plain = trainer(config("forces"), data, tmp_path / "b")
    assert plain.model.noise_head is None
    with pytest.raises(InputError, match="start='frozen' keeps as it is"):
        config("forces", train={"denoising": 1.0}, model={"start": "frozen"})
