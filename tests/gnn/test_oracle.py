"""ET and TensorNet equal torchmd-net's, ViSNet torch-geometric's, on random weights.

The sources' own neighbour searches are replaced by a list given from outside. Their
state dictionaries pass through the importer, so it is tested as well.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mdgeomfeat.gnn import read_published
from mdgeomfeat.testing import assert_parity, compute_features

N_ATOMS = 12
CUTOFF = 4.5


@pytest.fixture(scope="module")
def cluster() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.choice([1, 6, 7, 8], size=N_ATOMS), rng.uniform(0, 6, (1, N_ATOMS, 3))


class AllPairs(nn.Module):
    """Every pair within the cutoff and each atom with itself."""

    def forward(self, pos, batch, box=None):
        vectors = pos[:, None] - pos[None]
        distances = vectors.norm(dim=2)
        first, second = torch.nonzero(distances < CUTOFF, as_tuple=True)
        return (
            torch.stack([first, second]),
            distances[first, second],
            vectors[first, second],
        )


def randomise(model: nn.Module) -> nn.Module:
    """Move every parameter, so that biases and norms matter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "distance_expansion" not in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return model


def imported(state: dict[str, torch.Tensor], path, **options):
    torch.save(state, path)
    return read_published(path, elements=None, **options)[0].double()


@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("norm", [None, "max_min"])
def test_visnet_equals_torch_geometric(lmax, norm, cluster, tmp_path):
    source = pytest.importorskip("torch_geometric.nn.models").ViSNet(
        lmax=lmax,
        vecnorm_type=norm,
        trainable_vecnorm=norm is not None,
        num_heads=4,
        num_layers=3,
        hidden_channels=16,
        num_rbf=10,
        cutoff=CUTOFF,
    )
    randomise(source)
    model = imported(
        source.state_dict(),
        tmp_path / "visnet.pth",
        n_heads=4,
        lmax=lmax,
        vector_norm=norm or "none",
    )
    block = source.representation_model.double()
    block.distance = AllPairs()
    numbers, positions = cluster
    with torch.no_grad():
        x, v = block(
            torch.as_tensor(numbers),
            torch.as_tensor(positions[0]),
            torch.zeros(N_ATOMS, dtype=torch.int64),
        )
    expected = x.numpy()[None], v.numpy()[None, :, :3]
    assert_parity(compute_features(model, numbers, positions), expected, 1e-10)


def prefixed(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights as published ones are named; the search has a box since."""
    weights = {k: v for k, v in model.state_dict().items() if k != "distance.box"}
    return {f"representation_model.{k}": v for k, v in weights.items()}


def test_et_equals_torchmd_net(cluster, tmp_path):
    torchmd_et = pytest.importorskip("torchmdnet.models.torchmd_et")
    source = torchmd_et.TorchMD_ET(
        hidden_channels=16,
        num_layers=3,
        num_rbf=10,
        num_heads=4,
        neighbor_embedding=False,
        cutoff_upper=CUTOFF,
    )
    randomise(source)
    model = imported(prefixed(source), tmp_path / "et.pth", n_heads=4)
    source = source.double()
    source.distance = AllPairs()
    numbers, positions = cluster
    with torch.no_grad():
        x, v, *_ = source(
            torch.as_tensor(numbers),
            torch.as_tensor(positions[0]),
            torch.zeros(N_ATOMS, dtype=torch.int64),
        )
    expected = x.numpy()[None], v.numpy()[None]
    assert_parity(compute_features(model, numbers, positions), expected, 1e-10)


def channel_major(values: torch.Tensor) -> torch.Tensor:
    """Undo the row order of current torchmd-net, to that of published checkpoints."""
    return values.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)


def test_tensornet_equals_torchmd_net(cluster, tmp_path, monkeypatch):
    tensornet = pytest.importorskip("torchmdnet.models.tensornet")
    # Its plain implementation: the kernels are for float32 on a GPU.
    monkeypatch.setattr(tensornet, "OPT", False)
    for name in ("compose_tensor", "decompose_tensor"):
        monkeypatch.setattr(tensornet, name, getattr(tensornet, f"_{name}"))
    for group in ("o3", "so3"):
        plain = getattr(tensornet, f"_tensor_matmul_{group}")
        monkeypatch.setattr(tensornet, f"tensor_matmul_{group}", plain)
    source = tensornet.TensorNet(
        hidden_channels=16,
        num_layers=3,
        num_rbf=10,
        cutoff_upper=CUTOFF,
        static_shapes=False,
    )
    randomise(source)
    state = prefixed(source)
    for key in state:
        if "linears_scalar.2." in key or "embedding.linears_scalar.1." in key:
            state[key] = channel_major(state[key])
    model = imported(state, tmp_path / "tensornet.pth")
    source = source.double()
    source.distance = AllPairs()
    tensors = []
    source.layers[-1].register_forward_hook(lambda *args: tensors.append(args[2]))
    numbers, positions = cluster
    with torch.no_grad():
        x, *_ = source(
            torch.as_tensor(numbers),
            torch.as_tensor(positions[0]),
            torch.zeros(N_ATOMS, dtype=torch.int64),
        )
    # It builds tensors on the direction to the receiver, published ones to the sender.
    v = -tensornet.skewtensor_to_vector(tensors[0])
    expected = x.numpy()[None], v.numpy()[None]
    assert_parity(compute_features(model, numbers, positions), expected, 1e-10)
