"""The pages: which sections they have and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdgeomfeat.report import html
from mdgeomfeat.report.data import ChosenFreeEnergy, Comparison, Record, StateFrames
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.convergence import convergence_section
from mdgeomfeat.report.sections.coordinates import coordinates_section
from mdgeomfeat.report.sections.differences import differences_section
from mdgeomfeat.report.sections.importance import importance_section
from mdgeomfeat.report.sections.maps import agreement_section, maps_section
from mdgeomfeat.report.sections.motions import (
    landscape_section,
    no_timescales_section,
    series_section,
    timescales_section,
)
from mdgeomfeat.report.sections.rates import rates_section
from mdgeomfeat.report.sections.record import (
    analysed_section,
    choices_section,
    run_section,
    warnings_block,
)
from mdgeomfeat.report.sections.scores import scores_section
from mdgeomfeat.report.sections.states import bottleneck_section, states_section
from mdgeomfeat.report.wording import (
    choices_in_words,
    convergence_in_words,
    findings_in_words,
)
from mdgeomfeat.text import Clock

if TYPE_CHECKING:
    from mdgeomfeat.explain import StateDifferences, TokenImportance
    from mdgeomfeat.kinetics import StudyResult

__all__ = ["comparison_page", "study_page"]


def study_page(
    study: StudyResult,
    record: Record,
    gallery: Gallery,
    *,
    frames: StateFrames | None = None,
    chosen: Sequence[ChosenFreeEnergy] = (),
    differences: StateDifferences | None = None,
    importance: TokenImportance | None = None,
    comparison: Comparison | None = None,
) -> str:
    """Return the report of a study as one page.

    Parameters
    ----------
    study : StudyResult
    record : Record
        What was analysed, and how.
    gallery : Gallery
        Receives the figures.
    frames : StateFrames or None
        Representative frames of the states.
    chosen : sequence of ChosenFreeEnergy
        Free energies over coordinates that the user named.
    differences : StateDifferences or None
        What differs between the states; None leaves the section out.
    importance : TokenImportance or None
        Which residues matter; None leaves the section out.
    comparison : Comparison or None
        Maps and agreement; None leaves these sections out.
    """
    clock = Clock(study.settings.dt)
    choices = choices_section(choices_in_words(study))
    sections = [
        ("analysed", "What was analysed", analysed_section(record)),
        ("choices", "What was chosen, and why", choices),
        ("scores", "Held-out scores", scores_section(study, clock, gallery)),
        (
            "series",
            "Collective variables over time",
            series_section(study.cvs, study.states, clock, gallery),
        ),
        (
            "free-energy",
            "Free energy",
            _judged(
                study,
                landscape_section(
                    study.free_energy,
                    study.cvs,
                    study.states,
                    study.settings.temperature,
                    gallery,
                ),
                told=False,
            ),
        ),
    ]
    if chosen:
        markup = coordinates_section(
            chosen,
            weighted=study.states.weighted,
            temperature=study.settings.temperature,
            gallery=gallery,
        )
        title = "Free energy over chosen coordinates"
        sections.append(("chosen", title, _judged(study, markup)))
    markup = no_timescales_section()
    if not study.biased:
        markup = timescales_section(study.timescales, study.states, clock, gallery)
        markup = _judged(study, markup)
    title = "Timescales and the Chapman-Kolmogorov test"
    sections.append(("timescales", title, markup))
    if study.bottleneck is not None:
        markup = bottleneck_section(study.bottleneck, clock)
        sections.append(("bottleneck", "States that last", markup))
    markup = states_section(study.states, frames, clock, gallery)
    sections.append(("states", "States", _judged(study, markup)))
    if differences is not None:
        markup = _judged(study, differences_section(differences))
        sections.append(("differences", "What differs between states", markup))
    if importance is not None:
        markup = importance_section(
            importance, gallery, established=study.evidence.established
        )
        markup = _judged(study, markup)
        sections.append(("importance", "Which residues matter", markup))
    sections.append(
        ("converged", "Is it converged?", convergence_section(study.convergence))
    )
    sections.append(("rates", "How fast", rates_section(study, clock, gallery)))
    sections += _comparison_sections(comparison, gallery)
    sections.append(("run", "How to repeat this", run_section(record)))
    headline = [*findings_in_words(study), *convergence_in_words(study)]
    return html.page(record.title, _lead(record, headline), sections)


def _judged(study: StudyResult, section: html.Html, *, told: bool = True) -> html.Html:
    """Mark a section if what it shows is not established; tell it above the first."""
    if study.evidence.established:
        return section
    marked = html.tag("div", section, class_="doubtful")
    if told:
        return marked
    note = html.note(
        "Not established: this section and the others with a dashed line were computed "
        "from the frames that the collective variables were fitted to. They can be "
        "noise, even where a test is passed."
    )
    return html.join([note, marked])


def comparison_page(comparison: Comparison, record: Record, gallery: Gallery) -> str:
    """Return a page with maps and agreement only.

    Parameters
    ----------
    comparison : Comparison
    record : Record
        What was analysed, and how.
    gallery : Gallery
        Where the figures are kept.

    Returns
    -------
    str
        HTML.
    """
    sections = [
        ("analysed", "What was analysed", analysed_section(record)),
        *_comparison_sections(comparison, gallery),
        ("run", "How to repeat this", run_section(record)),
    ]
    return html.page(record.title, _lead(record, []), sections)


def _comparison_sections(
    comparison: Comparison | None, gallery: Gallery
) -> list[tuple[str, str, html.Html]]:
    if comparison is None:
        return []
    return [
        ("maps", "Maps", maps_section(comparison, gallery)),
        (
            "agreement",
            "Agreement with dihedrals and distances",
            agreement_section(comparison, gallery),
        ),
    ]


def _lead(record: Record, sentences: list[str]) -> html.Html:
    """Return what stands under the heading: findings, then warnings."""
    parts: list[html.Child] = [html.tag("p", record.subtitle, class_="subtitle")]
    if sentences:
        parts.append(
            html.tag(
                "div",
                html.join(html.paragraph(s) for s in sentences),
                class_="summary",
            )
        )
    parts.append(warnings_block(record.warnings))
    return html.join(parts)
