"""torchmd-net's own networks with our weights, on our graphs, as one more engine."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor, nn

from mdgeomfeat.gnn import Backbone
from mdgeomfeat.gnn.engine.torch import TorchEngine
from mdgeomfeat.neighbors import EdgeList


def available() -> bool:
    """Tell whether torchmd-net is installed."""
    return find_spec("torchmdnet") is not None


class TorchMDEngine(TorchEngine):
    """torchmd-net's ET or TensorNet in the batches that ``engine="torch"`` makes."""

    name = "torchmd-net"

    def __init__(self, model: Backbone) -> None:
        super().__init__(model, torch.device("cpu"), torch.float32)
        build = {"et": _et, "tensornet": _tensornet}[model.spec.architecture]
        self._model = build(model).eval()  # type: ignore[assignment]


class _Given(nn.Module):
    """A list of edges in place of a search: sender, receiver, each atom with itself."""

    edges: EdgeList

    def forward(
        self, pos: Tensor, batch: Tensor, box: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        del batch, box
        own = torch.arange(len(pos))
        vector = torch.cat([self.edges.vector, torch.zeros(len(pos), 3)])
        index = torch.stack([self.edges.sender, self.edges.receiver])
        index = torch.cat([index, torch.stack([own, own])], dim=1)
        return index, vector.norm(dim=1), vector


class _Wrapped(nn.Module):
    """Calls a network of torchmd-net as one of ours."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.source = source
        source.distance = self.given = _Given()

    def forward(self, numbers: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor]:
        self.given.edges = edges
        n = len(numbers)
        batch = torch.zeros(n, dtype=torch.int64)
        x, v, *_ = self.source(numbers, torch.zeros(n, 3), batch)
        return x, self.vectors(v)

    def vectors(self, v: Tensor) -> Tensor:
        return v


class _WrappedTensorNet(_Wrapped):
    """Takes the vectors out of the last layer's tensors."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__(source)
        self.tensors: Tensor
        source.layers[-1].register_forward_hook(self._keep)  # type: ignore[index,union-attr]

    def _keep(self, _: nn.Module, __: object, tensors: Tensor) -> None:
        self.tensors = tensors

    def vectors(self, _: Tensor | None) -> Tensor:
        from torchmdnet.models.tensornet import skewtensor_to_vector

        # It builds tensors on the direction to the receiver, ours to the sender.
        return -skewtensor_to_vector(self.tensors)


def _interleaved(blocks: list[Tensor], n_heads: int) -> Tensor:
    """Join blocks so that those of a head stand together."""
    split = [b.unflatten(0, (n_heads, -1)) for b in blocks]
    return torch.stack(split, dim=1).flatten(0, 2)


def _load(source: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    missing, unexpected = source.load_state_dict(state, strict=False)
    left = [name for name in missing if name != "distance.box"]
    if left or unexpected:
        raise ValueError(f"weights do not fit torchmd-net's: {left} {unexpected}")
    return source


def _et(model: Backbone) -> nn.Module:
    from torchmdnet.models.torchmd_et import TorchMD_ET

    spec, ours = model.spec, model.state_dict()
    source = TorchMD_ET(
        hidden_channels=spec.n_channels,
        num_layers=spec.n_layers,
        num_rbf=spec.n_rbf,
        num_heads=spec.n_heads,
        neighbor_embedding=False,
        cutoff_upper=spec.cutoff,
        max_z=spec.max_z,
        vector_cutoff=spec.smooth,
    )
    state = {
        "embedding.weight": ours["embedding.weight"],
        "distance_expansion.means": ours["basis.means"],
        "distance_expansion.betas": ours["basis.betas"],
        "out_norm.weight": ours["output_norm.weight"],
        "out_norm.bias": ours["output_norm.bias"],
    }
    for n in range(spec.n_layers):
        old, new = f"layers.{n}.", f"attention_layers.{n}."
        state[f"{new}vec_proj.weight"] = ours[f"{old}vector_proj.weight"]
        for kind in ("weight", "bias"):
            state[f"{new}layernorm.{kind}"] = ours[f"{old}norm.{kind}"]
            state[f"{new}o_proj.{kind}"] = ours[f"{old}output_proj.{kind}"]
            query, key, scalar, direction, vector = ours[
                f"{old}node_proj.{kind}"
            ].chunk(5)
            blocks = [scalar, vector, direction]
            state[f"{new}q_proj.{kind}"] = query
            state[f"{new}k_proj.{kind}"] = key
            state[f"{new}v_proj.{kind}"] = _interleaved(blocks, spec.n_heads)
            key, scalar, direction, vector = ours[f"{old}filter_proj.{kind}"].chunk(4)
            blocks = [scalar, vector, direction]
            state[f"{new}dk_proj.{kind}"] = key
            state[f"{new}dv_proj.{kind}"] = _interleaved(blocks, spec.n_heads)
    return _Wrapped(_load(source, state))


def _tensornet(model: Backbone) -> nn.Module:
    from torchmdnet.models import tensornet

    # Its plain implementation: the kernels are for a GPU.
    tensornet.OPT = False
    for name in ("compose_tensor", "decompose_tensor"):
        setattr(tensornet, name, getattr(tensornet, f"_{name}"))
    for group in ("o3", "so3"):
        plain = getattr(tensornet, f"_tensor_matmul_{group}")
        setattr(tensornet, f"tensor_matmul_{group}", plain)
    spec, ours = model.spec, model.state_dict()
    source = tensornet.TensorNet(
        hidden_channels=spec.n_channels,
        num_layers=spec.n_layers,
        num_rbf=spec.n_rbf,
        trainable_rbf=True,
        cutoff_upper=spec.cutoff,
        max_z=spec.max_z,
        static_shapes=False,
    )
    first = "tensor_embedding."
    state = {
        "distance_expansion.means": ours["basis.means"],
        "distance_expansion.betas": ours["basis.betas"],
        f"{first}emb.weight": ours["embedding.element.weight"],
    }
    parts = ("scalar", "vector", "symmetric")
    for kind in ("weight", "bias"):
        state[f"{first}emb2.{kind}"] = ours[f"embedding.pair_proj.{kind}"]
        filters = ours[f"embedding.filter_proj.{kind}"].chunk(3)
        for k, block in enumerate(filters, start=1):
            state[f"{first}distance_proj{k}.{kind}"] = block
        state[f"{first}init_norm.{kind}"] = ours[f"embedding.norm.{kind}"]
        for k, at in enumerate((0, 2)):
            state[f"{first}linears_scalar.{k}.{kind}"] = ours[
                f"embedding.gate.{at}.{kind}"
            ]
        state[f"out_norm.{kind}"] = ours[f"output_norm.{kind}"]
        state[f"linear.{kind}"] = ours[f"output_proj.{kind}"]
        for n in range(spec.n_layers):
            for k, at in enumerate((0, 2, 4)):
                state[f"layers.{n}.linears_scalar.{k}.{kind}"] = ours[
                    f"layers.{n}.filter_net.{at}.{kind}"
                ]
    for k, part in enumerate(parts):
        mix = ours[f"embedding.mix.{part}.weight"]
        state[f"{first}linears_tensor.{k}.weight"] = mix
        for n in range(spec.n_layers):
            for at, mix_name in ((k, "mix_before"), (k + 3, "mix_after")):
                state[f"layers.{n}.linears_tensor.{at}.weight"] = ours[
                    f"layers.{n}.{mix_name}.{part}.weight"
                ]
    return _WrappedTensorNet(_load(source, state))
