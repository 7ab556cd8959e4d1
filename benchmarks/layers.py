r"""Measure whether a network's layers smooth its features away.

    python benchmarks/layers.py

Message passing may make the features of neighbouring atoms ever more alike (over-
smoothing) and leave them fewer and fewer dimensions. Most of what an atom's scalars are
says which atom it is. Kinetics are learnt from how they differ from their mean over
frames, so these changes are measured, for the atoms of some frames after each layer:

- **motion**: their share of the whole variance;
- **effective rank**: exp of the entropy of the shares that principal components have of
  them (Roy & Vetterli, EUSIPCO 2007); at most the number of channels;
- **roughness**: their mean squared difference between atoms within the cutoff, in units
  of that between any two atoms of a frame: 1 where neighbours change no more alike than
  others, 0 where they change together.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from kinetics import SYSTEMS, TWIN_SEED, featurize

from mdgeomfeat.gnn import Backbone, load_model, random_twin
from mdgeomfeat.neighbors import EdgeList, neighbor_list


def layers(model: Backbone, numbers: torch.Tensor, edges: EdgeList) -> list[np.ndarray]:
    """Return the (A, C) scalars before the first layer and after each layer.

    A layer of an Equivariant Transformer or a ViSNet returns what is added to them.
    """
    changes: list[torch.Tensor] = []
    start = getattr(model, "neighbor_embedding", model.embedding)
    hooks = [
        start.register_forward_hook(lambda _m, _i, out: changes.append(out)),
        *(
            layer.register_forward_hook(lambda _m, _i, out: changes.append(out[0]))
            for layer in model.layers
        ),
    ]
    with torch.no_grad():
        model(numbers, edges)
    for hook in hooks:
        hook.remove()
    return list(torch.stack(changes).cumsum(dim=0).numpy())


def effective_rank(values: np.ndarray) -> float:
    """Return exp of the entropy of the principal components' shares of the variance."""
    rows = values.reshape(-1, values.shape[-1])
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = singular**2 / (singular**2).sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def roughness(values: np.ndarray, edges: list[EdgeList]) -> float:
    """Return how much neighbours differ, in units of how much any two atoms do.

    Parameters
    ----------
    values : (F, A, C) ndarray
    edges : list of EdgeList
        Of each frame.
    """
    near = [
        ((frame[e.receiver.numpy()] - frame[e.sender.numpy()]) ** 2).sum(axis=1).mean()
        for frame, e in zip(values, edges, strict=True)
    ]
    # of all ordered pairs of different atoms: twice the unbiased variance
    anywhere = 2 * values.var(axis=1, ddof=1).sum(axis=1)
    return float(np.mean(near) / anywhere.mean())


def share(changes: np.ndarray, values: np.ndarray) -> float:
    """Return the share of the variance that the atoms' own changes make."""
    return float(changes.var() / (values - values.mean(axis=(0, 1))).var())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=["ala2", "wlall", "villin"])
    parser.add_argument("--networks", nargs="+", default=["et-64", "visnet-64"])
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.systems:
        results = featurize(SYSTEMS[name], None)
        chosen = np.linspace(0, len(results.times) - 1, options.frames).astype(int)
        positions = np.asarray(results.positions)[chosen].astype(np.float64)
        numbers = torch.tensor(results.structure.numbers)
        print(f"{name}: {len(numbers)} atoms, {options.frames} frames\n")
        print("| network | after layer | motion | effective rank | roughness |")
        print("| --- | --- | --- | --- | --- |")
        for label in options.networks:
            trained = load_model(label)
            for title, model in (
                (label, trained),
                (f"{label} random", random_twin(trained, TWIN_SEED)),
            ):
                edges = [neighbor_list(p[None], model.spec.cutoff) for p in positions]
                frames = [layers(model, numbers, e) for e in edges]
                for k, values in enumerate(map(np.stack, zip(*frames, strict=True))):
                    if k == 0:
                        continue  # elements, which do not move
                    changes = values - values.mean(axis=0)
                    print(
                        f"| {title} | {k} | {share(changes, values):.3f} "
                        f"| {effective_rank(changes):.1f} "
                        f"| {roughness(changes, edges):.2f} |",
                        flush=True,
                    )
        print()


if __name__ == "__main__":
    main()
