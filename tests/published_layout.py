"""Checkpoints of the published layouts with random weights, and what they mean.

The tensors carry the names and shapes of the published files, heads of the
pre-training included. ET and TensorNet are evaluated here in numpy from their papers'
equations, atom by atom in float64; ViSNet is torch-geometric's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

CHANNELS, RBF, HEADS, MAX_Z = 16, 12, 8, 60
CUTOFFS = {"et": 7.5, "visnet": 7.5, "tensornet": 5.0}
LAYERS = {"et": 3, "visnet": 3, "tensornet": 2}
ROOT = "representation_model."
State = dict[str, torch.Tensor]

#: What the pre-training leaves in a file beside the network.
_REST = {
    "mean": (), "std": (),
    "output_model_noise.output_network.0.vec1_proj.weight": (CHANNELS, CHANNELS),
    "pos_normalizer.acc_sum": (3,), "pos_normalizer.acc_count": (1,),
}  # fmt: skip


def et_shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of an ET (torchmd-net before version 1)."""
    C, R = CHANNELS, RBF
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (MAX_Z, C)}
    for n in range(LAYERS["et"]):
        layer = f"attention_layers.{n}."
        shapes |= {f"{layer}layernorm.weight": (C,), f"{layer}layernorm.bias": (C,)}
        for name, rows, columns in (
            ("q", C, C), ("k", C, C), ("v", 3 * C, C), ("o", 3 * C, C),
            ("dk", C, R), ("dv", 3 * C, R),
        ):  # fmt: skip
            shapes[f"{layer}{name}_proj.weight"] = (rows, columns)
            shapes[f"{layer}{name}_proj.bias"] = (rows,)
        shapes[f"{layer}vec_proj.weight"] = (3 * C, C)
    return shapes | {"out_norm.weight": (C,), "out_norm.bias": (C,)}


def tensornet_shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of a TensorNet (torchmd-net before version 2)."""
    C, R = CHANNELS, RBF
    first = "tensor_embedding."
    shapes: dict[str, tuple[int, ...]] = {f"{first}emb.weight": (MAX_Z, C)}
    linears = [(f"{first}distance_proj{n}", C, R) for n in (1, 2, 3)]
    linears += [(f"{first}emb2", C, 2 * C), ("linear", C, 3 * C)]
    linears += [(f"{first}linears_scalar.0", 2 * C, C)]
    linears += [(f"{first}linears_scalar.1", 3 * C, 2 * C)]
    tensors = [f"{first}linears_tensor.{n}" for n in range(3)]
    for n in range(LAYERS["tensornet"]):
        net = f"layers.{n}.linears_scalar"
        linears += [(f"{net}.0", C, R), (f"{net}.1", 2 * C, C)]
        linears += [(f"{net}.2", 3 * C, 2 * C)]
        tensors += [f"layers.{n}.linears_tensor.{k}" for k in range(6)]
    for name, rows, columns in linears:
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    shapes |= {f"{name}.weight": (C, C) for name in tensors}
    for name, size in ((f"{first}init_norm", C), ("out_norm", 3 * C)):
        shapes |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return shapes


def _basis(kind: str) -> State:
    start = math.exp(-CUTOFFS[kind])
    return {
        "distance_expansion.means": torch.linspace(start, 1.0, RBF),
        "distance_expansion.betas": torch.full((RBF,), (2 / RBF * (1 - start)) ** -2),
    }


def visnet_source() -> torch.nn.Module:
    """Return torch-geometric's ViSNet with random weights."""
    from torch_geometric.nn.models import ViSNet

    torch.manual_seed(2)
    source = ViSNet(
        lmax=1, vecnorm_type="max_min", trainable_vecnorm=True, num_heads=HEADS,
        num_layers=LAYERS["visnet"], hidden_channels=CHANNELS, num_rbf=RBF,
        cutoff=CUTOFFS["visnet"], max_z=MAX_Z,
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in source.named_parameters():
            if "distance_expansion" not in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return source


def random_state(kind: str) -> State:
    """Return a state dictionary of a published layout with random weights."""
    if kind == "visnet":
        network = {
            name: tensor.clone()
            for name, tensor in visnet_source().state_dict().items()
            if name.startswith(ROOT)
        }
    else:
        shapes = et_shapes() if kind == "et" else tensornet_shapes()
        generator = torch.Generator().manual_seed(5)
        network = {}
        for name, shape in shapes.items():
            values = torch.randn(shape, generator=generator)
            if len(shape) == 2 and "emb.weight" not in name:
                values = values / math.sqrt(shape[1])
            if "norm.weight" in name:
                values = 1 + 0.3 * values
            network[ROOT + name] = values
        network |= {ROOT + name: tensor for name, tensor in _basis(kind).items()}
    return network | {name: torch.ones(shape) for name, shape in _REST.items()}


def save_random(kind: str, path: Path) -> Path:
    """Write such a checkpoint as torch.save does."""
    torch.save(random_state(kind), path)
    return path


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _reader(state: State) -> Callable[[str], np.ndarray]:
    arrays = {k: v.double().numpy() for k, v in state.items()}
    return lambda name: arrays[ROOT + name]


def _layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) * weight + bias


def _radial(w, distance: float, cutoff: float) -> tuple[np.ndarray, float]:
    """Return basis and envelope at a distance."""
    envelope = 0.5 * (math.cos(math.pi * distance / cutoff) + 1)
    means, betas = w("distance_expansion.means"), w("distance_expansion.betas")
    decayed = math.exp(-5.0 / cutoff * distance)
    return envelope * np.exp(-betas * (decayed - means) ** 2), envelope


def _edges(positions: np.ndarray, cutoff: float):
    """List (receiver, sender, distance, unit vector to the sender), self included."""
    for i, here in enumerate(positions):
        for j, there in enumerate(positions):
            vector = there - here
            distance = float(np.linalg.norm(vector))
            if i == j:
                yield i, j, 0.0, np.zeros(3)
            elif distance < cutoff:
                yield i, j, distance, vector / distance


def et_features(state: State, numbers: np.ndarray, positions: np.ndarray):
    """Evaluate an ET: arXiv:2202.02541, equations 4 to 12; (A, C) and (A, 3, C)."""
    w, C, cutoff = _reader(state), CHANNELS, CUTOFFS["et"]
    edges = list(_edges(positions, cutoff))
    x, v = w("embedding.weight")[numbers], np.zeros((len(numbers), 3, C))
    D = C // HEADS
    for n in range(LAYERS["et"]):

        def linear(name, values, n=n):
            name = f"attention_layers.{n}.{name}_proj"
            return w(f"{name}.weight") @ values + w(f"{name}.bias")

        norm = f"attention_layers.{n}.layernorm"
        y = _layer_norm(x, w(f"{norm}.weight"), w(f"{norm}.bias"))
        gathered, pulled = np.zeros_like(x), np.zeros_like(v)
        for i, j, distance, direction in edges:
            basis, envelope = _radial(w, distance, cutoff)
            key, value = _silu(linear("dk", basis)), _silu(linear("dv", basis))
            q, k = linear("q", y[i]), linear("k", y[j])
            sent = linear("v", y[j]) * value
            for head in range(HEADS):
                own = slice(head * D, (head + 1) * D)
                attention = _silu(np.sum(q[own] * k[own] * key[own])) * envelope
                scalar, first, second = sent[3 * D * head : 3 * D * (head + 1)].reshape(
                    3, D
                )
                gathered[i, own] += attention * scalar
                pulled[i][:, own] += v[j][:, own] * first + np.outer(direction, second)
        change = np.zeros_like(x)
        moved = np.zeros_like(v)
        for i in range(len(numbers)):
            one, two, three = linear("o", gathered[i]).reshape(3, C)
            weight = w(f"attention_layers.{n}.vec_proj.weight")
            left, right, gated = np.split(v[i] @ weight.T, 3, axis=1)
            change[i] = (left * right).sum(axis=0) * two + three
            moved[i] = gated * one + pulled[i]
        x, v = x + change, v + moved
    return _layer_norm(x, w("out_norm.weight"), w("out_norm.bias")), v


def _parts(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split (C, 3, 3) into trace, antisymmetric and symmetric traceless parts."""
    transposed = X.swapaxes(1, 2)
    trace = np.trace(X, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return trace, (X - transposed) / 2, (X + transposed) / 2 - trace


def _norm(X: np.ndarray) -> np.ndarray:
    return (X**2).sum(axis=(1, 2))


def _mixed(weights, X: np.ndarray) -> list[np.ndarray]:
    return [
        np.einsum("dc,cij->dij", weight, part)
        for weight, part in zip(weights, _parts(X), strict=True)
    ]


def tensornet_features(state: State, numbers: np.ndarray, positions: np.ndarray):
    """Evaluate a TensorNet: arXiv:2306.06482, equations 5 to 13."""
    w, C, cutoff = _reader(state), CHANNELS, CUTOFFS["tensornet"]
    # Atoms send to themselves, as in the source.
    edges = list(_edges(positions, cutoff))

    def linear(name, values):
        return w(f"{name}.weight") @ values + w(f"{name}.bias")

    def matrices(name, first):
        return [w(f"{name}.linears_tensor.{first + k}.weight") for k in range(3)]

    X = np.zeros((len(numbers), C, 3, 3))
    e = "tensor_embedding"
    table = w(f"{e}.emb.weight")
    for i, j, distance, u in edges:
        basis, envelope = _radial(w, distance, cutoff)
        pair = np.concatenate([table[numbers[i]], table[numbers[j]]])
        pair = linear(f"{e}.emb2", pair) * envelope
        skew = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
        outer = np.outer(u, u)
        shapes = np.eye(3), skew, outer - np.trace(outer) / 3 * np.eye(3)
        for k, shape in enumerate(shapes, 1):
            weight = pair * linear(f"{e}.distance_proj{k}", basis)
            X[i] += weight[:, None, None] * shape
    for i in range(len(numbers)):
        norm = _layer_norm(
            _norm(X[i]), w(f"{e}.init_norm.weight"), w(f"{e}.init_norm.bias")
        )
        for k in range(2):
            norm = _silu(linear(f"{e}.linears_scalar.{k}", norm))
        gates = norm.reshape(C, 3)
        parts = _mixed(matrices(e, 0), X[i])
        X[i] = sum(gates[:, k, None, None] * parts[k] for k in range(3))
    for n in range(LAYERS["tensornet"]):
        name = f"layers.{n}"
        X = np.array([x / (_norm(x) + 1)[:, None, None] for x in X])
        mixed = [_mixed(matrices(name, 0), x) for x in X]
        received = np.zeros_like(X)
        for i, j, distance, _ in edges:
            values, envelope = _radial(w, distance, cutoff)
            for k in range(3):
                values = _silu(linear(f"{name}.linears_scalar.{k}", values))
            factors = (values * envelope).reshape(C, 3)
            received[i] += sum(
                factors[:, k, None, None] * mixed[j][k] for k in range(3)
            )
        for i, own in enumerate(sum(parts) for parts in mixed):
            product = own @ received[i] + received[i] @ own
            product = product / (_norm(product) + 1)[:, None, None]
            # The norm is that of the parts' sum: the parts are orthogonal.
            change = sum(_mixed(matrices(name, 3), product))
            X[i] = X[i] + change + change @ change
    norms = np.array([np.concatenate([_norm(p) for p in _parts(x)]) for x in X])
    x = _layer_norm(norms, w("out_norm.weight"), w("out_norm.bias"))
    scalars = np.array([_silu(linear("linear", row)) for row in x])
    vectors = np.stack([X[:, :, 2, 1], X[:, :, 0, 2], X[:, :, 1, 0]], axis=1)
    antisymmetric = np.stack([X[:, :, 1, 2], X[:, :, 2, 0], X[:, :, 0, 1]], axis=1)
    return scalars, (vectors - antisymmetric) / 2


class _AllPairs(torch.nn.Module):
    """Every pair within the cutoff and each atom with itself."""

    def forward(self, pos, batch):
        vectors = pos[:, None] - pos[None]
        distances = vectors.norm(dim=2)
        first, second = torch.nonzero(distances < CUTOFFS["visnet"], as_tuple=True)
        pairs = distances[first, second], vectors[first, second]
        return torch.stack([first, second]), *pairs


def visnet_features(state: State, numbers: np.ndarray, positions: np.ndarray):
    """Evaluate torch-geometric's ViSNet in float64."""
    source = visnet_source().representation_model
    network = {k.removeprefix(ROOT): v for k, v in state.items() if k.startswith(ROOT)}
    source.load_state_dict(network)
    source = source.double()
    source.distance = _AllPairs()
    atoms = torch.zeros(len(numbers), dtype=torch.int64)
    with torch.no_grad():
        x, v = source(torch.as_tensor(numbers), torch.as_tensor(positions), atoms)
    return x.numpy(), v.numpy()[:, :3]


FEATURES = {
    "et": et_features, "tensornet": tensornet_features, "visnet": visnet_features
}  # fmt: skip
