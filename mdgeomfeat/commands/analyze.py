"""Python calls that write what commands write: studies, models applied, ensembles."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from mdgeomfeat.commands.apply import apply_model
from mdgeomfeat.commands.ensembles import write_ensembles
from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.commands.progress import Reporter, SilentReporter
from mdgeomfeat.commands.study import write_study
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec, feature_options

__all__ = ["analyze", "apply", "compare"]

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
        (:class:`~mdgeomfeat.commands.options.StudyOptions`: `method`, ``"vampnet"``,
        ``"spib"`` or ``"tica"``, `lag`, `dim`, `mixer`, `states`, `seeds`, ...).

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
    study = {name: options.pop(name) for name in _STUDY & options.keys()}
    if study.get("lag") is not None:
        study["lag"] = str(study["lag"])
    read = _read_options(files, options, also=_STUDY)
    return write_study(
        read,
        StudyOptions(**study),
        None if out is None else Path(out),
        overwrite,
        progress or SilentReporter(),
    )


def apply(
    model: AnyPath,
    files: AnyPath | Sequence[AnyPath],
    out: AnyPath | None = None,
    *,
    align: bool = False,
    overwrite: bool = False,
    progress: Reporter | None = None,
    **options: Any,
) -> Path:
    """Apply a saved model to other trajectories and write what ``apply`` writes.

    Parameters
    ----------
    model : path
        The folder of a report of ``vamp``, ``spib`` or ``tica``, or its folder
        ``model``.
    files : path or sequence of paths
        Trajectories and their topology, in any order.
    out : path, optional
        The folder of results; by default it is named after the first file.
    align : bool
        Whether the molecule may be a mutant or a homologue, whose residues are matched
        with the model's by their sequences (extra ``align``).
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter, optional
        Is told what is being done; by default nobody is.
    **options
        What is read and how (:class:`~mdgeomfeat.commands.options.ReadOptions`), and
        `select` where the atoms are named differently. What makes the features is the
        model's own.

    Returns
    -------
    Path
        The folder, with ``report.html``, ``summary.json`` and ``cvs.csv``.

    Raises
    ------
    InputError
        If an option is not known, the model cannot be read, or the molecule is another
        one.

    Examples
    --------
    >>> from mdgeomfeat import apply
    >>> folder = apply("report", ["top.pdb", "other.xtc"], "applied")
    >>> import json
    >>> summary = json.loads((folder / "summary.json").read_text())
    >>> summary["application"]["n_frames"], len(summary["application"]["tokens"])
    (40, 3)
    """
    return apply_model(
        Path(model),
        _read_options(files, options),
        None if out is None else Path(out),
        overwrite,
        progress or SilentReporter(),
        align=align,
    )


def compare(
    files: AnyPath | Sequence[AnyPath],
    others: AnyPath | Sequence[AnyPath],
    out: AnyPath | None = None,
    *,
    overwrite: bool = False,
    progress: Reporter | None = None,
    **options: Any,
) -> Path:
    """Find the residues that differ between two ensembles, as ``compare --with`` does.

    Parameters
    ----------
    files : path or sequence of paths
        Trajectories of the first ensemble and their topology, in any order.
    others : path or sequence of paths
        The same of the second: of a mutant, with a ligand, at another temperature.
        The topology may be left out if it is the same.
    out : path, optional
        The folder of results; by default it is named after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter, optional
        Is told what is being done; by default nobody is.
    **options
        What makes the features (:class:`~mdgeomfeat.featurespec.FeatureSpec`), and what
        is read and how (:class:`~mdgeomfeat.commands.options.ReadOptions`).

    Returns
    -------
    Path
        The folder, with ``report.html``, ``residues.csv`` and ``summary.json``.

    Raises
    ------
    InputError
        If an option is not known, files or frames cannot be used, or the molecules are
        too different.

    Examples
    --------
    >>> from mdgeomfeat import compare
    >>> folder = compare(["top.pdb", "traj.xtc"], ["top.pdb", "other.xtc"], "compared")
    >>> lines = (folder / "residues.csv").read_text().splitlines()
    >>> len(lines) - 1  # tokens: a glycine and its two caps
    3
    """
    return write_ensembles(
        _read_options(files, options),
        [Path(f) for f in _listed(others)],
        None if out is None else Path(out),
        overwrite,
        progress or SilentReporter(),
    )


def _listed(files: AnyPath | Sequence[AnyPath]) -> list[AnyPath]:
    return [files] if isinstance(files, (str, os.PathLike)) else list(files)


def _read_options(
    files: AnyPath | Sequence[AnyPath],
    options: dict[str, Any],
    also: Collection[str] = (),
) -> ReadOptions:
    """Return what is read; `also` are names that a mistyped one may have meant."""
    features = feature_options()
    known = {*features, *_READ, *also}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or sorted(known)
            raise InputError(
                f"There is no option {name!r}; similar ones are {', '.join(near)}."
            )
    if options.get("store") is not None:
        options["store"] = Path(options["store"])
    return ReadOptions(
        files=tuple(Path(f) for f in _listed(files)),
        features=FeatureSpec(**{n: v for n, v in options.items() if n in features}),
        **{name: value for name, value in options.items() if name in _READ},
    )
