"""From the published checkpoints' tensors to our networks.

Sizes and the cutoff are read from the tensors, never from a file's name. What
tensors cannot show (the number of heads, ViSNet's degree and norm, the training
elements) is assumed as published, can be given, and is written in the card.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.build import build_model
from mdgeomfeat.gnn.radial import ExpNormBasis
from mdgeomfeat.gnn.spec import ModelSpec
from mdgeomfeat.gnn.torch_files import read_state_dict

__all__ = ["PUBLISHED_ELEMENTS", "read_published"]

#: OrbNet-Denali, what the published networks were trained on:
#: H Li B C N O F Na Mg Si P S Cl K Ca Br I.
PUBLISHED_ELEMENTS: Final = (
    *(1, 3, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 19, 20, 35, 53),
)

_ROOT: Final = "representation_model."
# Output heads and statistics of the pre-training task.
_HEADS: Final = re.compile(
    r"(output_model\w*|vec_out|prior_model|pos_normalizer)\.|(mean|std)$"
)


class _Tensors:
    """Tensors of a checkpoint, taken out one by one with their shapes checked."""

    def __init__(self, tensors: dict[str, Tensor], path: Path) -> None:
        self.path = path
        heads = {name.split(".")[0] for name in tensors if _HEADS.match(name)}
        self.heads = sorted(heads)
        self._left = {k: v for k, v in tensors.items() if not _HEADS.match(k)}

    def __contains__(self, name: str) -> bool:
        return _ROOT + name in self._left

    def shape(self, name: str, n_dims: int) -> tuple[int, ...]:
        """Return the shape of a tensor that tells a size."""
        tensor = self._left.get(_ROOT + name)
        if tensor is None:
            raise self._error(f"lacks the tensor {_ROOT}{name}")
        if tensor.ndim != n_dims or 0 in tensor.shape:
            raise self._error(
                f"has {_ROOT}{name} with shape {tuple(tensor.shape)}, where "
                f"{n_dims} dimensions are expected"
            )
        return tuple(tensor.shape)

    def count(self, stem: str) -> int:
        """Return the number of layers, which are named stem.0, stem.1 and so on."""
        pattern = re.compile(re.escape(_ROOT + stem) + r"\.(\d+)\.")
        found = {int(m.group(1)) for m in map(pattern.match, self._left) if m}
        if found != set(range(len(found))):
            raise self._error(f"has {stem} numbered {sorted(found)}, with a gap")
        return len(found)

    def take(self, name: str, *shape: int) -> Tensor:
        """Remove and return a tensor of the given shape, as float32."""
        tensor = self._left.pop(_ROOT + name, None)
        if tensor is None:
            raise self._error(f"lacks the tensor {_ROOT}{name}")
        if tuple(tensor.shape) != shape:
            raise self._error(
                f"has {_ROOT}{name} with shape {tuple(tensor.shape)} where the other "
                f"tensors ask for {shape}"
            )
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise self._error(
                f"has values in {_ROOT}{name} that are not finite numbers"
            )
        return tensor.detach().to(torch.float32)

    def finish(self) -> None:
        """Refuse tensors that nothing took."""
        if self._left:
            names = ", ".join(sorted(self._left)[:3])
            more = f" and {len(self._left) - 3} more" if len(self._left) > 3 else ""
            raise self._error(f"has tensors of an unknown kind ({names}{more})")

    def _error(self, what: str) -> InputError:
        return InputError(
            f"{self.path} {what}; give a checkpoint of a published ET, ViSNet or "
            "TensorNet backbone."
        )


def _cutoff(path: Path, means: Tensor, betas: Tensor, given: float | None) -> float:
    """Return the cutoff that the radial basis was made for."""
    first = float(means.min())
    stored = round(-math.log(first), 3) if 0 < first < 1 else math.nan
    untrained = False
    if 0.5 <= stored <= 50:
        initial = torch.stack(ExpNormBasis.initial(stored, len(means)))
        untrained = torch.allclose(torch.stack([means, betas]), initial, rtol=1e-3)
    if not untrained:
        if given is None:
            raise InputError(
                f"{path} has a trained radial basis, so the cutoff cannot be read from "
                "it; give the cutoff."
            )
        return float(given)
    if given is not None and abs(given - stored) > 2e-3:
        raise InputError(
            f"{path} was trained with a cutoff of {stored} Å, not {given} Å; leave the "
            "cutoff out."
        )
    return stored


def _linear(
    state: dict[str, Tensor], name: str, parts: Sequence[tuple[Tensor, Tensor | None]]
) -> None:
    """Store the (weight, bias) of projections stacked into one."""
    state[f"{name}.weight"] = torch.cat([weight for weight, _ in parts])
    biases = [bias for _, bias in parts if bias is not None]
    if biases:
        state[f"{name}.bias"] = torch.cat(biases)


def _by_head(values: Tensor, n_heads: int) -> tuple[Tensor, ...]:
    """Split rows ordered head, block, channel into three blocks of all heads."""
    rows = values.shape[0] // 3
    split = values.reshape(n_heads, 3, rows // n_heads, *values.shape[1:])
    return tuple(split[:, n].reshape(rows, *values.shape[1:]) for n in range(3))


def _convert_et(tensors: _Tensors, spec: ModelSpec, state: dict[str, Tensor]) -> None:
    C, R = spec.n_channels, spec.n_rbf
    state["embedding.weight"] = tensors.take("embedding.weight", spec.max_z, C)
    for kind in ("weight", "bias"):
        state[f"output_norm.{kind}"] = tensors.take(f"out_norm.{kind}", C)
    for n in range(spec.n_layers):
        old, new = f"attention_layers.{n}.", f"layers.{n}."
        for kind, inner, radial in (("weight", (C,), (R,)), ("bias", (), ())):
            state[f"{new}norm.{kind}"] = tensors.take(f"{old}layernorm.{kind}", C)
            query = tensors.take(f"{old}q_proj.{kind}", C, *inner)
            key = tensors.take(f"{old}k_proj.{kind}", C, *inner)
            values = tensors.take(f"{old}v_proj.{kind}", 3 * C, *inner)
            scalar, vector, direction = _by_head(values, spec.n_heads)
            state[f"{new}node_proj.{kind}"] = torch.cat(
                [query, key, scalar, direction, vector]
            )
            key = tensors.take(f"{old}dk_proj.{kind}", C, *radial)
            values = tensors.take(f"{old}dv_proj.{kind}", 3 * C, *radial)
            scalar, vector, direction = _by_head(values, spec.n_heads)
            state[f"{new}filter_proj.{kind}"] = torch.cat(
                [key, scalar, direction, vector]
            )
            state[f"{new}output_proj.{kind}"] = tensors.take(
                f"{old}o_proj.{kind}", 3 * C, *inner
            )
        state[f"{new}vector_proj.weight"] = tensors.take(
            f"{old}vec_proj.weight", 3 * C, C
        )


def _convert_visnet(
    tensors: _Tensors, spec: ModelSpec, state: dict[str, Tensor]
) -> None:
    C, R = spec.n_channels, spec.n_rbf

    def pair(name: str, n_out: int, n_in: int) -> tuple[Tensor, Tensor]:
        weight = tensors.take(f"{name}.weight", n_out, n_in)
        return weight, tensors.take(f"{name}.bias", n_out)

    state["embedding.weight"] = tensors.take("embedding.weight", spec.max_z, C)
    state["neighbor_embedding.element.weight"] = tensors.take(
        "neighbor_embedding.embedding.weight", spec.max_z, C
    )
    around = "neighbor_embedding"
    _linear(state, f"{around}.filter_proj", [pair(f"{around}.distance_proj", C, R)])
    _linear(state, f"{around}.combine", [pair(f"{around}.combine", C, 2 * C)])
    _linear(state, "edge_embedding", [pair("edge_embedding.edge_proj", C, R)])
    for kind in ("weight", "bias"):
        state[f"output_norm.{kind}"] = tensors.take(f"out_norm.{kind}", C)
    state["output_vector_norm.weight"] = tensors.take("vec_out_norm.weight", C)
    for n in range(spec.n_layers):
        old, new = f"vis_mp_layers.{n}.", f"layers.{n}."
        for kind in ("weight", "bias"):
            state[f"{new}norm.{kind}"] = tensors.take(f"{old}layernorm.{kind}", C)
        state[f"{new}vector_norm.weight"] = tensors.take(
            f"{old}vec_layernorm.weight", C
        )
        fused = {"node_proj": "q_proj k_proj v_proj", "filter_proj": "dk_proj dv_proj"}
        for name, parts in fused.items():
            pairs = [pair(old + part, C, C) for part in parts.split()]
            _linear(state, new + name, pairs)
        _linear(state, f"{new}message_proj", [pair(f"{old}s_proj", 2 * C, C)])
        _linear(state, f"{new}output_proj", [pair(f"{old}o_proj", 3 * C, C)])
        state[f"{new}vector_proj.weight"] = tensors.take(
            f"{old}vec_proj.weight", 3 * C, C
        )
        if n < spec.n_layers - 1:
            _linear(state, f"{new}edge_gate", [pair(f"{old}f_proj", C, C)])
            ends = [
                (tensors.take(f"{old}w_{end}_proj.weight", C, C), None)
                for end in ("trg", "src")
            ]
            _linear(state, f"{new}edge_vector_proj", ends)


def _by_part(values: Tensor) -> Tensor:
    """Reorder rows from channel, part to part, channel."""
    reordered: Tensor = (
        values.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1).contiguous()
    )
    return reordered


def _convert_tensornet(
    tensors: _Tensors, spec: ModelSpec, state: dict[str, Tensor]
) -> None:
    C, R = spec.n_channels, spec.n_rbf

    def pair(name: str, n_out: int, n_in: int) -> tuple[Tensor, Tensor]:
        weight = tensors.take(f"{name}.weight", n_out, n_in)
        return weight, tensors.take(f"{name}.bias", n_out)

    def partwise(new: str, old: str, first: int) -> None:
        for n, part in enumerate(("scalar", "vector", "symmetric"), start=first):
            state[f"{new}.{part}.weight"] = tensors.take(
                f"{old}.linears_tensor.{n}.weight", C, C
            )

    old, new = "tensor_embedding", "embedding"
    state[f"{new}.element.weight"] = tensors.take(f"{old}.emb.weight", spec.max_z, C)
    _linear(state, f"{new}.pair_proj", [pair(f"{old}.emb2", C, 2 * C)])
    filters = [pair(f"{old}.distance_proj{n}", C, R) for n in (1, 2, 3)]
    _linear(state, f"{new}.filter_proj", filters)
    for kind in ("weight", "bias"):
        state[f"{new}.norm.{kind}"] = tensors.take(f"{old}.init_norm.{kind}", C)
        state[f"output_norm.{kind}"] = tensors.take(f"out_norm.{kind}", 3 * C)
    _linear(state, f"{new}.gate.0", [pair(f"{old}.linears_scalar.0", 2 * C, C)])
    weight, bias = pair(f"{old}.linears_scalar.1", 3 * C, 2 * C)
    _linear(state, f"{new}.gate.2", [(_by_part(weight), _by_part(bias))])
    partwise(f"{new}.mix", old, 0)
    _linear(state, "output_proj", [pair("linear", C, 3 * C)])
    for n in range(spec.n_layers):
        layer = f"layers.{n}"
        net = f"{layer}.linears_scalar"
        _linear(state, f"{layer}.filter_net.0", [pair(f"{net}.0", C, R)])
        _linear(state, f"{layer}.filter_net.2", [pair(f"{net}.1", 2 * C, C)])
        weight, bias = pair(f"{net}.2", 3 * C, 2 * C)
        _linear(state, f"{layer}.filter_net.4", [(_by_part(weight), _by_part(bias))])
        partwise(f"{layer}.mix_before", layer, 0)
        partwise(f"{layer}.mix_after", layer, 3)


_Converter = Callable[[_Tensors, ModelSpec, dict[str, Tensor]], None]
# For each architecture: the stem of its layers, its element table, its converter.
_KNOWN: Final[dict[str, tuple[str, str, _Converter]]] = {
    "et": ("attention_layers", "embedding.weight", _convert_et),
    "visnet": ("vis_mp_layers", "embedding.weight", _convert_visnet),
    "tensornet": ("layers", "tensor_embedding.emb.weight", _convert_tensornet),
}


def read_published(
    path: str | Path,
    *,
    n_heads: int = 8,
    lmax: int = 1,
    vector_norm: str = "max_min",
    cutoff: float | None = None,
    elements: Sequence[int] | None = PUBLISHED_ELEMENTS,
) -> tuple[Backbone, dict[str, Any]]:
    """Read a published checkpoint of ET, ViSNet or TensorNet.

    Parameters
    ----------
    path : path
        State dictionary that ``torch.save`` wrote.
    n_heads : int
        Attention heads of ET and ViSNet; tensors do not show them.
    lmax, vector_norm : int, str
        Degree and norm of ViSNet; tensors do not show them.
    cutoff : float, Å, optional
        Only where the radial basis was trained and does not show it.
    elements : sequence of int or None
        Atomic numbers seen in training; tensors do not show them.

    Returns
    -------
    model : Backbone
        In the published form (``smooth=False``), in evaluation mode.
    card : dict
        Also ``model.card``; names what was assumed and what was left out.

    Raises
    ------
    InputError
        If the file is not such a checkpoint, or its tensors contradict each other.
    """
    path = Path(path)
    tensors = _Tensors(read_state_dict(path), path)
    matches = [
        name
        for name, (stem, table, _) in _KNOWN.items()
        if table in tensors and tensors.count(stem)
    ]
    if len(matches) != 1:
        raise InputError(
            f"{path} holds weights of an unknown network; give a checkpoint of a "
            "published ET, ViSNet or TensorNet."
        )
    architecture = matches[0]
    stem, table, convert = _KNOWN[architecture]
    visnet = architecture == "visnet"
    assumed: dict[str, Any] = {"elements": None if elements is None else [*elements]}
    if architecture != "tensornet":
        assumed["n_heads"] = n_heads
    if visnet:
        assumed |= {"lmax": lmax, "vector_norm": vector_norm}
    max_z, n_channels = tensors.shape(table, 2)
    (n_rbf,) = tensors.shape("distance_expansion.means", 1)
    means = tensors.take("distance_expansion.means", n_rbf)
    betas = tensors.take("distance_expansion.betas", n_rbf)
    state = {"basis.means": means, "basis.betas": betas}
    spec = ModelSpec(
        architecture=architecture,
        n_channels=n_channels,
        n_layers=tensors.count(stem),
        n_heads=1 if architecture == "tensornet" else n_heads,
        n_rbf=n_rbf,
        cutoff=_cutoff(path, means, betas, cutoff),
        smooth=False,
        lmax=lmax if visnet else 1,
        vector_norm=vector_norm if visnet else "none",
        elements=None if elements is None else tuple(elements),
        max_z=max_z,
    )
    convert(tensors, spec, state)
    tensors.finish()
    with torch.device("meta"):
        model = build_model(spec)
    model.load_state_dict(state, strict=True, assign=True)
    model.card = {
        "name": path.stem,
        "description": f"Imported from the published checkpoint {path.name}.",
        "source": {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        },
        "assumed": assumed,
        "left_out": tensors.heads,
        "spec": spec.to_dict(),
        "fingerprint": model.fingerprint,
    }
    return model.eval(), model.card
