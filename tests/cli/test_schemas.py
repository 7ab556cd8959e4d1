"""What the commands write is what the published schemas say, and nothing else."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from schemas import SCHEMAS, validator

FRAMES = ("--stop", 1200, "--step", 6)


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folders(run_cli, gly2, common, study, tmp_path_factory):
    """Return a folder of results of every command that writes a summary."""
    place, made = tmp_path_factory.mktemp("schemas"), {}
    small = ("--lag", "6ps", "--dim", 1)
    two = gly2[:3]
    made["tica"] = [
        "tica", *two, *FRAMES, *common, *small, "--koopman", "--no-maps",
        "--fes", "phi A:GLY2, psi A:GLY2",
    ]  # fmt: skip
    made["spib"] = [
        "spib", *two, *FRAMES, *common, *small, "--labels", 6, "--mixer", "flat",
        "--no-maps",
    ]  # fmt: skip
    made["features"] = ["features", *two, *FRAMES, *common, "--store-dtype", "float16"]
    made["compare"] = ["compare", *two, *FRAMES, *common]
    made["ensembles"] = ["compare", *two, "--with", *gly2[2:], *FRAMES, *common]
    applied = [study.out, *two, *FRAMES, "--engine", "torch"]
    made["apply"] = ["apply", *applied, "--align"]
    made["pick"] = ["pick", *applied, "-n", 4]
    for name, command in made.items():
        result = run_cli(*command, "--out", place / name)
        assert result.exit_code == 0, (name, result.stderr)
        made[name] = place / name
    return made


def wrong(folder):
    """Return what in the JSON files of a folder is not as the schemas say."""
    files = {
        "summary": folder / "summary.json",
        "model": folder / "model" / "cvs.json",
        "store": folder / "features.zarr" / "zarr.json",
    }
    found = []
    for name, path in files.items():
        if name == "summary" or path.exists():
            content = read(path)
            content = content["attributes"] if name == "store" else content
            found += [(name, best(e)) for e in validator(name).iter_errors(content)]
    return found


def test_what_a_study_writes_is_as_the_schemas_say(study):
    assert not wrong(study.out)


@pytest.mark.slow
def test_what_every_command_writes_is_as_the_schemas_say(folders):
    found = {name: wrong(folder) for name, folder in folders.items()}
    assert not any(found.values()), found


def best(error):
    """Return what is wrong, in the alternative that is of the same kind."""
    others: dict[object, list] = {}
    for cause in error.context or ():
        others.setdefault(cause.schema_path[0], []).append(cause)
    for causes in others.values():
        if not any(c.path and c.path[-1] in ("kind", "refused") for c in causes):
            return [best(c) for c in causes]
    return "/".join(map(str, error.absolute_path)), error.message[:300]


def test_undocumented_entries_and_other_types_are_refused(study):
    summary = read(study.out / "summary.json")
    check = validator("summary")
    changes = (
        lambda d: d.update(new=1),
        lambda d: d["study"].update(new=1),
        lambda d: d["study"]["states"].update(new=None),
        lambda d: d["study"]["scores"][0].update(score="high"),
        lambda d: d["study"].pop("lag"),
        lambda d: d["study"]["doubts"].append({"kind": "unheard_of"}),
        lambda d: d.update(format=3),
    )
    for change in changes:
        other = deepcopy(summary)
        change(other)
        assert not check.is_valid(other)
    model = read(study.out / "model" / "cvs.json")
    assert not validator("model").is_valid(model | {"sha256": "?"})
    model["metadata"]["new"] = 1
    assert not validator("model").is_valid(model)


def test_what_info_prints_is_as_the_schema_says(run_cli, gly2):
    check = validator("info")
    for options in ((), ("--select", "name NOTHING"), ("--dt", "2ps")):
        found = json.loads(run_cli("info", *gly2[:3], *options, "--json").stdout)
        assert not list(check.iter_errors(found))
        assert ("selection" in found) == (found["problem"] is None)
        assert not check.is_valid(found | {"new": 1})


def test_every_kind_of_doubt_is_in_the_schema():
    from mdgeomfeat.kinetics import reasons

    kinds = {sub.kind.fget(sub.__new__(sub)) for sub in reasons.Doubt.__subclasses__()}
    defs = read(SCHEMAS / "summary.schema.json")["$defs"]
    listed = {one["properties"]["kind"]["const"] for one in defs["doubt"]["oneOf"]}
    assert listed == kinds
