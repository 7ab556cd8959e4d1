"""Peak memory does not depend on the length of a run."""

import subprocess
import sys
from pathlib import Path

import pytest
from feature_systems import peptide

from mdgeomfeat.gnn import save_model

MEASURE = """
import re, sys, warnings
sys.path.insert(0, {tests!r})
warnings.simplefilter("ignore")
import MDAnalysis as mda
from mdgeomfeat import GeomGNNFeaturizer

u = mda.Universe({top!r}, sys.argv[1])
feat = GeomGNNFeaturizer(u, model={model!r}, engine="cpu", store=sys.argv[2]).run()
assert len(feat.results.scalars) == u.trajectory.n_frames
# Not ru_maxrss, which begins with what the process held that started this one.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.filterwarnings("ignore")
def test_peak_memory_of_2000_and_40000_frames(tmp_path, model):
    path, top = tmp_path / "tiny.safetensors", tmp_path / "top.pdb"
    save_model(model, path, {})
    script = MEASURE.format(
        tests=str(Path(__file__).parents[1]), top=str(top), model=str(path)
    )
    peaks = []
    for n_frames in (2_000, 40_000, 2_000):
        u = peptide(n_residues=12, n_frames=n_frames)
        u.atoms.write(top)
        file, store = tmp_path / "run.dcd", tmp_path / f"{len(peaks)}.zarr"
        u.atoms.write(file, frames="all")
        done = subprocess.run(
            [sys.executable, "-c", script, str(file), str(store)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    print("peak memory, kB:", *peaks)
    # Kept in memory, the features of 38,000 frames would be 120 MB and positions 22 MB.
    # The first run may also have compiled kernels.
    assert peaks[1] < 1.1 * min(peaks[0], peaks[2]), peaks
