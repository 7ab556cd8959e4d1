"""The options that say what is read, shared by all commands that read trajectories."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from mdgeomfeat.cli import options as o
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["takes_read_options"]


def _read_options(
    files: o.Files,
    start: o.Start = None,
    stop: o.Stop = None,
    step: o.Step = None,
    dt: o.Dt = None,
    skip_bad_frames: o.SkipBadFrames = False,
    allow_implausible: o.AllowImplausible = False,
    device: o.Device = "auto",
    engine: o.EngineName = "auto",
    batch_size: o.BatchSize = None,
    workers: o.Workers = 1,
    store: o.Store = None,
    store_dtype: o.StoreDtype = None,
    **features: Any,
) -> ReadOptions:
    """Gather what the command line says."""
    return ReadOptions(
        files=tuple(files),
        features=o.feature_spec(features),
        start=start,
        stop=stop,
        step=step,
        dt=dt,
        skip_bad_frames=skip_bad_frames,
        allow_implausible=allow_implausible,
        device=device,
        engine=engine,
        batch_size="auto" if batch_size is None else batch_size,
        workers=workers,
        store=store,
        store_dtype=store_dtype,
    )


def _shared_parameters() -> dict[str, inspect.Parameter]:
    """Return the parameters of :func:`_read_options`, with the features spelled out."""
    own = dict(inspect.signature(_read_options, eval_str=True).parameters)
    del own["features"]
    features = {parameter.name: parameter for parameter in o.feature_parameters()}
    return {"files": own.pop("files"), **features, **own}


def takes_read_options(
    command: Callable[..., None], *, without: Collection[str] = ()
) -> Callable[..., None]:
    """Spell out a command's parameter ``read`` as the options it is made of.

    typer reads options from a function's signature, so the returned function has
    the parameters of :func:`_read_options` in place of ``read``, but for those that
    the command has no use for. What stands before ``read`` is typed before the files.
    """
    shared = _shared_parameters()
    for name in without:
        del shared[name]
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    place = [p.name for p in own].index("read")
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*own[:place], *shared.values(), *own[place + 1 :]]
    ]

    @wraps(command)
    def spelled_out(**given: object) -> None:
        read = _read_options(**{name: given.pop(name) for name in shared})  # type: ignore[arg-type]
        command(read=read, **given)

    del spelled_out.__wrapped__
    spelled_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spelled_out.__annotations__ = {p.name: p.annotation for p in parameters}
    return spelled_out
