"""One Python call that writes what the commands ``vamp`` and ``tica`` write."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.commands.progress import Reporter, SilentReporter
from mdgeomfeat.commands.study import write_study
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec, feature_options

__all__ = ["analyze"]

AnyPath: TypeAlias = str | os.PathLike[str]

_READ = {f.name for f in fields(ReadOptions)} - {"files", "features"}
_STUDY = {f.name for f in fields(StudyOptions)}


def analyze(
    files: AnyPath | Sequence[AnyPath],
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    progress: Reporter | None = None,
    **options: Any,
) -> Path:
    """Find the slow motions of trajectories and write the folder that ``vamp`` writes.

    Parameters
    ----------
    files : path or sequence of paths
        Trajectories and their topology, in any order.
    out : path, optional
        The folder of results; by default it is named after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter, optional
        Receives what is being done; see ``mdgeomfeat.commands.progress``. By default
        nothing is reported.
    **options
        The options of the command, with underscores: what makes the features
        (:class:`~mdgeomfeat.featurespec.FeatureSpec`: `select`, `model`, `tokens`,
        `window`, ...), what is read and how
        (:class:`~mdgeomfeat.commands.options.ReadOptions`: `start`, `stop`, `step`,
        `dt`, `workers`, `store`, ...) and how to look for slow motions
        (:class:`~mdgeomfeat.commands.options.StudyOptions`: `method`, ``"vampnet"`` or
        ``"tica"``, `lag`, `dim`, `mixer`, `states`, `seeds`, `temperature`, ...).

    Returns
    -------
    Path
        The folder, with ``report.html``, ``summary.json`` and the files that the page
        lists.

    Raises
    ------
    InputError
        If an option is not known, or files, options or frames cannot be used; nothing
        is left behind then.

    Examples
    --------
    >>> from mdgeomfeat import analyze
    >>> folder = analyze(["top.pdb", "run.xtc"], "slow", method="tica", maps=False)
    >>> sorted(path.name for path in folder.glob("*.*"))
    ['cvs.csv', 'features.zarr', 'importance.csv', 'report.html', 'summary.json']
    """
    given = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    known = {*feature_options(), *_READ, *_STUDY}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or sorted(known)
            raise InputError(
                f"There is no option {name!r}; similar ones are {', '.join(near)}."
            )
    store = options.get("store")
    if store is not None:
        options["store"] = Path(store)
    if options.get("lag") is not None:
        options["lag"] = str(options["lag"])
    spec = {n: v for n, v in options.items() if n in feature_options()}
    read = ReadOptions(
        files=tuple(Path(f) for f in given),
        features=FeatureSpec(**spec),
        **{name: value for name, value in options.items() if name in _READ},
    )
    study = StudyOptions(**{n: v for n, v in options.items() if n in _STUDY})
    return write_study(
        read,
        study,
        None if out is None else Path(out),
        overwrite,
        progress or SilentReporter(),
    )
