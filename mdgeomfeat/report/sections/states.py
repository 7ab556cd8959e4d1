"""The section on states: how populated they are, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.figures import draw_populations, draw_structures
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.molecule import POCKET, Molecule
from mdgeomfeat.report.scene import FOLDER, SCRIPTS
from mdgeomfeat.text import Clock, count, number, percent, pretty_angle

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Bottleneck, StateModel
    from mdgeomfeat.report.data import StateFrames

__all__ = ["bottleneck_section", "states_section", "structures"]


def states_section(
    states: StateModel, frames: StateFrames | None, clock: Clock, gallery: Gallery
) -> html.Html:
    """Show populations, representative structures and their angles.

    Parameters
    ----------
    states : StateModel
    frames : StateFrames or None
        Representative frames; None leaves the drawings out.
    clock : Clock
    gallery : Gallery
        Receives the figures.
    """
    raw = states.counts / max(1, sum(map(len, states.dtrajs)))
    parts = [_how(states, clock)]
    parts.append(
        gallery.add(
            "populations",
            draw_populations(
                states.populations,
                raw,
                low=states.populations_lower,
                high=states.populations_upper,
            ),
            alt="Bar chart of the population of each state.",
            caption="Populations: sums of the frames' weights with 90 % intervals "
            f"(bootstrap over {states.unit}) beside the share of frames."
            if states.weighted
            else "Populations: stationary probabilities of the Markov model with "
            f"90 % intervals (of a bootstrap over {states.unit} and of the transitions "
            "between states, the wider) beside the share of frames."
            if states.connected
            else "Share of the frames in each connected set of microstates.",
        )
    )
    parts.append(_table(states, raw, frames))
    if frames is not None and any(len(p) for p in frames.positions):
        parts.append(structures(frames, gallery))
    return html.join(parts)


def bottleneck_section(bottleneck: Bottleneck, clock: Clock) -> html.Html:
    """Show how many states are left by lag and initial labels.

    Parameters
    ----------
    bottleneck : Bottleneck
    clock : Clock
    """
    rows = [
        [
            clock.show(row.lag),
            str(row.n_labels),
            str(row.n_states),
            number(row.cross_entropy, 3),
            number(row.entropy, 3),
            "yes" if row.converged else "no",
        ]
        for row in bottleneck.rows
    ]
    table = html.table(
        [
            "lag",
            "initial labels",
            "states",
            "cross entropy",
            "by population",
            "settled",
        ],
        rows,
        caption="States that an information bottleneck keeps. The cross entropy (nats) "
        "is that of the state one lag later, in frames that the fit has not seen. "
        "Beside it is that of a guess from the populations alone. The first row is "
        "the lag of this page. If the number of states changes with the labels, it is "
        "not a property of the molecule. It falls with the lag, because states that do "
        "not last that long vanish.",
        numeric=range(1, 5),
        highlight=[0],
    )
    return html.join(
        [
            html.paragraph(
                f"The information bottleneck keeps "
                f"{count(bottleneck.n_states, 'state')}. Below, as many states "
                "are made by a Markov model of its variables, which gives them "
                "populations and timescales."
            ),
            table,
        ]
    )


def _how(states: StateModel, clock: Clock) -> html.Html:
    if states.weighted:
        return _how_weighted(states, clock)
    if not states.connected:
        return html.paragraph(
            "There is no Markov model, so what follows counts frames only; see the "
            "warnings at the top."
        )
    return html.paragraph(
        f"{count(states.n_states, 'state')} by "
        + ("PCCA+" if states.optimized else "the inner simplex of PCCA+")
        + " from a reversible Markov model "
        f"on {count(states.n_micro, 'microstate')} (k-means in CV space) at a lag of "
        f"{clock.show(states.lag)}. "
        + (
            f"{percent(states.lost_share)} of the frames lie outside the connected "
            "set and belong to no state."
            if states.lost_share > 0
            else "All frames belong to the connected set."
        )
    )


def _how_weighted(states: StateModel, clock: Clock) -> html.Html:
    if not states.connected:
        return html.paragraph(
            f"{count(states.n_states, 'state')}: the sets of "
            f"{count(states.n_micro, 'microstate')} (k-means in CV space) that runs "
            "join. Populations are sums of the frames' weights."
        )
    return html.paragraph(
        f"{count(states.n_states, 'state')} by PCCA+ from weighted transitions in "
        f"either direction between {count(states.n_micro, 'microstate')} (k-means in "
        f"CV space) at a lag of {clock.show(states.lag)}: the runs pass from one state "
        "to another only where the unbiased system seldom is. Populations are sums of "
        "the frames' weights."
    )


def _table(
    states: StateModel, raw: np.ndarray, frames: StateFrames | None
) -> html.Html:
    share = "population" if states.weighted else "stationary"
    header = ["state", share, "90 % interval", "frames"]
    angles = () if frames is None else frames.angles
    header += [f"{pretty_angle(angle.name)} (°)" for angle in angles]
    if frames is not None:
        header += ["most typical frame", "structures"]
    rows = []
    for i in range(states.n_states):
        low, high = states.populations_lower, states.populations_upper
        if states.populations is None or low is None or high is None:
            stationary = interval = number(None)
        else:
            stationary = percent(states.populations[i])
            interval = f"{percent(low[i])} to {percent(high[i])}"
        row: list[object] = [str(i + 1), stationary, interval, percent(raw[i])]
        row += [_angle(angle.mean[i], angle.spread[i]) for angle in angles]
        if frames is not None:
            row += [_origin(frames, i), _link(frames, i)]
        rows.append(row)
    captions = []
    if frames is not None:
        captions.append(
            "Frames count from 0 in their file, as in VMD and MDAnalysis (where a "
            "topology brings coordinates, VMD shows these as frame 0, before those of "
            "the file)."
        )
    if angles:
        captions.append(
            "Angles are circular means over all frames of a state, ± the circular "
            "standard deviation. Where that is above 60° or so, the state has no one "
            "value of the angle."
        )
    caption = " ".join(captions) or None
    return html.table(header, rows, caption=caption, numeric=range(1, 4 + len(angles)))


def _angle(mean: float, spread: float) -> str:
    text = number(mean, 0)
    return f"{text} ± {number(spread, 0)}" if np.isfinite(spread) else text


def _origin(frames: StateFrames, state: int) -> str:
    if not frames.origins[state]:
        return number(None)
    first = frames.origins[state][0]
    return f"{first.file}, {first.frame}"


def _link(frames: StateFrames, state: int) -> html.Html | str:
    if not frames.origins[state]:
        return number(None)
    name = frames.files[state]
    return html.tag("a", name, href=f"states/{name}")


def structures(frames: StateFrames, gallery: Gallery) -> html.Html:
    """Return the place of the 3-D view, and pictures for where it cannot run.

    Parameters
    ----------
    frames : StateFrames
        With frames of at least one state.
    gallery : Gallery
        Receives the pictures.
    """
    shown = [i for i, p in enumerate(frames.positions) if len(p)]
    figure = draw_structures(
        [frames.positions[i] for i in shown],
        frames.molecule,
        [f"state {i + 1}" for i in shown],
        colors=shown,
    )
    pictures = gallery.add(
        "structures",
        figure,
        alt="Drawings of representative frames of each state.",
        caption="Representative frames of each state, superposed and seen from one "
        "side: the most typical one strong, up to three others pale behind it. "
        + _what(frames.molecule),
        kind="png" if frames.molecule.traced else "svg",
    )
    return html.join(
        [
            _view(frames),
            html.details("Still pictures", pictures, id="stills", open="open"),
        ]
    )


def _what(molecule: Molecule) -> str:
    """Say what the colours and lines of the pictures mean."""
    told = []
    if molecule.traced:
        told.append(
            "Thick lines follow the alpha carbons of proteins and the phosphorus atoms "
            "of nucleic acids, from blue (first residue) to yellow (last)."
        )
    if len(molecule.ligand_atoms):
        told.append(
            "Carbon is orange in what is not a polymer, which is drawn in front of all "
            f"else, and grey in residues with an atom within {POCKET:g} Å of it."
        )
    elif not molecule.traced:
        told.append("Carbon has the colour of the state.")
    if not molecule.traced or len(molecule.ligand_atoms):
        told.append(
            "In sticks nitrogen is blue, oxygen red, sulfur yellow and phosphorus "
            "orange; hydrogens are left out."
        )
    return " ".join(told)


def _view(frames: StateFrames) -> html.Html:
    way = ""
    if frames.way is not None:
        way = (
            " The way between is not a trajectory: its "
            f"{count(len(frames.way.origins), 'frame')} are taken from anywhere in the "
            "data, one from each of equal intervals of variable 1, so that neighbours "
            "are as alike as possible (least sum of squared RMSD)."
        )
    importance = ""
    if frames.molecule.importance is not None:
        importance = (
            " Importance is the fall of the score without a residue, from grey (none) "
            "to red (largest)."
        )
    return html.join(
        [
            html.note(
                "The 3-D view needs JavaScript, WebGL and the folder viewer beside "
                "this page.",
                id="view3d-missing",
            ),
            html.tag("div", id="view3d", class_="view3d", hidden="hidden"),
            html.paragraph(
                "Drag to turn, scroll to zoom, drag with Ctrl to move. Helices, "
                "strands and arrows are those of each frame (DSSP)." + importance + way,
            ),
            *(
                html.tag("script", src=f"{FOLDER}/{name}", defer="defer")
                for name in SCRIPTS
            ),
        ]
    )
