"""One call from Python writes what the command line writes."""

import json

import pytest

from mdgeomfeat import InputError, analyze
from mdgeomfeat.commands.progress import SilentReporter


@pytest.fixture(scope="module")
def command(data, run_cli, tmp_path_factory):
    """Return the folder that the command writes of a few frames."""
    out = tmp_path_factory.mktemp("command") / "slow"
    folder = data / "ala2"
    result = run_cli(
        "tica", folder / "ala2.pdb", folder / "ala2-0.xtc", folder / "ala2-1.xtc",
        "--step", 20, "--lag", 2, "--no-maps", "--pool", "element", "--out", out,
        "--fes", "phi A:ALA2, psi A:ALA2", "--fes", "rmsd all",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    out.with_name("said").write_text(result.stderr)
    return out


def test_the_call_writes_what_the_command_writes(command, data, tmp_path):
    folder = data / "ala2"
    files = [str(folder / "ala2.pdb"), folder / "ala2-0.xtc", folder / "ala2-1.xtc"]
    out = analyze(
        files,
        str(tmp_path / "slow"),
        method="tica",
        step=20,
        lag=2,
        maps=False,
        pool="element",
        fes=["phi A:ALA2, psi A:ALA2", "rmsd all"],
    )
    assert out == tmp_path / "slow"
    names = {p.relative_to(out).as_posix() for p in out.rglob("*")}
    assert names == {p.relative_to(command).as_posix() for p in command.rglob("*")}
    assert (out / "cvs.csv").read_bytes() == (command / "cvs.csv").read_bytes()
    mine, its = (json.loads((d / "summary.json").read_text()) for d in (out, command))
    assert mine["study"] == its["study"]
    chosen = mine["study"]["free_energy"]["chosen"]
    assert [len(one["surface"]["edges"]) for one in chosen] == [2, 1]
    assert (out / "figures/free-energy-2.png").is_file()
    page = (out / "report.html").read_text()
    assert "Free energy over chosen coordinates" in page


class Listener(SilentReporter):
    """Remembers what is said and begun."""

    def __init__(self):
        self.said, self.begun = [], []

    def say(self, text):
        self.said.append(text)

    def stage(self, label, total, unit="frames"):
        self.begun.append(label)
        return super().stage(label, total, unit)

    def steps(self, label):
        self.begun.append(label)
        return super().steps(label)


def test_every_stage_is_told_before_it_begins(data, tmp_path):
    listener = Listener()
    analyze(
        [data / "ala2/ala2.pdb", data / "ala2/ala2-0.xtc"], tmp_path / "o",
        method="tica", step=100, lag=2, maps=False, progress=listener,
    )  # fmt: skip
    assert listener.said[0] == f"to do: {', '.join(listener.begun)}"


def test_the_stages_are_told_before_they_begin(command):
    first, *rest = command.with_name("said").read_text().splitlines()
    stages = first.removeprefix("to do: ").split(", ")
    ended = [line.split(":")[0] for line in rest if line.split(":")[0] in stages]
    assert first.startswith("to do: features, ")
    assert list(dict.fromkeys(ended)) == stages


def test_a_coordinate_that_is_not_there_is_refused_and_leaves_nothing(data, tmp_path):
    files = [data / "ala2/ala2.pdb", data / "ala2/ala2-0.xtc"]
    with pytest.raises(InputError, match="'phi A:ALA7' names a residue that is not"):
        analyze(files, tmp_path / "o", method="tica", step=100, fes="phi A:ALA7")
    assert not (tmp_path / "o").exists()


def test_an_option_that_is_not_known_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no option 'temprature'; .* temperature"):
        analyze("a.xtc", tmp_path / "o", temprature=300)
    assert not (tmp_path / "o").exists()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.xtc"):
        analyze(tmp_path / "nowhere.xtc", tmp_path / "o")
    assert not (tmp_path / "o").exists()
