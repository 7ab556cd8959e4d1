import errno
import os
import subprocess
import sys

import pytest

from mdgeomfeat import InputError, MDGeomFeatWarning
from mdgeomfeat.store import StoreLock

HOLD = """
import sys
from pathlib import Path
from mdgeomfeat.store import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    path = tmp_path / "new" / "a.zarr"
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "held\n"
        message = rf"a\.zarr is being written by process {first.pid} on \S+; wait until"
        with pytest.raises(InputError, match=message), StoreLock(path):
            pass
        first.kill()
    assert (path.parent / "a.zarr.lock").exists()
    with StoreLock(path), pytest.raises(InputError, match="is being written by"):
        StoreLock(path).__enter__()
    assert os.listdir(path.parent) == []


def test_a_full_disk_does_not_keep_the_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with StoreLock(tmp_path / "a.zarr"):
            pass
    with StoreLock(tmp_path / "a.zarr"):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    import fcntl

    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with (
        pytest.warns(MDGeomFeatWarning, match="has no locks, so nothing keeps a sec"),
        StoreLock(tmp_path / "a.zarr"),
    ):
        pass
    assert os.listdir(tmp_path) == []
