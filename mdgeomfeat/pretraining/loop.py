"""The training loop that every task shares: resumable, and it stops when told to."""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..errors import InputError
from .config import Schedule

__all__ = ["Progress", "TrainingLoop", "learning_rate_factor"]

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"

#: Called after every logged step with (progress from 0 to 1, record).
Progress = Callable[[float, dict[str, Any]], None]


def learning_rate_factor(progress: float, warmup: float, final: float) -> float:
    """Linear warm-up, then a cosine from 1 to `final`.

    Parameters
    ----------
    progress : float
        Share of the schedule that is done, 0 to 1.
    warmup : float
        Share of the schedule.
    final : float

    Returns
    -------
    float
    """
    if progress < warmup:
        return progress / warmup
    place = min(1.0, (progress - warmup) / max(1e-9, 1.0 - warmup))
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * place))


@dataclass
class World:
    """Processes that train together (torchrun), or this one alone."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> World:
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not torch.distributed.is_initialized():
            backend = "nccl" if torch.cuda.is_available() else "gloo"
            torch.distributed.init_process_group(backend)
        return cls(torch.distributed.get_rank(), size)

    def average(self, parameters: list[Tensor], values: list[Tensor]) -> None:
        """Replace gradients and values by their means over all processes."""
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([t.reshape(-1) for t in (*grads, *values)])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in (*grads, *values):
            part = flat[start : start + tensor.numel()]
            tensor.copy_(part.view_as(tensor))
            start += tensor.numel()


class TrainingLoop(ABC):
    """One run in one folder; a task says what its loss is.

    Parameters
    ----------
    schedule : Schedule
    model, ema : nn.Module
        Two equal networks: the second holds the moving average of the first.
    folder : path
        Gets ``checkpoint.pt`` and ``log.jsonl``.
    device : str or torch.device
    resume : bool
        Continue from the folder's checkpoint if there is one. Otherwise the folder
        must hold none.

    Raises
    ------
    InputError
        If the folder's checkpoint belongs to another run, or there is one and `resume`
        is false.
    """

    def __init__(
        self,
        schedule: Schedule,
        model: nn.Module,
        ema: nn.Module,
        folder: str | Path,
        *,
        device: str | torch.device = "cpu",
        resume: bool = True,
    ) -> None:
        self.schedule = schedule
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.world = World.join()
        self.device = torch.device(device)
        self._model, self._ema = model.to(self.device), ema.to(self.device)
        self.optimizer = torch.optim.AdamW(
            [p for p in self._model.parameters() if p.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            betas=(0.9, 0.99),
        )
        self.step = 0
        self.elapsed = 0.0
        self._tick = time.monotonic()
        checkpoint = self.folder / CHECKPOINT
        if checkpoint.exists():
            if not resume:
                raise InputError(
                    f"{checkpoint} exists; continue it (resume) or give another folder."
                )
            self._load(checkpoint)

    @abstractmethod
    def _loss(self) -> Tensor:
        """Return the loss of the batch of ``self.step``, which that number decides."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """Return what is stored with a checkpoint to tell whose it is, JSON types."""

    @abstractmethod
    def _check_identity(self, path: Path, theirs: Mapping[str, Any]) -> None:
        """Refuse the checkpoint of another run with an InputError."""

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        self._check_identity(path, state)
        self._model.load_state_dict(state["model"])
        self._ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        self.elapsed = float(state["elapsed"])
        log = self.folder / LOG
        if self.world.rank == 0 and log.exists():
            # Steps after the checkpoint are done again.
            kept = [
                line
                for line in log.read_text().splitlines()
                if json.loads(line)["step"] <= self.step
            ]
            log.write_text("".join(f"{line}\n" for line in kept))

    def save(self) -> Path:
        """Write the checkpoint; a kill while writing leaves the previous one."""
        path = self.folder / CHECKPOINT
        if self.world.rank == 0:
            part = path.with_suffix(".part")
            torch.save(
                {
                    **json.loads(json.dumps(self._identity())),
                    "model": self._model.state_dict(),
                    "ema": self._ema.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "step": self.step,
                    "elapsed": self.elapsed,
                },
                part,
            )
            part.replace(path)
        return path

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, 0 to 1."""
        train = self.schedule
        if train.steps is not None:
            return min(1.0, self.step / train.steps)
        return min(1.0, self.elapsed / (60.0 * (train.minutes or 1.0)))

    def run(
        self, *, minutes: float | None = None, progress: Progress | None = None
    ) -> list[float]:
        """Train to the end of the schedule or for some minutes.

        Parameters
        ----------
        minutes : float, optional
            Stop cleanly after so long; a later call goes on.
        progress : callable, optional
            Gets the share done and the log record of each logged step.

        Returns
        -------
        list of float
            Loss of each step that was made.
        """
        train = self.schedule
        started = saved = self._tick = time.monotonic()
        losses: list[float] = []
        recent: list[float] = []
        log = (self.folder / LOG).open("a") if self.world.rank == 0 else None
        try:
            while self.progress < 1.0:
                if self._out_of_time(started, minutes):
                    break
                loss, norm = self._one_step()
                self.step += 1
                losses.append(loss)
                recent.append(loss)
                if self.step % train.log_every == 0:
                    record = {
                        "step": self.step,
                        "loss": sum(recent) / len(recent),
                        "gradient": norm,
                        "learning_rate": self.optimizer.param_groups[0]["lr"],
                        "elapsed": self.elapsed,
                    }
                    recent = []
                    if log is not None:
                        log.write(json.dumps(record) + "\n")
                        log.flush()
                    if progress is not None:
                        progress(self.progress, record)
                if time.monotonic() - saved > 60.0 * train.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
        finally:
            if log is not None:
                log.close()
        self.save()
        return losses

    def _out_of_time(self, started: float, minutes: float | None) -> bool:
        if minutes is None:
            return False
        over = time.monotonic() - started > 60.0 * minutes
        if self.world.size > 1:
            # All processes stop at the same step.
            flag = torch.tensor(float(over), device=self.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            over = bool(flag)
        return over

    def _share(self, parameters: list[Tensor], loss: Tensor) -> None:
        """Average gradients, loss and clock over the processes."""
        now = time.monotonic()
        self.elapsed += now - self._tick
        self._tick = now
        if self.world.size > 1:
            # One clock, or a schedule that follows it would differ between them.
            clock = torch.tensor(self.elapsed, device=self.device)
            self.world.average(parameters, [loss, clock])
            self.elapsed = float(clock)

    def _one_step(self) -> tuple[float, float]:
        train = self.schedule
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss()
        loss.backward()
        parameters: list[Tensor] = list(self._model.parameters())
        shown = loss.detach().clone()
        self._share(parameters, shown)
        factor = learning_rate_factor(self.progress, train.warmup, train.final)
        for group in self.optimizer.param_groups:
            group["lr"] = train.learning_rate * factor
        norm = torch.nn.utils.clip_grad_norm_(parameters, train.clip)
        if not bool(torch.isfinite(norm)):
            raise FloatingPointError(
                f"the gradient of step {self.step} is not finite; the last checkpoint "
                f"in {self.folder} is from before, lower learning_rate"
            )
        self.optimizer.step()
        decay = min(train.ema, (1.0 + self.step) / (10.0 + self.step))
        average: list[Tensor] = list(self._ema.parameters())
        get_ema_multi_avg_fn(decay)(average, parameters, self.step)
        return float(shown), float(norm)
