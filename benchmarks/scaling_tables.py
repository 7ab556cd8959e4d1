"""Tables of the runs of `scaling`, from their JSON files alone."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

#: Numbers of parameters that count as equal, as a share.
EQUAL = 0.15


def diverged(out: Path) -> set[tuple[str, int, float]]:
    """Return architecture, width and rate of the runs that diverged, of any depth."""
    rows = [json.loads(p.read_text()) for p in out.glob("runs/*/diverged.json")]
    return {(*kind(row), row["rate"]) for row in rows}


def results(out: Path) -> list[dict[str, Any]]:
    """Read the finished runs of a folder.

    ``diverged`` says that another depth of the same width and rate has diverged.
    """
    found = []
    lost = diverged(out)
    for path in sorted(out.glob("runs/*/result.json")):
        row = json.loads(path.read_text())
        row["diverged"] = (*kind(row), row["rate"]) in lost
        probe = path.parent / "probe.json"
        if probe.is_file():
            row["probe"] = json.loads(probe.read_text())
        found.append(row)
    return found


def name(row: dict[str, Any]) -> str:
    shape = row["shape"]
    return f"{shape['architecture']}-{shape['width']}x{shape['depth']}"


def error(row: dict[str, Any], seen: str = "all", part: str = "test") -> float:
    return row["errors"][part][seen]["mse"]


def spread(values: list[float], digits: int = 4, sign: str = "") -> str:
    """Return mean and sample standard deviation, which one value does not have."""
    text = f"{np.mean(values):{sign}.{digits}f}"
    return text + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def markdown(head: list[str], rows: list[list[Any]]) -> str:
    lines = [
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
    ]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def kind(row: dict[str, Any]) -> tuple[str, int]:
    return row["shape"]["architecture"], row["shape"]["width"]


def main_atoms(rows: list[dict[str, Any]]) -> int:
    """Return the number of atoms seen that most shapes have runs of."""
    shapes = defaultdict(set)
    for row in rows:
        shapes[row["atoms"]].add(name(row))
    return max(shapes, key=lambda atoms: (len(shapes[atoms]), atoms))


def best_rates(rows: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the rate of each width that does best on the molecules to tune with.

    Compared are the runs of equal atoms at the depth that most rates were tried at,
    with the first seed.
    """
    atoms = main_atoms(rows)
    tried = defaultdict(dict)
    first = min(row["seed"] for row in rows)
    for row in rows:
        if row["atoms"] == atoms and row["seed"] == first:
            value = error(row, "all", "tune") + error(row, "heavy", "tune")
            value = np.inf if row["diverged"] else value
            tried[kind(row), row["shape"]["depth"]][row["rate"]] = value
    found = {}
    for width in {key[0] for key in tried}:
        swept = max((v for k, v in tried.items() if k[0] == width), key=len)
        found[width] = min(swept, key=swept.__getitem__)
    return found


def tuned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs at their width's best rate."""
    rates = best_rates(rows)
    return [row for row in rows if row["rate"] == rates[kind(row)]]


def group(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return runs that differ by their seed only, by shape, small ones first."""
    found = defaultdict(list)
    for row in sorted(rows, key=lambda r: (name(r).split("-")[0], r["parameters"])):
        found[name(row)].append(row)
    return dict(found)


def rates_table(rows: list[dict[str, Any]]) -> str:
    atoms, best = main_atoms(rows), best_rates(rows)
    first = min(row["seed"] for row in rows)
    swept = defaultdict(dict)
    for row in rows:
        if row["atoms"] == atoms and row["seed"] == first:
            swept[name(row), kind(row)][row["rate"]] = row
    body = []
    for (shape, width), tried in swept.items():
        if len(tried) < 2:
            continue
        values = [
            f"{rate:g}: {error(r, 'all', 'tune'):.3f} / {error(r, 'heavy', 'tune'):.3f}"
            + (" (blows up)" if r["diverged"] else "")
            for rate, r in sorted(tried.items())
        ]
        edge = best[width] in (min(tried), max(tried))
        body.append(
            [shape, "; ".join(values), f"{best[width]:g}", "yes" if edge else "no"]
        )
    return markdown(
        ["shape", "rate: error (all / heavy)", "chosen", "at the edge"], body
    )


def grid_table(rows: list[dict[str, Any]], costs: dict[str, float]) -> str:
    atoms = main_atoms(rows)
    body = []
    for shape, runs in group([r for r in tuned(rows) if r["atoms"] == atoms]).items():
        cost = costs.get(shape)
        probes = [r["probe"] for r in runs if "probe" in r]
        body.append(
            [
                shape,
                f"{runs[0]['parameters']:,}",
                f"{1e6 * cost:.0f}" if cost else "",
                len(runs),
                spread([error(r) for r in runs]),
                spread([error(r, "heavy") for r in runs]),
                spread([error(r, part="train") for r in runs]),
                spread([p["gap_meV"] for p in probes], 0) if probes else "",
                spread([p["random_meV"] for p in probes], 0) if probes else "",
            ]
        )
    head = [
        "shape", "parameters", "µs / atom", "seeds", "all atoms", "heavy atoms",
        "all atoms, trained on", "gap, meV", "gap, random weights",
    ]  # fmt: skip
    return markdown(head, body)


def aspect_table(rows: list[dict[str, Any]]) -> str:
    """Compare shapes of about equal numbers of parameters."""
    atoms = main_atoms(rows)
    shapes = [
        (shape, runs)
        for shape, runs in group(
            [r for r in tuned(rows) if r["atoms"] == atoms]
        ).items()
        if shape.startswith("et-")
    ]
    body = []
    for i, (one, first) in enumerate(shapes):
        for other, second in shapes[i + 1 :]:
            sizes = first[0]["parameters"], second[0]["parameters"]
            if abs(sizes[0] - sizes[1]) > EQUAL * max(sizes):
                continue
            widths = [runs[0]["shape"]["width"] for runs in (first, second)]
            if widths[0] == widths[1]:
                continue
            pair = (first, second) if widths[0] > widths[1] else (second, first)
            wide, deep = ({r["seed"]: r for r in runs} for runs in pair)
            both = sorted(set(wide) & set(deep))
            differences = [
                spread(
                    [error(wide[s], seen) - error(deep[s], seen) for s in both], 4, "+"
                )
                for seen in ("all", "heavy")
            ]
            names = (one, other) if widths[0] > widths[1] else (other, one)
            body.append(
                [*names, f"{sizes[0]:,} / {sizes[1]:,}", len(both), *differences]
            )
    head = ["wide", "deep", "parameters", "seeds", "wide - deep, all", "heavy"]
    return markdown(head, body)


def compute_table(rows: list[dict[str, Any]], planned: dict[str, int]) -> str:
    body = []
    for shape, runs in group(tuned(rows)).items():
        chosen = [r for r in runs if r["atoms"] == planned.get(shape)]
        if chosen:
            body.append(
                [
                    shape,
                    f"{chosen[0]['parameters']:,}",
                    f"{chosen[0]['atoms']:,}",
                    spread([r["cpu_seconds"] for r in chosen], 0),
                    spread([error(r) for r in chosen]),
                    spread([error(r, "heavy") for r in chosen]),
                ]
            )
    head = ["shape", "parameters", "atoms seen", "CPU s", "all atoms", "heavy atoms"]
    return markdown(head, body)


def serial(
    rows: list[dict[str, Any]],
) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """Return the runs of each shape and rate, whatever the atoms seen."""
    found = defaultdict(list)
    for row in rows:
        found[name(row), row["rate"]].append(row)
    return dict(found)


def series_table(rows: list[dict[str, Any]]) -> str:
    body = []
    for (shape, rate), runs in serial(rows).items():
        by_atoms = defaultdict(list)
        for row in runs:
            by_atoms[row["atoms"]].append(row)
        if len(by_atoms) > 3:
            for atoms, some in sorted(by_atoms.items()):
                values = [
                    spread([error(r, seen) for r in some]) for seen in ("all", "heavy")
                ]
                body.append([shape, f"{rate:g}", f"{atoms:,}", len(some), *values])
    head = ["shape", "rate", "atoms seen", "seeds", "all atoms", "heavy atoms"]
    return markdown(head, body)


def curves_table(rows: list[dict[str, Any]], shown: int = 5) -> str:
    """Return learning curves of some shapes, at equal atoms, with the first seed."""
    atoms = main_atoms(rows)
    groups = group([r for r in tuned(rows) if r["atoms"] == atoms])
    names = list(groups)
    places = np.linspace(0, len(names) - 1, min(shown, len(names))).astype(int)
    runs = [groups[names[i]][0] for i in places]
    steps = sorted({point["step"] for run in runs for point in run["curve"]})
    body = []
    for step in steps:
        points = [
            next((f"{p['all']:.3f}" for p in run["curve"] if p["step"] == step), "")
            for run in runs
        ]
        body.append([step, *points])
    return markdown(["step", *(name(run) for run in runs)], body)


def stored(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def tables(rows: list[dict[str, Any]], out: Path) -> str:
    """Return all tables as Markdown."""
    if not rows:
        return "No run is finished.\n"
    atoms = main_atoms(rows)
    floors = rows[0]["errors"]["test"]
    told = ", ".join(f"{seen} {floors[seen]['floor']:.3f}" for seen in ("all", "heavy"))
    sections = {
        f"Equal atoms seen ({atoms:,}); floor: {told}": grid_table(
            rows, stored(out / "costs.json")
        ),
        "Equal compute": compute_table(rows, stored(out / "compute.json")),
        "Equal parameters": aspect_table(rows),
        "Atoms seen": series_table(rows),
        "Learning rates": rates_table(rows),
        "Learning curves (all atoms, fewer molecules)": curves_table(rows),
    }
    return (
        "\n\n".join(f"### {title}\n\n{text}" for title, text in sections.items()) + "\n"
    )
