"""Run a pre-training from its configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from .config import RunConfig, read_config
from .figure import loss_figure
from .loop import Progress
from .trainer import Trainer

__all__ = ["find_config", "run_pretraining"]

CONFIGS = Path(__file__).parent / "configs"


def find_config(name_or_path: str | Path) -> Path:
    """Path of a configuration: a file, or the name of one that is shipped.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = CONFIGS / f"{name_or_path}.toml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
    raise InputError(
        f"There is no configuration {str(name_or_path)!r}; give a TOML file or one of "
        f"{names}."
    )


def run_pretraining(
    config_path: str | Path,
    *,
    out: str | Path,
    data: str | Path | None = None,
    minutes: float | None = None,
    resume: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Trainer, RunConfig]:
    """Train as a TOML file says, from the last checkpoint if there is one.

    Parameters
    ----------
    config_path : path or str
        See `find_config`.
    out : path
        Folder of the run: checkpoint, log, loss figure.
    data : path, optional
        Packed data, instead of the file that the configuration names.
    minutes : float, optional
        Stop cleanly after so long; a later call goes on.
    resume : bool
        Continue; without it the folder must hold no checkpoint.
    threads : int, optional
        CPU threads; what torch takes by default.
    device : str
    progress : callable, optional
        See `Trainer.run`.

    Returns
    -------
    Trainer, RunConfig
    """
    if threads is not None:
        import numba
        import torch

        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    config = read_config(find_config(config_path))
    if data is not None:
        config = replace(config, data=replace(config.data, file=str(data)))
    trainer = Trainer(config, out, device=device, resume=resume)
    trainer.run(minutes=minutes, progress=progress)
    if trainer.world.rank == 0:
        loss_figure(out)
    return trainer, config
