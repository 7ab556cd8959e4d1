"""Training a residue network on folds, in the loop that all training shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch_geometric.loader import DataLoader

from ..errors import InputError
from ..finetuning.trainer import StepBatches
from ..pretraining.loop import TrainingLoop
from ..tensorfiles import save_tensors
from .config import FoldConfig
from .network import ResidueNetwork

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["FoldTraining", "Part", "predict_classes"]

BEST: Final = "best.safetensors"


@dataclass(frozen=True)
class Part:
    """The proteins of a part of the benchmark.

    Parameters
    ----------
    names : sequence of str
    graphs : sequence of torch_geometric.data.Data
        With labels ``y``.
    """

    names: Sequence[str]
    graphs: Sequence[Data]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Numbers of the classes (P,)."""
        return np.array([int(graph.y) for graph in self.graphs])

    @property
    def sha256(self) -> str:
        """Fingerprint of names, labels, positions and tokens."""
        digest = hashlib.sha256()
        for name, graph in zip(self.names, self.graphs, strict=True):
            digest.update(f"{name} {int(graph.y)}".encode())
            digest.update(graph.backbone.numpy().tobytes())
            if "scalars" in graph:
                digest.update(graph.scalars.numpy().tobytes())
                digest.update(graph.vectors.numpy().tobytes())
        return digest.hexdigest()


@torch.no_grad()
def predict_classes(
    model: ResidueNetwork, graphs: Sequence[Data], *, batch: int = 16
) -> NDArray[np.int64]:
    """Return the most probable class of each protein.

    Parameters
    ----------
    model : ResidueNetwork
    graphs : sequence of torch_geometric.data.Data
    batch : int
        Proteins that are computed at once.

    Returns
    -------
    (P,) ndarray of int64
    """
    model.eval()
    device = model.centres.device
    found = [
        model(graph.to(device)).argmax(1).cpu()
        for graph in DataLoader(list(graphs), batch_size=batch)
    ]
    return torch.cat(found).numpy()


class FoldTraining(TrainingLoop):
    """Cross entropy of the training part, stopped by the accuracy of validation.

    The moving average of the weights is validated; the best one is kept in
    ``best.safetensors``.

    Parameters
    ----------
    config : FoldConfig
    folder : path
    training, validation : Part
    n_classes : int
    device : str or torch.device
    resume : bool

    Attributes
    ----------
    looks : list of [int, float]
        Step and accuracy of each validation.
    """

    def __init__(
        self,
        config: FoldConfig,
        folder: str | Path,
        *,
        training: Part,
        validation: Part,
        n_classes: int,
        device: str | torch.device = "cpu",
        resume: bool = True,
    ) -> None:
        self.config, self.training, self.validation = config, training, validation
        self._n_classes = n_classes
        self._data = [training.sha256, validation.sha256]
        self.looks: list[list[float]] = []
        self.model, self.ema = self._fresh(), self._fresh()
        self._steps: Iterator[Any] | None = None
        super().__init__(
            config, self.model, self.ema, folder, device=device, resume=resume
        )

    def _fresh(self) -> ResidueNetwork:
        graphs = self.training.graphs
        used = self.config.tokens != "none"
        if used and not all("scalars" in graph for graph in graphs):
            raise InputError(
                f"tokens={self.config.tokens!r} needs graphs with tokens; pass them "
                "to residue_graph."
            )
        channels = graphs[0].scalars.shape[1] if used else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            spec = self.config.network_spec(self._n_classes, channels)
            model = ResidueNetwork(spec)
        if used:
            model.fit_tokens(
                torch.cat([graph.scalars for graph in graphs]),
                torch.cat([graph.vectors for graph in graphs]),
            )
        return model

    @property
    def best(self) -> tuple[int, float]:
        """Step and accuracy of the best validation, the first of several."""
        step, accuracy = max(self.looks, key=lambda look: look[1])
        return int(step), accuracy

    @property
    def stopped(self) -> bool:
        """Whether validation has not got better for too long."""
        if not self.looks:
            return False
        since = sum(step > self.best[0] for step, _ in self.looks)
        return since >= self.config.patience

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, 1 where it was stopped early."""
        return 1.0 if self.stopped else super().progress

    def _loss(self) -> Tensor:
        batch = self._batch().to(self.device)
        seeds = np.random.SeedSequence([self.config.seed, self.step, self.world.rank])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds.generate_state(1)[0]))
            if self.config.noise:
                noise = torch.randn_like(batch.backbone)
                batch.backbone = batch.backbone + self.config.noise * noise
            logits = self.model.train()(batch)
        return torch.nn.functional.cross_entropy(logits, batch.y)

    def _batch(self) -> Any:
        if self._steps is None:
            sampler = StepBatches(
                len(self.training.graphs),
                self.config.batch,
                seed=self.config.seed,
                first=self.step,
                rank=self.world.rank,
            )
            loader = DataLoader(list(self.training.graphs), batch_sampler=sampler)
            self._steps = iter(loader)
        return next(self._steps)

    def _one_step(self) -> tuple[float, float]:
        found = super()._one_step()
        done = self.step + 1
        if done % self.config.validate_every == 0 or done == self.config.steps:
            self._look(done)
        return found

    def _look(self, step: int) -> None:
        graphs, labels = self.validation.graphs, self.validation.labels
        guess = predict_classes(self.ema, graphs, batch=self.config.batch)
        self.looks.append([step, float((guess == labels).mean())])
        if self.best[0] == step and self.world.rank == 0:
            state = self.ema.state_dict()
            tensors = {name: value.cpu().numpy() for name, value in state.items()}
            save_tensors(self.folder / BEST, tensors, {"step": str(step)})

    def best_network(self) -> ResidueNetwork:
        """Return the network that validated best."""
        model = self._fresh()
        model.load_state_dict(load_file(self.folder / BEST))
        return model.to(self.device).eval()

    def _identity(self) -> dict[str, Any]:
        return {
            "folds": self.config.to_dict(),
            "data": self._data,
            "looks": self.looks,
        }

    def _check_identity(self, path: Path, theirs: Mapping[str, Any]) -> None:
        mine = json.loads(json.dumps(self._identity()))
        free = {"log_every", "checkpoint_minutes"}
        options, stored = mine["folds"], theirs.get("folds", {})
        other = [k for k in options if k not in free and stored.get(k) != options[k]]
        if other:
            raise InputError(
                f"{path} belongs to a run with another {other[0]}; give another "
                "folder, or the configuration that it was started with."
            )
        if theirs.get("data") != mine["data"]:
            raise InputError(
                f"{path} belongs to a run on other proteins or tokens; give another "
                "folder, or what it was started with."
            )
        self.looks = [list(look) for look in theirs["looks"]]
