"""Nothing that a stranger's file says is run, and nothing it claims is believed."""

from __future__ import annotations

import ast
import html
import json
import pickletools
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import ModelSpec, build_model, load_model, save_model, verify_model

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for folder in ("mdgeomfeat", "examples", "benchmarks", "data", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
# It hands its own analysis to worker processes of its own; no file is involved.
BETWEEN_PROCESSES = ROOT / "mdgeomfeat" / "featurizer" / "parallel.py"
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve"}
RUNNERS = {"eval", "exec", "compile"}
LOADERS = {"os.system", "os.popen", "yaml.load", "torch.hub.load", "joblib.load"}


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def option(node: ast.Call, name: str) -> object:
    for keyword in node.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


def offences(source: str, *, pickling: bool = False) -> list[str]:
    """Return what in a module could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        found += [f"import {n}" for n in names if n in UNPICKLERS | {"marshal"}]
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name in RUNNERS:
            found.append(name)
        if name == "torch.load" and option(node, "weights_only") is not True:
            found.append("torch.load without weights_only=True")
        if option(node, "allow_pickle") or option(node, "shell"):
            found.append(f"{name} with pickles or a shell")
        if name in LOADERS:
            found.append(name)
    return [f for f in found if not (pickling and f == "import pickle")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_can_run_what_a_file_holds(path):
    source = path.read_text("utf-8")
    assert not offences(source, pickling=path == BETWEEN_PROCESSES)
    if path == BETWEEN_PROCESSES:
        assert "open(" not in source


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import load", "joblib.load(f)", "eval('1')",
     "exec(code)", "torch.load(f)", "torch.load(f, weights_only=False)",
     "np.load(f, allow_pickle=True)", "yaml.load(f)", "os.system('ls')",
     "subprocess.run('ls', shell=True)"],
)  # fmt: skip
def test_the_search_finds_offences(line):
    assert offences(line)


# ---- networks ------------------------------------------------------------------------


def archive(path: Path, index: bytes, storage: bytes = b"\0" * 64) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w/data.pkl", index)
        file.writestr("w/data/0", storage)
    return path


def nested(depth: int) -> bytes:
    """A tuple of twice the same tuple, and so on: its hash takes 2**depth steps."""
    return b"\x80\x02)" + b"q\x00h\x00\x86" * depth


HOSTILE = {
    "a memo of 30 GB": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a key that is never hashed": b"\x80\x02}" + nested(64)[2:] + b"K\x01s.",
    "a storage named by such a tuple": nested(64) + b"Q.",
    "a call of a call": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "something to run": b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
    "something to run, newer": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
    "an object": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "an old instance": b"(ios\nsystem\n.",
    "no end": b"\x80\x02}" * 50,
    "too little on the stack": b"\x80\x02\x86\x87R.",
    "no mark": b"\x80\x02}u.",
    "half a number": b"\x80\x02\x8b\xff\xff\xff\x7f",
    "random bytes": np.random.default_rng(0).bytes(400),
    "a large index of small steps": b"\x80\x02" + b"N0" * 1000 + b"N.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints_are_refused(tmp_path, name):
    path = archive(tmp_path / "w.pth", HOSTILE[name])
    with pytest.raises(InputError, match=r"w\.pth"):
        load_model(path)


def test_an_index_is_read_as_it_is_written(tmp_path):
    """What the machine accepts is what torch writes: nothing is taken for hostile."""
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(3), "list": [1, -2, 2**40], "step": 1.5}, path)
    with pytest.raises(InputError, match="holds list under 'list'"):
        load_model(path)
    with zipfile.ZipFile(path) as file:
        (index,) = [n for n in file.namelist() if n.endswith("data.pkl")]
        assert list(pickletools.genops(file.read(index)))


def test_archives_that_claim_more_than_they_hold(tmp_path):
    path = archive(tmp_path / "w.pth", b"\x80\x02}.")
    content = path.read_bytes()
    # The list of contents at the end says 64 bytes; let it say 4 GB.
    at = content.rindex(struct.pack("<II", 64, 64))
    path.write_bytes(content[:at] + struct.pack("<II", 2**32 - 2, 2**32 - 2)
                     + content[at + 8 :])  # fmt: skip
    with pytest.raises(InputError, match="cannot be true"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("w/data.pkl", b"\x80\x02N.")
    with pytest.raises(InputError, match="cannot be true"):
        load_model(path)


@pytest.fixture
def saved(tmp_path):
    spec = ModelSpec(n_layers=1, n_channels=8, n_heads=2, n_rbf=8)
    save_model(build_model(spec, seed=0), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 2**63 - 1),
        struct.pack("<Q", 10**9) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 6) + b"\xff\xfe\xfd\xfc\xfb\xfa",
        b"",
        b"\0" * 7,
        b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
    ],
    ids=["2**63", "1 GB", "empty", "list", "not text", "nothing", "short", "pickle"],
)
def test_hostile_safetensors_headers(saved, header):
    saved.write_bytes(header)
    with pytest.raises(InputError, match=r"net\.safetensors"):
        load_model(saved)


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [([2**40], [0, 4]), ([2**31, 2**31, 2**31], [0, 0]), ([1], [0, 2**50]),
     ([1], [2**63, 2**63 + 4]), ([-1], [0, 4]), (["a"], [0, 4])],
)  # fmt: skip
def test_absurd_shapes(saved, shape, offsets):
    entry = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    text = json.dumps({"embedding.weight": entry}).encode()
    saved.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 4)
    with pytest.raises(InputError, match=r"net\.safetensors"):
        load_model(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_channels", 10**9), ("n_channels", -1), ("n_channels", 1e300),
        ("n_channels", "8"), ("n_channels", None), ("n_channels", True),
        ("n_channels", 4096), ("n_layers", 10**18), ("n_layers", 64),
        ("n_rbf", 2**62), ("n_heads", 0), ("max_z", 2**40), ("max_z", 256),
        ("cutoff", 1e308), ("cutoff", float("nan")), ("cutoff", float("inf")),
        ("cutoff", -5), ("cutoff", 10**400), ("elements", 5), ("elements", "CH"),
        ("elements", [1e400]), ("elements", [None]), ("elements", [[1]]),
        ("elements", {"a": 1}), ("architecture", "os.system"),
        ("architecture", ["et"]), ("format", 99), ("surprise", 1),
    ],
)  # fmt: skip
def test_absurd_cards(saved, field, value):
    card = json.loads(saved.with_suffix(".json").read_text())
    card["spec"][field] = value
    saved.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(InputError):
        load_model(saved)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", "{}", "9" * 5000, "[" * 100_000, '{"format": 1}',
     '{"format": 1, "name": 1, "spec": 1, "fingerprint": 1, "sha256": 1, '
     '"reference": 1}', "\ufffe\x00"],
)  # fmt: skip
def test_cards_that_are_none(saved, text):
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(InputError, match=r"net\.|spec"):
        load_model(saved)


@pytest.mark.parametrize(
    "reference",
    [
        None, 5, [], {}, {"numbers": [1e400], "positions": [[0, 0, 0]], "features": []},
        {"numbers": [6] * 10**5, "positions": [[0, 0, 0]] * 10**5, "features": [0]},
        {"numbers": [6], "positions": [[float("nan")] * 3], "features": [0] * 32},
        {"numbers": "C", "positions": "x", "features": "y"},
    ],
)  # fmt: skip
def test_references_that_are_none(saved, reference):
    card = json.loads(saved.with_suffix(".json").read_text())
    card["reference"] = reference
    saved.with_suffix(".json").write_text(json.dumps(card))
    (problem,) = verify_model(saved)
    assert isinstance(problem, str)


def test_refusing_takes_no_memory(tmp_path):
    """The hostile checkpoints, in a process whose memory is watched."""
    for number, index in enumerate(HOSTILE.values()):
        archive(tmp_path / f"{number}.pth", index)
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from mdgeomfeat.errors import InputError\n"
        "from mdgeomfeat.gnn import load_model\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in Path(sys.argv[1]).glob('*.pth'):\n"
        "    try:\n        load_model(path)\n"
        "    except InputError:\n        continue\n"
        "    raise SystemExit(f'{path} was loaded')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 1024 < 150


# ---- reports -------------------------------------------------------------------------

FOLDER = "<script>alert(1)<&'\"\u2028"


@pytest.fixture(scope="module")
def hostile_study(run_cli, tiny_model, tmp_path_factory, data):
    """A study of files and residues whose names are markup."""
    folder = tmp_path_factory.mktemp("hostile") / FOLDER
    folder.mkdir()
    u = mda.Universe(data / "gly2" / "gly2.pdb", data / "gly2" / "gly2-0.xtc")
    text = (data / "gly2" / "gly2.pdb").read_text()
    top = folder / "<img src=x>.pdb"
    top.write_text(text.replace(" GLY A", " <s> &"))
    run = folder / "<svg onload=x>.xtc"
    u.atoms.write(str(run), frames=u.trajectory[:150])
    out = folder.parent / "out"
    result = run_cli(
        "tica", run, top, "--model", tiny_model, "--engine", "torch", "--out", out,
        "--lag", 1, "--select", "group heavy", "--no-maps",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out


def test_reports_escape_names(hostile_study):
    page = (hostile_study / "report.html").read_text()
    for markup in ("<script>alert", "<img src=x", "<svg onload", "<s>"):
        assert markup not in page
    assert html.escape("<svg onload=x>") in page
    assert html.escape("<s>") in page


def test_summaries_are_plain_json(hostile_study):
    summary = json.loads((hostile_study / "summary.json").read_text())
    assert "<svg onload=x>.xtc" in json.dumps(summary)
