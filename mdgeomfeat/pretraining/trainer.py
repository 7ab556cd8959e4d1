"""The training loop: resumable, deterministic, and it stops when told to."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..gnn import build_model
from .config import RunConfig
from .denoiser import Denoiser
from .packed import Packed, load_packed
from .task import Sampler, remove_rigid_motion

__all__ = ["Trainer", "learning_rate_factor"]

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
class _World:
    """Processes that train together (torchrun), or this one alone."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> _World:
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


class Trainer:
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
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.world = _World.join()
        self.device = torch.device(device)
        self.data = load_packed(config.data.file) if data is None else data
        train = config.train
        self.sampler = Sampler(
            self.data,
            config.data,
            config.task,
            atoms=train.atoms,
            seed=train.seed,
            rank=self.world.rank,
        )
        self.model = self._fresh().to(self.device)
        self.ema = self._fresh().to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=train.learning_rate,
            weight_decay=train.weight_decay,
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

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        mine = json.loads(json.dumps(self.config.to_dict()))
        theirs = state["config"]
        # Another share would move molecules from validation into training.
        theirs["data"], mine["data"] = (
            {key: value for key, value in config["data"].items() if key != "file"}
            for config in (theirs, mine)
        )
        for table in ("model", "task", "data"):
            if theirs[table] != mine[table]:
                raise InputError(
                    f"{path} belongs to a run with another [{table}]; give another "
                    "folder, or the configuration that it was started with."
                )
        if state.get("data") != self.data.manifest["sha256"]:
            raise InputError(
                f"{path} belongs to a run on other data; give another folder, or the "
                "data that it was started with."
            )
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
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
                    "config": json.loads(json.dumps(self.config.to_dict())),
                    "data": self.data.manifest["sha256"],
                    "model": self.model.state_dict(),
                    "ema": self.ema.state_dict(),
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
        train = self.config.train
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
        train = self.config.train
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
        train = self.config.train
        batch = self.sampler.batch(self.step)
        target = torch.from_numpy(remove_rigid_motion(batch)).to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"
        ):
            guess = self.model(batch.numbers, batch.positions, batch.graph_ptr)
        loss = (guess.float() - target).square().mean()
        loss.backward()
        parameters: list[Tensor] = list(self.model.parameters())
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
        average: list[Tensor] = list(self.ema.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 1.0 - decay)
        return float(shown), float(norm)
