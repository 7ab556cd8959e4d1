"""The options that say what is read, shared by all commands that read trajectories."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps

from mdgeomfeat.cli import options as o
from mdgeomfeat.workflow.options import ReadOptions

__all__ = ["takes_read_options"]


def _read_options(
    files: o.Files,
    select: o.Select = None,
    model: o.Model = "default",
    tokens: o.Tokens = o.TokenKind.RESIDUE,
    window: o.Window = None,
    no_pbc: o.NoPbc = False,
    allow_unseen: o.AllowUnseen = False,
    start: o.Start = None,
    stop: o.Stop = None,
    step: o.Step = None,
    skip_bad_frames: o.SkipBadFrames = False,
    device: o.Device = "auto",
    engine: o.EngineName = "auto",
    workers: o.Workers = 1,
    store: o.Store = None,
) -> ReadOptions:
    """Gather what the command line says."""
    return ReadOptions(
        files=tuple(files),
        select=select,
        model=model,
        tokens=tokens.value,
        window=window,
        start=start,
        stop=stop,
        step=step,
        periodic=False if no_pbc else "auto",
        allow_unseen=allow_unseen,
        skip_bad_frames=skip_bad_frames,
        device=device,
        engine=engine,
        workers=workers,
        store=store,
    )


def takes_read_options(command: Callable[..., None]) -> Callable[..., None]:
    """Spell out a command's parameter ``read`` as the options it is made of.

    typer reads options from a function's signature, so the returned function has
    the parameters of :func:`_read_options` in place of ``read``.
    """
    shared = inspect.signature(_read_options, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [
            *shared.values(),
            *(p for name, p in own.items() if name != "read"),
        ]
    ]

    @wraps(command)
    def spelled_out(**given: object) -> None:
        read = _read_options(**{name: given.pop(name) for name in shared})  # type: ignore[arg-type]
        command(read=read, **given)

    del spelled_out.__wrapped__  # type: ignore[attr-defined]
    spelled_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spelled_out.__annotations__ = {p.name: p.annotation for p in parameters}
    return spelled_out
