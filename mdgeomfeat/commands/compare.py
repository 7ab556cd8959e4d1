"""The command ``compare``: maps and agreement, without kinetics."""

from __future__ import annotations

from pathlib import Path

from mdgeomfeat.commands.baselines import (
    PRIMARY,
    RANDOM,
    classical_baselines,
    gnn_input,
    untrained_twin,
)
from mdgeomfeat.commands.features import chosen_frames, default_folder, featurize
from mdgeomfeat.commands.featurized import STORE
from mdgeomfeat.commands.mapping import compare_inputs
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.summary import comparison_summary, record_summary
from mdgeomfeat.commands.tables import write_json
from mdgeomfeat.errors import InputError

__all__ = ["write_comparison"]

MIN_FRAMES = 50

_FILES = (
    ("summary.json", "all numbers of this page"),
    (STORE, "token features of every frame"),
    ("figures", "the figures of this page, as PNG"),
)


def write_comparison(
    read: ReadOptions, out: Path | None, overwrite: bool, progress: Reporter
) -> Path:
    """Map features and descriptors, measure their agreement, and write a page.

    Parameters
    ----------
    read : ReadOptions
    out : Path or None
        The folder of results; None names it after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If files, options or frames cannot be used; nothing is left behind then.
    """
    from mdgeomfeat.report import Gallery, comparison_page

    folder = out or default_folder(read, "compare")
    check_output(folder, overwrite, read.store)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        data = featurize(
            read,
            work,
            progress,
            check=lambda u, _: _check_number(
                len(chosen_frames(u, read.start, read.stop, read.step))
            ),
        )
        _check_number(len(data.results.times))  # unusable frames may have gone
        baselines = classical_baselines(data, progress)
        twin, _ = untrained_twin(read, data, progress)
        comparison = compare_inputs(
            {PRIMARY: gnn_input(data), RANDOM: twin, **baselines.inputs},
            torsions=baselines.torsions,
            distances=baselines.distances,
            groups=data.groups,
            same_as=baselines.itself,
            progress=progress,
        )
        with progress.stage("report", None):
            record = make_record(
                data,
                read,
                title=f"Features of {data.title} beside classical descriptors",
                warnings=notes,
                files=_FILES,
                assumed=notes.assumed,
            )
            page = comparison_page(comparison, record, Gallery(work / "figures"))
            (work / "report.html").write_text(page, encoding="utf-8")
            content = record_summary(record, "comparison")
            content["comparison"] = comparison_summary(comparison)
            write_json(work / "summary.json", content)
    return folder


def _check_number(n_frames: int) -> None:
    """Refuse fewer frames than a comparison needs."""
    from mdgeomfeat.kinetics.study import MIN_FRAMES as FOR_KINETICS

    if n_frames < MIN_FRAMES:
        few = "1 frame is" if n_frames == 1 else f"{n_frames} frames are"
        raise InputError(
            f"{few} too few for a comparison; give at least {MIN_FRAMES} (vamp and "
            f"tica need {FOR_KINETICS}, features takes any number)."
        )
