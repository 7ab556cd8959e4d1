"""All numbers of a report as one JSON-able dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mdgeomfeat.commands.record import versions
from mdgeomfeat.report.data import ChosenFreeEnergy, Comparison, Record, StateFrames
from mdgeomfeat.report.wording import (
    choices_in_words,
    convergence_in_words,
    findings_in_words,
)

if TYPE_CHECKING:
    from mdgeomfeat.explain import StateDifferences, TokenImportance
    from mdgeomfeat.kinetics import StudyResult

__all__ = ["comparison_summary", "record_summary", "summary"]

#: Of summary.json; described in docs/file-formats.md.
FORMAT = 2


def summary(
    study: StudyResult,
    record: Record,
    frames: StateFrames,
    *,
    chosen: Sequence[ChosenFreeEnergy],
    differences: StateDifferences | None,
    importance: TokenImportance | None,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """Return what a report shows, without arrays over frames."""
    content = record_summary(record, "study")
    content["findings"] = findings_in_words(study)
    content["convergence"] = convergence_in_words(study)
    content["choices"] = choices_in_words(study)
    content["study"] = study.to_dict()
    # How features are made is in the model's own card.
    content["study"]["settings"].pop("metadata", None)
    content["study"]["free_energy"]["chosen"] = [one.to_dict() for one in chosen]
    content["study"]["states"] |= _states(frames)
    content["study"]["states"]["differences"] = (
        None if differences is None else differences.to_dict()
    )
    content["study"]["importance"] = (
        None if importance is None else importance.to_dict()
    )
    if comparison is not None:
        content["comparison"] = comparison_summary(comparison)
    return content


def _states(frames: StateFrames) -> dict[str, Any]:
    """Return what is known of the states beyond the model: frames and angles."""
    return {
        "structures": [f"states/{name}" for name in frames.files],
        "representatives": [
            [asdict(origin) for origin in state] for state in frames.origins
        ],
        "dihedrals": [asdict(angle) for angle in frames.angles],
    }


def record_summary(record: Record, kind: str) -> dict[str, Any]:
    """Return what was analysed, how, and with which warnings."""
    return {
        "format": FORMAT,
        "kind": f"mdgeomfeat {kind}",
        "title": record.title,
        "analysed": dict(record.analysed),
        "network": dict(record.network),
        "run": dict(record.run),
        "versions": versions(),
        "warnings": list(record.warnings),
    }


def comparison_summary(comparison: Comparison) -> dict[str, Any]:
    """Return the agreement of every input with dihedrals and distances."""
    return {
        "held_out": comparison.split,
        "torsions": list(comparison.torsion_names),
        "inputs": [
            {
                "input": row.name,
                "r2_torsions": row.torsion_r2,
                "r2_distances": row.distance_r2,
                "knn_r2_torsions_in_map": row.map_r2,
            }
            for row in comparison.rows
        ],
        "maps": list(comparison.notes),
    }
