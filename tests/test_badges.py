"""What the badges of README say is so."""

import importlib.util
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_badges_say_what_the_project_states():
    spec = importlib.util.spec_from_file_location("badges", ROOT / "docs/badges.py")
    badges = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(badges)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    facts = badges.facts()
    assert facts["version"] == project["version"]
    assert facts["license"] == project["license"]
    assert facts["python"].split("-")[0] == project["requires-python"].lstrip(">=")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for label, value in facts.items():
        kept = badges.FOLDER / f"{label}.svg"
        text = "run python docs/badges.py"
        assert kept.read_text(encoding="utf-8") == badges.badge(label, value), text
        assert f"({kept.relative_to(ROOT).as_posix()})" in readme
