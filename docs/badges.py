"""Write the badges of README from pyproject.toml: ``python docs/badges.py``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
FOLDER = DOCS / "figures" / "badges"

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{label}: {value}">
<rect width="{left}" height="20" rx="3" fill="#4b5563"/>
<rect x="{left}" width="{right}" height="20" rx="3" fill="#0072B2"/>
<g fill="#ffffff" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11">
<text x="6" y="14">{label}</text>
<text x="{start}" y="14">{value}</text>
</g>
</svg>
"""


def facts() -> dict[str, str]:
    """Return what the badges say, by their labels."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    stated = " ".join(project["classifiers"])
    minors = sorted(map(int, re.findall(r"Python :: 3\.(\d+)", stated)))
    return {
        "version": project["version"],
        "python": f"3.{minors[0]}-3.{minors[-1]}",
        "license": project["license"],
    }


def badge(label: str, value: str) -> str:
    """Return a badge as SVG."""
    left, right = (12 + 7 * len(text) for text in (label, value))
    return SVG.format(
        label=label,
        value=value,
        left=left,
        right=right,
        width=left + right,
        start=left + 6,
    )


def main() -> None:
    """Write all badges."""
    FOLDER.mkdir(exist_ok=True)
    for label, value in facts().items():
        (FOLDER / f"{label}.svg").write_text(badge(label, value), encoding="utf-8")


if __name__ == "__main__":
    main()
