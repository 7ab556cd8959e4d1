"""The page of a biased simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.errors import InputError
from mdgeomfeat.report import html
from mdgeomfeat.report.figures.style import figure, figure_style
from mdgeomfeat.report.figures.time_series import draw_time_series
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.sections.record import warnings_block
from mdgeomfeat.text import count, number, percent

if TYPE_CHECKING:
    from mdgeomfeat.bias.estimate import FreeEnergyProfile

__all__ = ["BiasedRun", "bias_page"]

_FEW = 100  # effective frames below which a free energy is not to be believed
_OUTSIDE = 0.05  # of the frames beyond the training data that is worth a warning


@dataclass(frozen=True, eq=False, kw_only=True)
class BiasedRun:
    """What a biased simulation shows.

    Attributes
    ----------
    columns : mapping of str to (F,) ndarray
        Of its COLVAR file.
    names : tuple of str
        Columns of the variables.
    profiles : mapping of str to FreeEnergyProfile
        By variable; empty if there are too few frames.
    findings : tuple of str
        The result in sentences.
    told : tuple of (name, value)
        How it was simulated.
    warnings : tuple of str
    files : tuple of (name, what it is)
    """

    columns: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    profiles: Mapping[str, FreeEnergyProfile]
    findings: tuple[str, ...]
    told: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    files: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls,
        columns: Mapping[str, np.ndarray],
        names: Sequence[str],
        logweight: str,
        *,
        told: tuple[tuple[str, str], ...],
        warnings: tuple[str, ...],
        files: tuple[tuple[str, str], ...],
        kt: float,
    ) -> BiasedRun:
        """Estimate free energies and say what was found.

        Parameters
        ----------
        columns : mapping of str to (F,) ndarray
        names : sequence of str
            Columns of the variables.
        logweight : str
            Column of the frames' log-weights.
        told, warnings, files
            As the attributes.
        kt : float
            kJ/mol.
        """
        from mdgeomfeat.bias.estimate import free_energy_profile

        doubts = list(warnings)
        profiles = {}
        try:
            profiles = {
                name: free_energy_profile(columns[name], columns[logweight], kt)
                for name in names
            }
        except InputError as error:
            doubts.append(str(error))
        findings = []
        for name, profile in profiles.items():
            seen = columns[name]
            known = (
                f"its free energy is known to {number(profile.error, 1)} kJ/mol, by "
                "the difference between the halves of the run"
                if np.isfinite(profile.error)
                else "the two halves of the run have nothing in common that would tell "
                "how well its free energy is known"
            )
            findings.append(
                f"{name} was between {number(seen.min())} and {number(seen.max())}; "
                f"{known}."
            )
        for profile in list(profiles.values())[:1]:
            text = (
                f"{count(profile.n_frames, 'frame')} are worth as much as "
                f"{profile.effective:,.0f} without a bias."
            )
            findings.append(text)
            if profile.effective < _FEW:
                doubts.append(
                    f"The frames are worth only {profile.effective:,.0f} without a "
                    "bias, so do not trust the free energies; simulate longer."
                )
        if "distance" in columns:
            share = float(np.mean(columns["distance"] > 1))
            findings.append(
                f"{percent(share)} of the frames lie farther from the training data "
                "than 99.9 % of the training frames do."
            )
            if share > _OUTSIDE:
                doubts.append(
                    "The bias took the molecule out of the training data, where the "
                    "variable was not learnt; let it fade out there (--fade), or learn "
                    "again from these frames with their weights."
                )
        return cls(
            columns=columns,
            names=tuple(names),
            profiles=profiles,
            findings=tuple(findings),
            told=told,
            warnings=tuple(doubts),
            files=files,
        )


def bias_page(run: BiasedRun, gallery: Gallery) -> str:
    """Return the report of a biased simulation as one page.

    Parameters
    ----------
    run : BiasedRun
    gallery : Gallery
        Receives the figures.
    """
    lead = html.join(
        [
            html.tag(
                "div",
                html.join(html.paragraph(s) for s in run.findings),
                class_="summary",
            ),
            warnings_block(run.warnings),
        ]
    )
    rows = [(html.tag("b", name), value) for name, value in run.told]
    sections = [
        ("simulated", "What was simulated", html.table((), rows)),
        ("series", "Variables over time", _series(run, gallery)),
        ("free-energy", "Free energy and its convergence", _energies(run, gallery)),
        ("weights", "What to do with it", _use(run)),
    ]
    return html.page("A biased simulation", lead, sections)


def _series(run: BiasedRun, gallery: Gallery) -> html.Html:
    told = [*run.names, *(["distance"] if "distance" in run.columns else [])]
    values = np.stack([run.columns[name] for name in told], axis=1)
    times = run.columns["time"]
    dt = float(times[1] - times[0]) if len(times) > 1 else None
    drawn = draw_time_series([values], dt=dt, max_cvs=len(told))
    for ax, name in zip(drawn.axes[::2], told, strict=False):
        ax.set_ylabel(name)
    caption = "The biased variables over time"
    if "distance" in run.columns:
        caption += (
            ", and the distance from the training data, which is 1 where one of a "
            "thousand training frames lies farther out"
        )
    return gallery.add(
        "time-series",
        drawn,
        alt="Variables over time, with their histograms.",
        caption=caption + "; at the right how often each value occurs. A variable that "
        "goes to and fro between its ends many times is sampled well.",
        kind="png",
    )


def _energies(run: BiasedRun, gallery: Gallery) -> html.Html:
    if not run.profiles:
        return html.note("There are too few frames for a free energy.")
    return gallery.add(
        "free-energy",
        draw_convergence(run.profiles),
        alt="Free energy along each variable from growing shares of the run.",
        caption="Free energy from the weights of frames, for growing shares of the run "
        "after its first tenth. Curves that lie on one another have converged; a curve "
        "that still moves has not.",
    )


def draw_convergence(profiles: Mapping[str, FreeEnergyProfile]) -> Figure:
    """Draw free energies of growing shares of a run.

    Parameters
    ----------
    profiles : mapping of str to FreeEnergyProfile
        By the name of the variable.
    """
    from mdgeomfeat.bias.estimate import SHARES

    with figure_style():
        fig = figure(2.8)
        axes = fig.subplots(1, len(profiles), squeeze=False)[0]
        for ax, (name, profile) in zip(axes, profiles.items(), strict=True):
            for share, energy in zip(SHARES, profile.energies, strict=True):
                ax.plot(
                    profile.centres,
                    energy,
                    color="#0072B2",
                    alpha=0.2 + 0.8 * share**2,
                    lw=0.8 + share,
                    label=f"{100 * share:.0f} %",
                )
            ax.set_xlabel(name)
            ax.set_ylim(bottom=0)
        axes[0].set_ylabel("free energy (kJ/mol)")
        axes[-1].legend(title="of the run")
    return fig


def _use(run: BiasedRun) -> html.Html:
    rows = [(html.tag("a", name, href=name), meaning) for name, meaning in run.files]
    return html.join(
        [
            html.paragraph(
                "COLVAR's column logweight is the logarithm of what each frame weighs "
                "without the bias. Leave out the beginning, in which the bias grew. "
                "Walls count as a part of the system. Weighted frames give "
                "populations and free energies. They give no times, because the bias "
                "changes how fast everything happens."
            ),
            html.table((), rows),
        ]
    )
