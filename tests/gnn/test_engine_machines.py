"""The CPU engine on other processors and where its code cannot be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple

import pytest

CODE = """
import sys
import numpy as np
from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.testing import relative_error

spec = ModelSpec(architecture=sys.argv[1], n_layers=3, n_channels=32, n_rbf=16)
model = build_model(spec, seed=1)
rng = np.random.default_rng(0)
numbers, positions = rng.choice([1, 6, 8], 30), rng.uniform(0, 9, (3, 30, 3))
engine = make_engine(model, engine="cpu")
got = engine.compute(numbers, positions)
exact = make_engine(model, engine="torch", dtype="float64")
expected = exact.compute(numbers, positions)
print(engine.describe()["instructions"])
print(max(relative_error(a, b) for a, b in zip(got, expected)))
"""

# The features of a Haswell and of a Sandy Bridge (no FMA), and of any x86-64.
MACHINES = {
    "AVX2": (
        {
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+popcnt",
        },
        "AVX",
    ),
    "AVX without FMA": (
        {
            "NUMBA_CPU_NAME": "sandybridge",
            "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+popcnt,-fma,-avx2",
        },
        "AVX",
    ),
    "generic": ({"NUMBA_CPU_NAME": "generic"}, "SSE"),
}


def run(architecture: str, environment: dict[str, str]) -> tuple[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, architecture],
        env=os.environ | {"NUMBA_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    instructions, error = done.stdout.split()
    return instructions, float(error)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["et", "tensornet", "visnet"])
@pytest.mark.parametrize("machine", MACHINES)
def test_other_processors_give_the_same_answer(machine, architecture):
    environment, name = MACHINES[machine]
    instructions, error = run(architecture, environment)
    assert instructions == name
    assert error < 2e-6


@pytest.mark.slow
def test_without_fma_no_call_into_the_c_library(tmp_path):
    """LLVM's fma becomes a call per lane where there is no instruction for it."""
    code = """
import numpy as np
from numba import njit
from mdgeomfeat.gnn.engine.cpu.simd import lanes, load, muladd, silu, store

@njit
def f(x):
    like = lanes(16)
    store(x, 0, silu(muladd(load(x, 0, like), load(x, 16, like), load(x, 32, like))))

f(np.ones(48, np.float32))
assembly = "".join(f.inspect_asm().values())
assert "mulps" in assembly
assert "fmaf" not in assembly and "expf" not in assembly and "floorf" not in assembly
"""
    environment, _ = MACHINES["generic"]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_code_is_kept_among_temporary_files_where_nothing_else_can_be_written(
    tmp_path, monkeypatch
):
    import numba
    from numba.core import caching

    from mdgeomfeat import jit

    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")

    # As where neither the package nor the home can be written to: numba then finds a
    # place only if one is named.
    named = [
        locator
        for locator in caching.CompileResultCacheImpl._locator_classes
        if "UserProvided" in locator.__name__
    ]
    assert len(named) == 1
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", named)

    @jit.cached_njit()
    def double(x):
        return 2 * x

    assert double(21) == 42
    (folder,) = tmp_path.glob("mdgeomfeat-numba-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.rglob("*.nbi"))
    assert numba.config.CACHE_DIR == ""


def test_kept_code_is_not_used_after_a_change_in_another_file(tmp_path, monkeypatch):
    import numba

    from mdgeomfeat import jit

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def compiles(sources):
        monkeypatch.setattr(jit, "_sources", lambda: sources)

        @jit.cached_njit()
        def double(x):
            return 2 * x

        told = []
        with jit.when_compiling(lambda: told.append(True)):
            assert double(21) == 42
        return bool(told)

    assert compiles("before")
    assert not compiles("before")
    assert compiles("after")
    assert not compiles("after")


def test_a_pair_search_leaves_the_threads_of_torch_alone():
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from mdgeomfeat.neighbors import neighbor_list\n"
        "neighbor_list(torch.rand(1, 9, 3).double(), 5.0)\n"
        "print(torch.get_num_threads())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_NUM_THREADS": "2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == "1"


def test_kept_code_whose_types_are_gone_is_compiled_anew(tmp_path, monkeypatch):
    import numba

    from mdgeomfeat import jit

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    module = sys.modules[__name__]

    def compiles(name):
        pair = namedtuple(name, "x y")
        pair.__module__ = __name__
        monkeypatch.setattr(module, name, pair, raising=False)

        @jit.cached_njit()
        def total(p):
            return p.x + p.y

        told = []
        with jit.when_compiling(lambda: told.append(True)):
            assert total(pair(20, 22)) == 42
        return bool(told)

    assert compiles("Earlier")
    assert not compiles("Earlier")
    monkeypatch.delattr(module, "Earlier")
    assert compiles("Later")
    assert not compiles("Later")


def test_a_temporary_folder_of_others_is_not_trusted(tmp_path, monkeypatch):
    from mdgeomfeat import jit

    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path))
    own = jit._temporary_cache()
    assert jit._temporary_cache() == own
    own.chmod(0o777)
    other = jit._temporary_cache()
    assert other != own
    assert other.stat().st_mode & 0o077 == 0
