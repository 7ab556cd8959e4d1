"""Tables of the speed benchmarks in markdown."""

from __future__ import annotations

from typing import Any

FACTS = """\
Rates are frames per CPU second and frames per second (wall); *gain* is the wall rate
over that on one thread, *sgemm's* that of products of matrices in the same rounds.
Memory is above that of a process that has imported and loaded everything. The floor is
the rate at which a core would get through the operations of the fast engine's algorithm
at the speed of sgemm; *of it* is what is reached."""

HEAD = (
    "model",
    "system",
    "engine",
    "threads",
    "frames / CPU s",
    "frames / s",
    "gain",
    "sgemm's",
    "to torch",
    "to torchmd-net",
    "peak MB",
    "error",
    "floor",
    "of it",
)


def table(rows: list[dict[str, Any]]) -> str:
    """Format measured rows."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    installed = {r["model"] for r in rows if r["ratio_torchmd"] is not None}
    for row in rows:
        fast = row["engine"] == "cpu"
        missing = "none" if row["architecture"] == "visnet" else "not installed"
        lines.append(
            _line(
                [
                    row["model"],
                    f"{row['system']} ({row['atoms']:,} atoms)",
                    row["engine"],
                    row["threads"],
                    f"{row['frames_per_cpu_second']:.4g}",
                    f"{row['frames_per_second']:.4g}",
                    _number(row["gain"] if row["threads"] > 1 else None, ".2f", ""),
                    _number(row["sgemm_gain"], ".2f", ""),
                    _number(row["ratio_torch"], ".1f", ""),
                    _number(row["ratio_torchmd"], ".1f", missing)
                    if fast or row["model"] in installed
                    else missing,
                    _number(row["peak_memory_MB"], ".0f", ""),
                    f"{row['error']:.1e}",
                    f"{row['floor']:.4g}" if fast else "",
                    f"{row['of_floor']:.0%}" if fast else "",
                ]
            )
        )
    return "\n".join(lines)


def _number(value: float | None, form: str, otherwise: str) -> str:
    return otherwise if value is None else format(value, form)


def _line(cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
