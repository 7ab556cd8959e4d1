"""The same study writes the same bytes, whichever process runs it."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys


def contents(folder):
    """Return the bytes of all files, without the command, which names the folder."""
    command = json.loads((folder / "summary.json").read_text())["run"]["Command"]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        .replace(html.escape(command).encode(), b"")
        .replace(command.encode(), b"")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_study_in_another_process_writes_the_same_files(
    study, study_command, tmp_path
):
    out = tmp_path / "result"
    command = [*map(str, study_command), "--out", str(out)]
    subprocess.run(
        [sys.executable, "-c", "from mdgeomfeat.cli import main; main()", *command],
        check=True,
        capture_output=True,
        # nothing may depend on the order of a set either
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    first, second = contents(study.out), contents(out)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert {"model/training.safetensors", "model/cvs.safetensors"} < first.keys()
