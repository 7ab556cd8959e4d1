"""Networks, systems and references that the tests of all engines share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.testing import relative_error

# Float32 rounding through two to six layers; the contract asks for 1e-5.
LIMIT = 2e-6
BOX = np.array([17.0, 18, 19, 70, 80, 100])
ARCHITECTURES = ("et", "tensornet", "visnet")
# ViSNet's edges take differences of large products in the published order.
TORCH_LIMIT = {"et": LIMIT, "tensornet": LIMIT, "visnet": 1e-5}
N_ATOMS = 45


def limit_of(engine, architecture):
    return TORCH_LIMIT[architecture] if engine == "torch" else LIMIT


def random_system():
    """Return atomic numbers (A,) and positions (5, A, 3), Å."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 12, (5, N_ATOMS, 3))
    positions[1, 7] = positions[1, 3]  # coincident atoms have no direction
    return rng.choice([6, 7, 8, 1, 16], N_ATOMS), positions


def lively(**options):
    """Return a network whose every parameter matters (biases start at zero)."""
    spec = ModelSpec(**({"n_layers": 3, "n_channels": 32, "n_rbf": 16} | options))
    model = build_model(spec, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() == 1 and not name.startswith("basis"):
                values += 0.2 * torch.randn(values.shape, generator=generator)
    return model


def chain_windows(token):
    """Return windows of each token (A,) and its two neighbours."""
    ptr, atoms, pooled = [0], [], []
    for i in range(token.max() + 1):
        inside = np.flatnonzero(abs(token - i) <= 1)
        atoms.extend(inside)
        pooled.extend(token[inside] == i)
        ptr.append(len(atoms))
    return SimpleNamespace(
        ptr=np.array(ptr), atoms=np.array(atoms), pooled=np.array(pooled)
    )


def reference(model, numbers, positions, boxes=None, max_neighbors=None):
    """Run the network itself, frame by frame, in float64."""
    model = model.double()
    out = []
    for f, frame in enumerate(positions):
        edges = neighbor_list(
            frame[None],
            model.spec.cutoff,
            None if boxes is None else boxes if boxes.ndim == 1 else boxes[f],
            max_neighbors=max_neighbors,
            dtype=torch.float64,
            backend="torch",
        )
        with torch.no_grad():
            out.append(model(torch.as_tensor(numbers), edges))
    model.float()
    return tuple(torch.stack(part).numpy() for part in zip(*out, strict=True))


def window_reference(
    model, numbers, positions, windows, boxes=None, max_neighbors=None
):
    """Run the network itself on each window alone, in float64."""
    F, A, _ = positions.shape
    C = model.spec.n_channels
    expected = [np.empty((F, A, C)), np.empty((F, A, 3, C))]
    for w in range(len(windows.ptr) - 1):
        inside = slice(windows.ptr[w], windows.ptr[w + 1])
        atoms, own = windows.atoms[inside], windows.pooled[inside]
        alone = reference(
            model, numbers[atoms], positions[:, atoms], boxes, max_neighbors
        )
        for whole, part in zip(expected, alone, strict=True):
            whole[:, atoms[own]] = part[:, own]
    return expected


def assert_close(got, expected, limit=LIMIT):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert relative_error(a, b) < limit
