"""The command ``compare --with``: which residues differ between two ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.ensemble_files import (
    write_residues,
    write_typical_structures,
)
from mdgeomfeat.commands.features import default_folder
from mdgeomfeat.commands.featurized import STORE
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.summary import record_summary
from mdgeomfeat.commands.tables import write_json
from mdgeomfeat.commands.two_ensembles import (
    SECOND_STORE,
    TwoEnsembles,
    read_ensembles,
)
from mdgeomfeat.text import format_time

if TYPE_CHECKING:
    from mdgeomfeat.report.data import EnsembleComparison, Record

__all__ = ["write_ensembles"]

_FILES = (
    ("residues.csv", "effects, p and plain quantities of every residue"),
    ("summary.json", "all numbers of this page"),
    (STORE, "token features of every frame of the first ensemble"),
    (SECOND_STORE, "the same of the second"),
    ("structures", "a typical frame of either ensemble, and how to colour it"),
    ("figures", "the figures of this page, as PNG"),
)
#: Runs of one ensemble that are so many times as long as the other's scatter less.
_UNEQUAL: Final = 2.0
_NAMES: Final = ("first", "second")


def write_ensembles(
    read: ReadOptions,
    others: Sequence[Path],
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
) -> Path:
    """Compare two sets of runs residue by residue, and write a page.

    Parameters
    ----------
    read : ReadOptions
        The first ensemble, and what is read of both.
    others : sequence of Path
        Trajectories of the second ensemble, and their topology if it is another one.
    out : Path or None
        The folder of results; None names it after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder, with ``report.html``, ``residues.csv`` and ``summary.json``.

    Raises
    ------
    InputError
        If files, options or frames cannot be used, or the molecules are too different;
        nothing is left behind then.
    """
    from mdgeomfeat.report import Gallery, ensembles_in_words, ensembles_page

    folder = out or default_folder(read, "ensembles")
    check_output(folder, overwrite, read.store)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        both = read_ensembles(read, others, work, progress)
        with progress.stage("which residues differ", None):
            comparison = _compare(both)
        with progress.stage("report", None):
            write_residues(work / "residues.csv", comparison, both)
            write_typical_structures(work / "structures", comparison, both)
            warnings = [*_doubts(both), *notes]
            record = _record(both, read, warnings, notes.assumed)
            page = ensembles_page(comparison, record, Gallery(work / "figures"))
            (work / "report.html").write_text(page, encoding="utf-8")
            content = record_summary(record, "ensembles")
            content["findings"] = ensembles_in_words(comparison)
            content["ensembles"] = comparison.to_dict()
            write_json(work / "summary.json", content)
    for sentence in ensembles_in_words(comparison):
        progress.say(sentence)
    for sentence in _doubts(both):
        progress.say(f"note: {sentence}")
    return folder


def _compare(both: TwoEnsembles) -> EnsembleComparison:
    """Test the features of every residue, and measure plain quantities."""
    from mdgeomfeat.explain import (
        compare_ensembles,
        compare_measured,
        draw_sample,
        measure,
        plain_tokens,
        run_distances,
    )
    from mdgeomfeat.report.data import EnsembleComparison

    labels = both.structure.token_labels()
    test = compare_ensembles(
        run_distances(both.features()),
        both.side_of_run == 1,
        tested=~np.isin(labels, both.pairing.changed),
        independent=not both.single,
    )
    lengths = np.bincount(both.run)
    sample = draw_sample(both.side, both.run, 2, weights=1 / lengths[both.run])
    rows = sample.rows
    measured = measure(both.structure, both.positions(rows), both.boxes(rows))
    return EnsembleComparison(
        labels=tuple(labels),
        test=test,
        plain=plain_tokens(measured, sample, both.structure.n_tokens),
        differences=compare_measured(measured, sample, both.structure.n_tokens),
        pairing=both.pairing,
        single=both.single,
    )


def _doubts(both: TwoEnsembles) -> list[str]:
    """Say what speaks against taking the files for independent runs alike."""
    doubts: list[str] = []
    if both.single:
        return doubts
    lengths = np.bincount(both.run)
    means = [float(lengths[both.side_of_run == side].mean()) for side in range(2)]
    steps = [data.dt for data in both.data]
    if all(steps):
        means = [m * float(step) for m, step in zip(means, steps, strict=True) if step]
    if max(means) > _UNEQUAL * min(means):
        longer = int(np.argmax(means))
        doubts.append(
            f"The runs of the {_NAMES[longer]} ensemble are "
            f"{max(means) / min(means):.1f} times as long as the others. Short runs "
            "scatter more, which can look like a difference; cut the longer ones, or "
            "read small p with care."
        )
    doubts += [_continued(both, side) for side in range(2)]
    return [doubt for doubt in doubts if doubt]


def _continued(both: TwoEnsembles, side: int) -> str:
    """Say if a file goes on in time where the one before it ends."""
    results = both.data[side].results
    times, source = np.asarray(results.times), np.asarray(results.trajectory)
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    step = both.data[side].dt
    if step is None or len(starts) < 2:
        return ""
    gaps = times[starts[1:]] - times[starts[1:] - 1]
    follows = np.flatnonzero((gaps > 0) & (gaps < 1.5 * step))
    if not len(follows):
        return ""
    name = both.data[side].sources[int(source[starts[follows[0] + 1]])]
    return (
        f"{name} begins at {format_time(float(times[starts[follows[0] + 1]]))}, where "
        "the file before it ends. Files count as independent runs; if one continues "
        "another, join them first, or p is too small."
    )


def _record(
    both: TwoEnsembles, read: ReadOptions, warnings: list[str], assumed: Sequence[str]
) -> Record:
    """Return what was analysed, of both ensembles in one."""
    first, second = (
        make_record(
            data,
            read,
            title="",
            warnings=warnings,
            files=_FILES,
            assumed=assumed,
        )
        for data in both.data
    )
    rows = []
    other = dict(second.analysed)
    for name, value in first.analysed:
        if name == "Files":
            continue  # the trajectories are named
        if name == "Selection":
            value = f"{value}, of those that both ensembles have"
            rows.append((name, value))
        elif other.get(name) == value:
            rows.append((name, value))
        else:
            rows.append((f"{name}, first ensemble", value))
            if name in other:
                rows.append((f"{name}, second ensemble", other[name]))
    titles = [data.title for data in both.data]
    kept = [f for f in first.files if read.store is None or f[0] != SECOND_STORE]
    return replace(
        first,
        title=f"{titles[0]} beside {titles[1]}",
        subtitle=f"First ensemble: {first.subtitle} Second: {second.subtitle}",
        analysed=tuple(rows),
        files=tuple(kept),
    )
