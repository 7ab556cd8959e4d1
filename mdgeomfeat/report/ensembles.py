"""The page of two ensembles beside each other."""

from __future__ import annotations

from typing import Final

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.data import EnsembleComparison, Record
from mdgeomfeat.report.figures import draw_ensembles
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.differences import difference_table
from mdgeomfeat.report.sections.record import (
    analysed_section,
    run_section,
    warnings_block,
)
from mdgeomfeat.report.wording.ensembles import ensembles_in_words
from mdgeomfeat.text import enumerate_words, number, pretty_angle

__all__ = ["ensembles_page"]

MAX_ROWS: Final = 20
#: Contacts of one residue that a table names.
_CONTACTS: Final = 3


def ensembles_page(
    comparison: EnsembleComparison, record: Record, gallery: Gallery
) -> str:
    """Return the comparison of two ensembles as one page.

    Parameters
    ----------
    comparison : EnsembleComparison
    record : Record
        What was analysed, and how.
    gallery : Gallery
        Receives the figure.
    """
    lead = html.join(
        [
            html.tag("p", record.subtitle, class_="subtitle"),
            html.tag(
                "div",
                html.join(map(html.paragraph, ensembles_in_words(comparison))),
                class_="summary",
            ),
            warnings_block(record.warnings),
        ]
    )
    sections = [
        ("analysed", "What was analysed", analysed_section(record)),
        (
            "residues",
            "Which residues differ",
            html.join(
                [_figure(comparison, gallery), _table(comparison), _reading(comparison)]
            ),
        ),
    ]
    if comparison.differences is not None and comparison.differences.compared:
        markup = difference_table(
            comparison.differences.compared[0],
            "The second ensemble beside the first: contacts, torsions, secondary "
            "structure, bridges, bonds and sizes, ranked by the effect that one half "
            "of the runs tells of the other.",
        )
        sections.append(("differences", "What differs", markup))
    sections.append(("run", "How to repeat this", run_section(record)))
    return html.page(record.title, lead, sections)


def _figure(comparison: EnsembleComparison, gallery: Gallery) -> html.Html:
    n = len(comparison.labels)
    sure = np.zeros(n, bool)
    sure[comparison.test.different] = True
    turns = [t.turn.effect if t.turn is not None else np.nan for t in comparison.plain]
    return gallery.add(
        "ensembles",
        draw_ensembles(
            comparison.labels,
            comparison.test.effects,
            sure,
            ~comparison.test.tested,
            np.array(turns),
            np.array([token.rmsf for token in comparison.plain]),
        ),
        alt="Bars along the sequence: how far both ensembles differ in each residue.",
        caption="How far the ensembles differ, residue by residue. Features: 0 for the "
        "same distribution, 1 for two points; below 0 where the ensembles differ by "
        "less than the runs of one do. Torsions: half the distance of the mean points "
        "on the circle, without a test. All numbers are in residues.csv.",
    )


def _table(comparison: EnsembleComparison) -> html.Html:
    test = comparison.test
    order = np.argsort(-test.effects, kind="stable")[:MAX_ROWS].tolist()
    rows = []
    for k in order:
        plain = comparison.plain[k]
        row: list[html.Child] = [comparison.labels[k], number(test.effects[k], 3)]
        if test.p_values is not None and test.corrected is not None:
            row += [number(test.p_values[k], 3), number(test.corrected[k], 3)]
        turn = number(None)
        if plain.turn is not None:
            angle = pretty_angle(plain.turn.name).partition(" ")[0]
            before, after = (
                f"{number(value, 0)}°"
                for value in (plain.turn.before, plain.turn.after)
            )
            turn = f"{angle} {before} → {after} ({number(plain.turn.effect)})"
        before, after = plain.rmsf
        row += [turn, f"{number(before)} → {number(after)}"]
        row += [_contacts(comparison, plain.made), _contacts(comparison, plain.lost)]
        rows.append(row)
    header = ["residue", "effect"]
    if test.p_values is not None:
        header += ["p", "p corrected"]
    header += ["torsion (effect)", "RMSF, Å", "contacts made", "contacts lost"]
    return html.table(
        header,
        rows,
        caption="Residues by the effect in their features, and plain quantities of "
        "them in the first and the second ensemble. Contacts are told where their "
        "share of the frames changes by 30 % or more.",
        numeric=range(1, len(header) - 4),
        highlight=[i for i, k in enumerate(order) if k in test.different],
    )


def _contacts(comparison: EnsembleComparison, others: tuple[int, ...]) -> str:
    named = [comparison.labels[k] for k in others[:_CONTACTS]]
    more = len(others) - _CONTACTS
    named += [f"{more} more"] if more > 0 else []
    return enumerate_words(named) or number(None)


def _reading(comparison: EnsembleComparison) -> html.Html:
    told = [
        "The network sees the atoms that both ensembles have. Each run counts the "
        "same, however long it is. The effect is an energy distance of the features "
        "of a residue, from pairs of frames of different runs (coefficient of "
        "inhomogeneity; Székely and Rizzo, 2013). Its mean is 0 if nothing differs, "
        "however slowly the runs move.",
        "Features of a residue also depend on its neighbours within the cutoff, so "
        "neighbours of a residue that moves differently differ, too.",
    ]
    if comparison.test.p_values is not None:
        told.insert(
            1,
            "p is the share of divisions of the runs into two sets in which the "
            "dispersion between the sets, over that within them, is as large as here "
            "(Anderson, 2001). Runs are exchanged, not frames: frames of one run are "
            "alike, and taking them for independent makes anything significant. The "
            "corrected p counts divisions in which any residue reaches the ratio "
            "(Westfall and Young, 1993); where it is at most 0.05, the chance that a "
            "residue is named although none differs is 5 %.",
        )
        told.append(
            "Runs are taken for independent. Runs that begin from the same structure "
            "are not until they have forgotten it: if all runs of one ensemble begin "
            "from one structure and those of the other from another, p may be of the "
            "starts alone. Leave out the beginnings (--start)."
        )
    told.append(
        "Two force fields differ in lengths and angles of bonds, which the network "
        "sees in every residue; look at the torsions and contacts there."
    )
    told.append(
        "B-factors of the files in the folder structures are the effects, 100 for the "
        "largest"
        + (
            ", 0 for residues that do not surely differ"
            if comparison.test.decidable
            else ", whether they are sure or not"
        )
        + ". colour.cxc (ChimeraX), colour.pml (PyMOL) and colour.vmd.tcl (VMD) show "
        "them; run them in that folder."
    )
    return html.details("How this was found", html.items(told))
