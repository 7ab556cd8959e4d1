"""Print the oldest version that pyproject.toml allows of every dependency.

One constraint a line: of a bound like 1.11 the series 1.11, of 3.1.3 that release.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def oldest(requirement: str) -> str | None:
    """Return the constraint of a requirement, or None where it has no lower bound."""
    found = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\d.]+)", requirement)
    if found is None:
        return None
    name, bound = found.groups()
    series = bound if "." in bound else f"{bound}.0"
    return f"{name}=={series}" + (".*" if series.count(".") == 1 else "")


if __name__ == "__main__":
    wanted = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    sys.stdout.writelines(f"{line}\n" for line in map(oldest, wanted) if line)
