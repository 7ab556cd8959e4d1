"""Pre-training: the denoising task in the training loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..gnn import build_model
from .config import RunConfig
from .denoiser import Denoiser
from .loop import TrainingLoop
from .packed import Packed, load_packed
from .task import Sampler, remove_rigid_motion

__all__ = ["Trainer"]


class Trainer(TrainingLoop):
    """One run in one folder.

    Parameters
    ----------
    config : RunConfig
    folder : path
        Gets ``checkpoint.pt`` and ``log.jsonl``.
    data : Packed, optional
        Read from the file that the configuration names by default.
    device : str or torch.device
    resume : bool
        Continue from the folder's checkpoint if there is one. Otherwise the folder
        must hold none.

    Raises
    ------
    InputError
        If the folder's checkpoint belongs to another run, there is one and `resume` is
        false, or the network to continue from is of another shape.
    """

    model: Denoiser
    ema: Denoiser

    def __init__(
        self,
        config: RunConfig,
        folder: str | Path,
        *,
        data: Packed | None = None,
        device: str | torch.device = "cpu",
        resume: bool = True,
    ) -> None:
        self.config = config
        self.data = load_packed(config.data.file) if data is None else data
        self.model, self.ema = self._fresh(), self._fresh()
        super().__init__(
            config.train, self.model, self.ema, folder, device=device, resume=resume
        )
        self.sampler = Sampler(
            self.data,
            config.data,
            config.task,
            atoms=config.train.atoms,
            seed=config.train.seed,
            rank=self.world.rank,
        )

    def _fresh(self) -> Denoiser:
        train = self.config.train
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(train.seed)
            if train.init:
                return self._continued(train.init)
            return Denoiser(build_model(self.config.model, seed=train.seed))

    def _continued(self, init: str) -> Denoiser:
        from .export import load_denoiser

        denoiser = load_denoiser(init, fresh_head=True)
        theirs, ours = (
            replace(spec, elements=None)
            for spec in (denoiser.backbone.spec, self.config.model)
        )
        if theirs != ours:
            raise InputError(
                f"init={init!r} is a network of another [model] ({theirs}) than the "
                f"run's ({ours}); make them the same."
            )
        return denoiser

    def _identity(self) -> dict[str, Any]:
        return {"config": self.config.to_dict(), "data": self.data.manifest["sha256"]}

    def _check_identity(self, path: Path, theirs: Mapping[str, Any]) -> None:
        def compared(config: dict[str, Any]) -> dict[str, Any]:
            # Another share would move molecules from validation into training.
            data = {k: v for k, v in config.get("data", {}).items() if k != "file"}
            return {**config, "data": data}

        their_config = compared(theirs["config"])
        my_config = compared(json.loads(json.dumps(self.config.to_dict())))
        for table in ("model", "task", "data"):
            if their_config.get(table) != my_config[table]:
                raise InputError(
                    f"{path} belongs to a run with another [{table}]; give another "
                    "folder, or the configuration that it was started with."
                )
        if theirs.get("data") != self.data.manifest["sha256"]:
            raise InputError(
                f"{path} belongs to a run on other data; give another folder, or the "
                "data that it was started with."
            )

    def _loss(self) -> Tensor:
        batch = self.sampler.batch(self.step)
        target = torch.from_numpy(remove_rigid_motion(batch)).to(self.device)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"
        ):
            guess = self.model(batch.numbers, batch.positions, batch.graph_ptr)
        error: Tensor = (guess.float() - target).square().mean()
        return error
