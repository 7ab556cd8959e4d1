"""What is prepared for package indices and a journal agrees with the project itself."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "docs" / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What conda-forge calls packages that have another name on PyPI.
CONDA = {
    "torch": "pytorch",
    "torch-geometric": "pytorch_geometric",
    "matplotlib": "matplotlib-base",
}
#: Sections that the journal asks for, in its order.
SECTIONS = (
    "Summary",
    "Statement of need",
    "State of the field",
    "Software design",
    "Research impact statement",
    "AI usage disclosure",
    "Acknowledgements",
    "References",
)


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((PACKAGING / "recipe.yaml").read_text())


@pytest.fixture(scope="module")
def kit():
    return yaml.safe_load((PACKAGING / "metadata.yaml").read_text())


@pytest.fixture(scope="module")
def paper():
    return (PACKAGING / "paper.md").read_text()


def bounds(requirements):
    """Return lower bounds by name, ``""`` where there is none."""
    split = (re.fullmatch(r"([\w.-]+)\s*(?:>=(.+))?", one) for one in requirements)
    return {found[1].lower(): found[2] or "" for found in split}


def test_the_recipe_requires_what_the_project_does(recipe):
    wanted = {
        CONDA.get(name, name): bound
        for name, bound in bounds(PROJECT["dependencies"]).items()
    }
    wanted["python"] = PROJECT["requires-python"].removeprefix(">=")
    context = recipe["context"]
    stated = [
        one.replace("${{ python_min }}", context["python_min"])
        for one in recipe["requirements"]["run"]
    ]
    assert bounds(stated) == wanted
    (build,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"][
        "requires"
    ]
    assert bounds([build]).items() <= bounds(recipe["requirements"]["host"][1:]).items()


def test_the_recipe_is_of_this_version_with_its_command_and_licences(recipe):
    assert recipe["context"]["version"] == PROJECT["version"]
    (script,) = PROJECT["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(script)]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["summary"] == PROJECT["description"]
    licences = {
        str(path.relative_to(ROOT))
        for pattern in PROJECT["license-files"]
        for path in ROOT.glob(pattern)
    }
    assert set(recipe["about"]["license_file"]) == licences


def test_what_the_recipe_tests_is_there(recipe, run_cli):
    python, commands = recipe["tests"]
    for name in python["python"]["imports"]:
        import_module(name)
    for line in commands["script"]:
        command, *arguments = line.split()
        assert command == "mdgeomfeat"
        assert run_cli(*arguments).exit_code == 0, line


def test_the_kit_states_what_the_project_does(kit):
    assert kit["project_name"] == kit["import_name"] == PROJECT["name"]
    assert kit["python_requires"] == PROJECT["requires-python"]
    own = bounds(PROJECT["dependencies"])
    assert kit["mdanalysis_requires"] == f">={own['mdanalysis']}"
    assert set(kit["keywords"]) <= set(PROJECT["keywords"])
    status = f":: {kit['development_status']}"
    assert any(c.replace("4 - ", "").endswith(status) for c in PROJECT["classifiers"])


def test_the_kit_has_every_entry_filled_or_marked():
    text = (PACKAGING / "metadata.yaml").read_text()
    for entry in (
        "project_name", "authors", "maintainers", "description", "keywords", "license",
        "project_home", "documentation_home", "documentation_type", "install",
        "src_install", "import_name", "python_requires", "mdanalysis_requires",
        "run_tests", "test_dependencies", "project_org", "development_status",
        "changelog",
    ):  # fmt: skip
        assert re.search(rf"^(# )?{entry}:", text, re.M), entry


def test_the_paper_has_the_sections_and_length_that_are_asked_for(paper):
    body = paper[paper.index("# Summary") :]
    assert tuple(re.findall(r"^# (.+)$", body, re.M)) == SECTIONS
    assert 750 <= len(body.split()) <= 1750


def test_the_papers_figures_stand_in_the_documentation(paper):
    body = re.sub(r"@\w+", "", paper[paper.index("# Software design") :])
    pages = "".join(
        (ROOT / "docs" / f"{name}.md").read_text()
        for name in ("results", "speed", "biasing")
    )
    figures = re.findall(r"\d+\.\d+(?:e-\d+)?(?: ± \d+\.\d+)?|\d,\d{3}", body)
    assert len(figures) > 6
    missing = [one for one in figures if one not in pages]
    assert not missing


def test_the_papers_citations_are_in_its_bibliography(paper):
    cited = set(re.findall(r"@(\w+)", paper))
    entries = re.findall(r"^@\w+\{(\w+),", (PACKAGING / "paper.bib").read_text(), re.M)
    assert cited == set(entries)
    assert len(entries) == len(set(entries))
