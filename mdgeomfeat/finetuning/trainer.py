"""Fine-tuning: the labels' task in the training loop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch as GraphBatch
from torch_geometric.loader import DataLoader

from ..errors import InputError
from ..gnn import Backbone, build_model, load_model
from ..gnn.heads import GatedEquivariantHead
from ..pretraining.export import load_denoiser, stored_head
from ..pretraining.forward import atom_features
from ..pretraining.loop import TrainingLoop
from ..pretraining.task import Batch as NoisyBatch
from ..pretraining.task import remove_rigid_motion
from .config import FinetuneConfig
from .labels import LabelledSet
from .model import HeadSpec, PropertyModel, dipole_lengths, fit_scales
from .parts import Parts

__all__ = ["FineTuning", "refuse_unseen", "starting_network"]


class StepBatches:
    """Which entries each step sees: shuffled epochs, from any step onwards.

    Parameters
    ----------
    n : int
        Entries that are trained on.
    batch : int
        Entries of a step; those that are left of an epoch wait for the next.
    seed : int
    first : int
        Step to begin with.
    rank : int
        Of the process; each has an order of its own.
    """

    def __init__(
        self, n: int, batch: int, *, seed: int, first: int = 0, rank: int = 0
    ) -> None:
        self.n, self.size, self.first = n, min(n, batch), first
        self.seed, self.rank = seed, rank

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.n // self.size
        epoch, place = divmod(self.first, per_epoch)
        while True:
            rng = np.random.default_rng([self.seed, epoch, self.rank])
            order = rng.permutation(self.n)
            for start in range(place, per_epoch):
                yield order[start * self.size : (start + 1) * self.size].tolist()
            epoch, place = epoch + 1, 0


def refuse_unseen(backbone: Backbone, numbers: Iterable[int]) -> None:
    """Refuse elements that the network was not trained on.

    Parameters
    ----------
    backbone : Backbone
    numbers : iterable of int
        Atomic numbers.

    Raises
    ------
    InputError
        If there are any.
    """
    unseen = backbone.unseen(numbers)
    if unseen:
        name = backbone.card.get("name", "the network")
        raise InputError(
            f"There are atoms of atomic number {', '.join(map(str, unseen))}, which "
            f"{name} was not trained on; leave their molecules out, or train from "
            "scratch."
        )


def starting_network(config: FinetuneConfig, data: LabelledSet) -> Backbone:
    """Network that a fine-tuning starts from.

    Parameters
    ----------
    config : FinetuneConfig
    data : LabelledSet

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        If there is no such network, or it cannot take the data's elements.
    """
    backbone = load_model(config.model.network)
    if config.model.start == "scratch":
        if max(data.elements) >= backbone.spec.max_z:
            raise InputError(
                f"The labels hold atoms of atomic number {max(data.elements)}, and the "
                f"network has elements below {backbone.spec.max_z}; leave them out."
            )
        spec = replace(backbone.spec, elements=data.elements)
        return build_model(spec, seed=config.train.seed)
    refuse_unseen(backbone, data.elements)
    return backbone.requires_grad_(config.model.start != "frozen")


class FineTuning(TrainingLoop):
    """One fine-tuning in one folder.

    Parameters
    ----------
    config : FinetuneConfig
    folder : path
        Gets ``checkpoint.pt`` and ``log.jsonl``.
    data : LabelledSet
    parts : Parts
    device : str or torch.device
    resume : bool
        See `TrainingLoop`.

    Raises
    ------
    InputError
        If the network cannot be put to the labels, or the folder's checkpoint belongs
        to another run.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> from pathlib import Path
    >>> from mdgeomfeat.finetuning import FinetuneConfig, FineTuning, split
    >>> config = FinetuneConfig.from_dict({
    ...     "split": {"method": "time", "train": 6, "validation": 2, "gap": 1},
    ...     "train": {"steps": 2, "batch": 2},
    ... })
    >>> tuning = FineTuning(config, "loop", data=data, parts=split(data, config.split))
    >>> losses = tuning.run()
    >>> _ = tuning.save()
    >>> len(losses), sorted(path.name for path in Path("loop").iterdir())
    (2, ['checkpoint.pt', 'log.jsonl'])
    """

    model: PropertyModel
    ema: PropertyModel

    def __init__(
        self,
        config: FinetuneConfig,
        folder: str | Path,
        *,
        data: LabelledSet,
        parts: Parts,
        device: str | torch.device = "cpu",
        resume: bool = True,
    ) -> None:
        self.config, self.data, self.parts = config, data, parts
        self._sha256 = data.sha256
        self._start = load_model(config.model.network).fingerprint
        self.model, self.ema = self._fresh(), self._fresh()
        self._steps: Iterator[GraphBatch] | None = None
        super().__init__(
            config.train, self.model, self.ema, folder, device=device, resume=resume
        )

    def _fresh(self) -> PropertyModel:
        train = self.config.train
        backbone = starting_network(self.config, self.data)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(train.seed)
            spec = HeadSpec.of(self.data, self.config.model.head)
            noise_head = self._noise_head() if train.denoising else None
            model = PropertyModel(backbone, spec, noise_head)
        if spec.kind == "forces" and spec.head == "gated":
            self._begin_with_noise(model)
        fit_scales(model, self.data, self.parts.train)
        return model

    def _begin_with_noise(self, model: PropertyModel) -> None:
        """Begin with the head that predicts noise, where the network brings one.

        Noise takes atoms away from where forces pull them back to, so that a force is
        noise with the other sign, up to a factor.
        """
        head = stored_head(model.backbone.fingerprint)
        if self.config.model.start == "scratch" or head is None:
            return
        model.head.load_state_dict(head)
        with torch.no_grad():
            model.get_parameter("head.second.vector_proj.weight").neg_()

    def _noise_head(self) -> torch.nn.Module:
        network = self.config.model.network
        if self.config.model.start == "scratch":
            channels = load_model(network).spec.n_channels
            return GatedEquivariantHead(channels)
        return load_denoiser(network, fresh_head=True).head

    def _identity(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "data": self._sha256,
            "start": self._start,
            "split": self.parts.sha256,
        }

    def _check_identity(self, path: Path, theirs: Mapping[str, Any]) -> None:
        mine = json.loads(json.dumps(self._identity()))
        stored = theirs.get("config", {})
        labels = stored.get("labels")
        ours = mine["config"]["labels"]
        if labels is None or any(labels[k] != ours[k] for k in ("kind", "target")):
            theirs_is = "pre-training" if labels is None else repr(labels["kind"])
            raise InputError(
                f"{path} is the checkpoint of another head (of {theirs_is}, where "
                f"{ours['kind']!r} of {ours['target']!r} is asked for); give another "
                "folder."
            )
        for table in ("model", "train"):
            if _fixed(stored.get(table, {})) != _fixed(mine["config"][table]):
                raise InputError(
                    f"{path} belongs to a run with another [{table}]; give another "
                    "folder, or the configuration that it was started with."
                )
        for entry, name in (("data", "data"), ("start", "network"), ("split", "split")):
            if theirs.get(entry) != mine[entry]:
                raise InputError(
                    f"{path} belongs to a run on another {name}; give another folder, "
                    f"or the {name} that it was started with."
                )

    def _batch(self) -> GraphBatch:
        if self._steps is None:
            chosen = [self.data.graphs[int(i)] for i in self.parts.train]
            sampler = StepBatches(
                len(chosen),
                self.config.train.batch,
                seed=self.config.train.seed,
                first=self.step,
                rank=self.world.rank,
            )
            self._steps = iter(DataLoader(chosen, batch_sampler=sampler))
        return next(self._steps)

    def _loss(self) -> Tensor:
        batch = self._batch().to(self.device)
        train = self.config.train
        loss = self._label_loss(batch, self.model.train()(batch))
        if train.denoising:
            loss = loss + train.denoising * self._denoising_loss(batch)
        return loss

    def _label_loss(self, batch: GraphBatch, outputs: dict[str, Tensor]) -> Tensor:
        train, model = self.config.train, self.model
        if model.spec.kind == "classes":
            return torch.nn.functional.cross_entropy(outputs["y"], batch.y)
        loss = model.scale.new_zeros(())
        if "y" in outputs:
            guess = outputs["y"]
            if model.spec.length:
                guess = dipole_lengths(guess)
            target = (batch.y - model.offset(batch)) / model.scale
            error = guess - target.to(guess.dtype)
            if model.spec.kind == "conservative":
                # Per atom, so that large molecules do not outweigh the forces.
                error = error / torch.diff(batch.ptr).unsqueeze(1)
                loss = loss + train.energy_weight * _size(error, train.loss)
            else:
                loss = loss + _size(error, train.loss)
        if "forces" in outputs:
            guess = outputs["forces"]
            target = (batch.forces / model.scale).to(guess.dtype)
            loss = loss + train.force_weight * _size(guess - target, train.loss)
        return loss

    def _denoising_loss(self, batch: GraphBatch) -> Tensor:
        """Pre-training's loss on the same molecules, with noise."""
        train = self.config.train
        rng = np.random.default_rng([train.seed, self.step, self.world.rank, 1])
        noise = rng.standard_normal((batch.num_nodes, 3), dtype=np.float32)
        clean = batch.pos.cpu().numpy()
        noisy = NoisyBatch(
            batch.z.cpu().numpy(),
            clean + np.float32(train.sigma) * noise,
            noise,
            batch.ptr.cpu().numpy(),
        )
        target = torch.from_numpy(remove_rigid_motion(noisy)).to(self.device)
        positions = torch.from_numpy(noisy.positions).to(self.device)
        features = atom_features(
            self.model.backbone, batch.z, positions, noisy.graph_ptr
        )
        assert self.model.noise_head is not None
        guess = self.model.noise_head(*features)[1][..., 0]
        error: Tensor = (guess - target).square().mean()
        return error


def _size(error: Tensor, loss: str) -> Tensor:
    """Mean length of errors (n, k), or mean of their squares."""
    if loss == "mse":
        return error.square().mean()
    if error.shape[1] == 1:
        return error.abs().mean()
    # A little inside the root keeps the slope finite where an error vanishes.
    return (error.square().sum(dim=1) + 1e-12).sqrt().mean()


def _fixed(table: dict[str, Any]) -> dict[str, Any]:
    """Entries of a table that may not change when a run goes on."""
    free = {"log_every", "checkpoint_minutes"}
    return {key: value for key, value in table.items() if key not in free}
