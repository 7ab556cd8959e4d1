r"""Measure what a training step of a mixer takes for systems of thousands of tokens.

    python benchmarks/tokens.py --tokens 300 1000 3000 --merge 1 4 8 16

Every row is a process of its own with one thread, which trains a VAMPNet on random
numbers in the shape of the default features (112 for each token). It prints the mean
time of five steps, and the peak of the memory above what is held before.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from mdgeomfeat.kinetics import TrainingOptions, fit_vampnet
from mdgeomfeat.mixing import MixerSpec

FEATURES = 112
FRAMES = 160
STEPS = 5  # between two checks


def measure(kind: str, n_tokens: int, merge: int) -> dict[str, float]:
    """Return CPU seconds a step, MB, tokens that are mixed, and pairs of a step."""
    torch.set_num_threads(1)
    spec = MixerSpec(
        kind=kind,
        n_tokens=n_tokens,
        n_features=FEATURES,
        n_outputs=3,
        input_dropout=0.3,
        merge=merge,
    )
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(FRAMES, n_tokens, FEATURES)).astype(np.float32)
    times: list[float] = []

    def note(*_: int) -> None:
        times.append(time.process_time())

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    options = TrainingOptions(max_steps=2 * STEPS, n_starts=1, max_stop_pairs=10)
    fit_vampnet([frames], [frames[:20]], 1, spec, options=options, progress=note)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": (times[1] - times[0]) / STEPS,
        "MB": (peak - before) / 1024,
        "mixed": spec.mixed_tokens,
        "pairs": options.pairs(spec),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--merge", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--kind", default="attention")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.kind, options.tokens[0], options.merge[0])))
        return
    print("| tokens | merge | mixed tokens | pairs a step | CPU s a step | peak MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_tokens in options.tokens:
        for merge in options.merge:
            command = [
                *(sys.executable, __file__, "--one", "--kind", options.kind),
                *("--tokens", str(n_tokens), "--merge", str(merge)),
            ]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            row = json.loads(run.stdout.splitlines()[-1])
            print(
                f"| {n_tokens:,} | {merge} | {row['mixed']:.0f} | {row['pairs']:.0f} | "
                f"{row['seconds']:.2f} | {row['MB']:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
