"""The section on what differs between states."""

from __future__ import annotations

from typing import Final

from mdgeomfeat.explain import Difference, Kind, StateComparison, StateDifferences
from mdgeomfeat.report import html
from mdgeomfeat.report.wording import difference_in_words, differences_in_words
from mdgeomfeat.text import count, number

__all__ = ["difference_table", "differences_section"]

#: Rows of a state's table.
MAX_ROWS: Final = 10

_KINDS: Final = {
    Kind.LIGAND_DISTANCE: "ligand",
    Kind.CONTACT: "contact",
    Kind.TORSION: "torsion",
    Kind.SECONDARY_STRUCTURE: "secondary structure",
    Kind.SALT_BRIDGE: "salt bridge",
    Kind.HYDROGEN_BOND: "hydrogen bond",
    Kind.SOLVENT_EXPOSURE: "exposure",
    Kind.RADIUS_OF_GYRATION: "size",
    Kind.RMSF: "fluctuation",
}


def differences_section(differences: StateDifferences) -> html.Html:
    """Say what tells the states apart, and show the largest differences of each.

    Parameters
    ----------
    differences : StateDifferences
    """
    parts: list[html.Child] = [html.items(differences_in_words(differences))]
    parts += [_table(one, differences) for one in differences.compared]
    parts.append(_reading(differences))
    return html.join(parts)


def _table(one: StateComparison, differences: StateDifferences) -> html.Html:
    frames = count(int(differences.n_frames[one.state]), "frame")
    reference = int(differences.n_frames[differences.reference])
    more = len(one.differences) - MAX_ROWS
    return difference_table(
        one,
        f"State {one.state + 1} ({frames}) beside state "
        f"{differences.reference + 1} ({reference:,})"
        + (f"; {more} smaller differences are in summary.json" if more > 0 else ""),
    )


def difference_table(one: StateComparison, caption: str) -> html.Html:
    """List the largest differences of a state, or an ensemble, from another.

    Parameters
    ----------
    one : StateComparison
    caption : str
    """
    rows = [
        [_KINDS[d.kind], difference_in_words(d), number(d.effect), *_checks(d)]
        for d in one.differences[:MAX_ROWS]
    ]
    return html.table(
        ["kind", "what changes", "effect", "held out", "stable"],
        rows,
        caption=caption,
        numeric=(2, 3),
    )


def _checks(difference: Difference) -> tuple[str, str]:
    stable = {True: "yes", False: "no", None: number(None)}
    return number(difference.held_out), stable[difference.stable]


def _reading(differences: StateDifferences) -> html.Html:
    halves = (
        "whole trajectories, dealt out by how many frames of each state they hold"
        if differences.split == "trajectories"
        else "the first and second half of the only trajectory"
    )
    return html.details(
        "How the differences were found",
        html.items(
            [
                "These were compared: contacts of tokens (closest heavy atoms within "
                "4.5 Å), named torsions, secondary structure and backbone hydrogen "
                "bonds (DSSP), salt bridges (within 4 Å), distances of ligands, the "
                "surface of heavy atoms that solvent can reach (Shrake and Rupley; up "
                "to 2,000 atoms), the radius of gyration of heavy atoms, and "
                "fluctuations of tokens about the mean structure of a state, in evenly "
                "spaced frames of each state.",
                "An effect is 0 for no difference and 1 for the largest possible: the "
                "difference of the shares of frames for contacts, bridges and bonds; "
                "half the distance of the mean points on the circle for torsions; "
                "Cliff's delta for distances of ligands, surfaces and the radius of "
                "gyration, where differences up to 1 Å, 10 Å² and a tenth do not "
                "count; difference over sum for fluctuations.",
                "The held-out effect is the one in one half of the data along the "
                "direction found in the other, averaged over both ways. The halves "
                f"are {halves}. Differences are ranked by it, because among many "
                "quantities some differ by chance. A difference is stable if each "
                "half shows at least half of the effect found in the other.",
            ]
        ),
    )
