"""What was analysed, in words: the first and the last section of every report."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.commands.featurized import STORE, Featurized
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.report.data import Record
from mdgeomfeat.text import count, enumerate_words, format_span, format_time

if TYPE_CHECKING:
    from mdgeomfeat.gnn import Backbone

__all__ = ["make_record", "versions"]

_PACKAGES = (
    "mdgeomfeat",
    "MDAnalysis",
    "deeptime",
    "torch",
    "numpy",
    "scikit-learn",
    "umap-learn",
)


def make_record(
    data: Featurized,
    read: ReadOptions,
    *,
    title: str,
    warnings: list[str],
    files: tuple[tuple[str, str], ...],
    assumed: Sequence[str],
) -> Record:
    """Collect what a reader needs to judge and to repeat a run.

    Parameters
    ----------
    data : Featurized
    read : ReadOptions
    title : str
    warnings : list of str
        What speaks against a result.
    files : tuple of (name, meaning)
        What else is in the folder.
    assumed : sequence of str
        What the files do not state.
    """
    results, structure = data.results, data.structure
    n_frames = len(results.times)
    dt = results.dt
    total = count(n_frames, "frame")
    if dt is not None:
        total += f", {format_time(n_frames * dt)} in all"
    analysed = [
        ("Files", enumerate_words([f.name for f in read.files])),
        ("Trajectories", _trajectories(data)),
        ("Frames", total),
        (
            "Time step",
            "not known, so times are given in frames (--dt states it)"
            if dt is None
            else f"{format_time(dt)} between analysed frames"
            + (", stated with --dt" if results.provenance.get("dt") else ""),
        ),
        ("Selection", _selection(read, data)),
        ("Tokens", _tokens(read, data)),
        ("Box", "not used" if results.boxes is None else "periodic, minimum image"),
        *([("Assumed", " ".join(assumed))] if assumed else []),
    ]
    return Record(
        title=title,
        subtitle=f"{total} of {count(structure.n_atoms, 'atom')} in "
        f"{count(structure.n_tokens, 'token')}.",
        analysed=tuple(analysed),
        network=tuple(_network(data.model, results.spec.model_name)),
        run=tuple(_run(results.provenance, results.spec.dtype)),
        warnings=tuple(warnings),
        files=tuple(f for f in files if read.store is None or f[0] != STORE),
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter."""
    found = {"python": platform.python_version()}
    return found | {name: version(name) for name in _PACKAGES}


def _trajectories(data: Featurized) -> str:
    times = np.asarray(data.results.times)
    named = []
    for i, name in enumerate(data.sources):
        own = times[np.asarray(data.results.trajectory) == i]
        span = count(len(own), "frame")
        if len(own) > 1 and np.isfinite(own[[0, -1]]).all() and own[0] != own[-1]:
            span += f", {format_span(own[0], own[-1])}"
        named.append(f"{i + 1}: {name} ({span})")
    pieces = len(data.rows)
    text = "; ".join(named)
    if pieces > len(data.sources):
        text += f"; in {pieces} pieces without gaps"
    return text


def _selection(read: ReadOptions, data: Featurized) -> str:
    from mdgeomfeat.structure.elements import SYMBOLS

    numbers, counts = np.unique(data.structure.numbers, return_counts=True)
    formula = " ".join(f"{SYMBOLS[z]}{n}" for z, n in zip(numbers, counts, strict=True))
    select = read.features.select
    chosen = "chosen by default" if select is None else f"'{select}'"
    return f"{chosen}: {count(data.structure.n_atoms, 'atom')} ({formula})"


def _tokens(read: ReadOptions, data: Featurized) -> str:
    labels = data.structure.token_labels()
    shown = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    spec = read.features
    context = (
        "each sees all atoms within the cutoff"
        if spec.window is None
        else f"each sees {spec.window} neighbours on either side along its chain"
    )
    return f"{count(len(labels), str(spec.tokens))}: {shown}; {context}"


def _network(model: Backbone, name: str) -> list[tuple[str, str]]:
    """Return the model card in short."""
    spec, card = model.spec, getattr(model, "card", None) or {}
    rows = [
        ("Name", str(card.get("name", name))),
        (
            "Architecture",
            f"{spec.architecture}, {count(spec.n_layers, 'layer')}, "
            f"{spec.n_channels} channels, cutoff {spec.cutoff:g} Å, "
            f"{model.n_parameters:,} parameters",
        ),
    ]
    for key, label in (
        ("description", "Description"),
        ("source", "Source"),
        ("training", "Training"),
        ("license", "Licence"),
    ):
        if card.get(key):
            rows.append((label, _flat(card[key])))
    rows.append(("Fingerprint", model.fingerprint[:16]))
    return rows


def _flat(value: Any) -> str:
    """Write nested card entries as one line."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_flat(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    return str(value)


def _run(provenance: dict[str, Any], dtype: str) -> list[tuple[str, str]]:
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    return [
        ("Command", shlex.join(["mdgeomfeat", *sys.argv[1:]])),
        (
            "Engine",
            f"{provenance['engine']} on {provenance['device']}, "
            f"{dtype}, batches of {provenance['batch_size']} frames",
        ),
        ("Versions", packages),
        ("System", f"{platform.system()} {platform.machine()}"),
    ]
