"""Tables of `kinetics.py` in markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Inputs that the features are joined with by one linear map.
PARTNERS = ("dihedrals", "distances")


def with_features(partner: str) -> str:
    """Return the name of both inputs together."""
    return f"{partner} + features"


def spread(values: Sequence[float | None]) -> str:
    """Write mean ± standard deviation, and how many are missing."""
    known = [v for v in values if v is not None]
    if not known:
        return "failed" if values else ""
    text = f"{np.mean(known):.3f}"
    if len(known) > 1:
        text += f" ± {np.std(known, ddof=1):.3f}"
    lost = len(values) - len(known)
    return text + (f" ({lost} of {len(values)} failed)" if lost else "")


def tables(rows: Sequence[dict], made: Sequence[dict]) -> str:
    """Return the results as markdown: systems, learning curves, what inputs take."""
    text: list[str] = []
    for name in dict.fromkeys(r["system"] for r in rows):
        of_system = [r for r in rows if r["system"] == name]
        whole = [r for r in of_system if r["share"] == 1]
        if whole:
            text += [f"### {name}", "", *scores(whole), ""]
        if any("spearman" in r for r in whole):
            text += [*following(whole), ""]
        if len({r["share"] for r in of_system}) > 1:
            text += [f"### {name}: learning curves", "", *curves(of_system), ""]
    text += ["### What the inputs take", "", *costs(made), ""]
    return "\n".join(text)


def curves(rows: Sequence[dict]) -> list[str]:
    """Return scores and differences by the share of the training frames."""
    shares = sorted({r["share"] for r in rows})
    some = [r for r in rows if r["share"] < 1]
    text = [
        "| input | method | " + " | ".join(f"{s:.0%}" for s in shares) + " |",
        "| --- " * (len(shares) + 2) + "|",
    ]
    labels = list(dict.fromkeys(r["input"] for r in some))
    subtracted = [p for p in pairs(labels) if "features" not in p[0]]
    for estimator in dict.fromkeys(r["estimator"] for r in some):
        of_share = [
            [r for r in rows if (r["estimator"], r["share"]) == (estimator, share)]
            for share in shares
        ]
        for x in labels:
            cells = [spread(list(by_fold(r, x, estimator).values())) for r in of_share]
            text.append(f"| {x} | {estimator} | " + " | ".join(cells) + " |")
        for one, other in subtracted:
            cells = [spread(differences(r, one, other, estimator)) for r in of_share]
            line = " | ".join(cells)
            text.append(f"| *{one} - {other}* | {estimator} | {line} |")
    return text


def scores(rows: Sequence[dict]) -> list[str]:
    """Return a row for each input, and the paired differences."""
    estimators = list(dict.fromkeys(r["estimator"] for r in rows))
    labels = list(dict.fromkeys(r["input"] for r in rows))
    parts = len({r["fold"] for r in rows})
    failed = sum(s is None for r in rows for s in r.get("seeds", []))
    tried = sum(len(r.get("seeds", [])) for r in rows)
    dependent = "" if rows[0]["independent"] else "; parts not independent"
    text = [
        f"{parts} held-out parts{dependent}; {failed} of {tried} VAMPNets failed.",
        "",
        "| input | " + " | ".join(estimators) + " |",
        "| --- " * (len(estimators) + 1) + "|",
    ]
    for label in labels:
        cells = [spread(list(by_fold(rows, label, e).values())) for e in estimators]
        text.append(f"| {label} | " + " | ".join(cells) + " |")
    for label, other in pairs(labels):
        cells = [spread(differences(rows, label, other, e)) for e in estimators]
        text.append(f"| *{label} - {other}* | " + " | ".join(cells) + " |")
    return text


def pairs(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return which inputs are subtracted from which."""
    main = labels[0]
    found = [(x, f"{x} random") for x in labels if f"{x} random" in labels]
    found += [(x, main) for x in labels if x != main and f"{x} random" in labels]
    found += [(main, x) for x in labels if "(published)" in x]
    variants = (f"{main} by ", f"{main}, ")
    found += [(x, main) for x in labels if x.startswith(variants)]
    found += [(main, x) for x in ("distances", "dihedrals") if x in labels]
    for partner in PARTNERS:
        both = with_features(partner)
        found += [(both, x) for x in (partner, main) if both in labels]
    return found


def by_fold(
    rows: Sequence[dict], label: str, estimator: str, what: str = "score"
) -> dict[int, float | None]:
    return {
        r["fold"]: r.get(what)
        for r in rows
        if r["input"] == label and r["estimator"] == estimator
    }


def differences(
    rows: Sequence[dict], one: str, other: str, estimator: str
) -> list[float | None]:
    a, b = by_fold(rows, one, estimator), by_fold(rows, other, estimator)
    return [
        None if a[k] is None or b[k] is None else a[k] - b[k]  # type: ignore[operator]
        for k in a
        if k in b
    ]


def following(rows: Sequence[dict]) -> list[str]:
    """Return how the first variable follows native contacts."""
    estimators = list(dict.fromkeys(r["estimator"] for r in rows))
    text = [
        "Rank correlation (Spearman, absolute) of the first variable with the fraction "
        "of native contacts, held out:",
        "",
        "| input | " + " | ".join(estimators) + " |",
        "| --- " * (len(estimators) + 1) + "|",
    ]
    for label in dict.fromkeys(r["input"] for r in rows):
        cells = [
            spread(list(by_fold(rows, label, e, "spearman").values()))
            for e in estimators
        ]
        text.append(f"| {label} | " + " | ".join(cells) + " |")
    return text


def costs(made: Sequence[dict]) -> list[str]:
    """Return time and space of the features."""
    text = [
        "| system | input | CPU ms a frame | kB a frame in the store |",
        "| --- | --- | --- | --- |",
    ]
    for row in made:
        time, size = 1e3 * row["seconds"] / row["frames"], row["bytes"] / row["frames"]
        text.append(
            f"| {row['system']} | {row['input']} | {time:.2f} | {size / 1e3:.1f} |"
        )
    return text
