"""Published checkpoints give their source's features, and nothing else is believed."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layout import FEATURES, LAYERS, ROOT, random_state, save_random

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import ModelSpec, build_model, load_model, read_published
from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.testing import (
    assert_equivariant,
    assert_parity,
    compute_features,
    relative_error,
)

FILES = {
    "et": "et_l6_h64_rbf64_r75.pth",
    "visnet": "visnet_l6_h64_rbf64_r75.pth",
    "tensornet": "tensornet_l3_h64_rbf32_r5.pth",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Files of the published layouts with random weights."""
    folder = tmp_path_factory.mktemp("published")
    return {name: save_random(name, folder / file) for name, file in FILES.items()}


@pytest.fixture(scope="module")
def cluster() -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (A,) and positions (A, 3), some pairs beyond every cutoff."""
    rng = np.random.default_rng(4)
    return rng.choice([1, 6, 7, 8, 16], 14), rng.uniform(0, 7, (14, 3))


@pytest.mark.parametrize("name", FILES)
def test_goldens(name, shared):
    """The published files themselves: every engine, the source's own results."""
    path = shared / "checkpoints" / FILES[name]
    for system in ("aladip", "villin35") if name == "et" else ("aladip",):
        golden = np.load(shared / "golden" / f"golden_{name}_{system}.npz")
        numbers, positions = golden["z"], golden["pos"]
        exact = load_model(path).to(torch.float64)
        few = slice(0, 1) if system == "villin35" else slice(None)
        got = compute_features(exact, numbers, positions[few])
        assert_parity(got, (golden["x"][few], golden["v"][few]), 1e-10)
        for engine in ("torch", "cpu"):
            got = make_engine(load_model(path), engine=engine)
            scalars, vectors = got.compute(numbers, positions)
            # The engines' own limit; the contract asks for 1e-5.
            assert relative_error(scalars, golden["x"]) < 5e-6, (system, engine)
            assert relative_error(vectors, golden["v"]) < 5e-6, (system, engine)

    def kinds(state):
        names = (n for n in state if n.startswith(ROOT))
        return {re.sub(r"layers\.\d+", "layers.N", n) for n in names}

    state = torch.load(path, weights_only=True, map_location="cpu")
    assert kinds(state) == kinds(random_state(name))


@pytest.mark.parametrize("name", FILES)
def test_random_weights_give_the_features_of_the_papers(name, checkpoints, cluster):
    numbers, positions = cluster
    expected = FEATURES[name](random_state(name), numbers, positions)
    expected = expected[0][None], expected[1][None]
    for dtype, rtol in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = load_model(checkpoints[name]).to(dtype)
        assert_parity(compute_features(model, numbers, positions[None]), expected, rtol)


@pytest.mark.parametrize("name", FILES)
def test_published_networks_are_equivariant(name, checkpoints, cluster):
    numbers, positions = cluster
    model, _ = read_published(checkpoints[name])
    frames = np.stack([positions, positions[::-1]])
    assert_equivariant(model.double(), numbers, frames)


def test_sizes_come_from_the_tensors_not_the_name(checkpoints, tmp_path):
    misleading = tmp_path / "tensornet_l2_h128_rbf16_r3.pth"
    misleading.write_bytes(checkpoints["et"].read_bytes())
    model, card = read_published(misleading)
    spec = model.spec
    assert (spec.architecture, spec.n_layers, spec.n_channels) == ("et", 3, 16)
    assert (spec.n_rbf, spec.cutoff, spec.smooth) == (12, 7.5, False)
    assert card["assumed"]["n_heads"] == 8
    assert "output_model_noise" in card["left_out"]


def test_layers_are_counted(checkpoints, tmp_path):
    state = torch.load(checkpoints["et"], weights_only=True, map_location="cpu")
    short = {k: v for k, v in state.items() if "attention_layers.2." not in k}
    torch.save(short, tmp_path / "short.pth")
    assert read_published(tmp_path / "short.pth")[0].spec.n_layers == 2
    assert LAYERS["et"] == 3
    gap = {k: v for k, v in state.items() if "attention_layers.1." not in k}
    torch.save(gap, tmp_path / "gap.pth")
    with pytest.raises(InputError, match=r"\[0, 2\], with a gap"):
        read_published(tmp_path / "gap.pth")


@pytest.mark.parametrize("name", FILES)
def test_missing_extra_and_misshapen_tensors(name, checkpoints, tmp_path):
    path = tmp_path / "changed.pth"
    state = torch.load(checkpoints[name], weights_only=True, map_location="cpu")
    keys = [k for k in state if k.startswith("representation_model") and "0" in k]
    for victim in (keys[0], keys[len(keys) // 2], keys[-1]):
        torch.save({k: v for k, v in state.items() if k != victim}, path)
        with pytest.raises(InputError, match=f"lacks the tensor {victim}"):
            read_published(path)
        torch.save({**state, victim: state[victim][:-1].clone()}, path)
        with pytest.raises(InputError, match=f"has {victim} with shape"):
            read_published(path)
    extra = "representation_model.neighbor_embedding_2.weight"
    torch.save({**state, extra: torch.zeros(3)}, path)
    with pytest.raises(InputError, match=f"unknown kind \\({extra}"):
        read_published(path)
    torch.save({**state, "encoder.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="unknown kind"):
        read_published(path)
    state[keys[0]].view(-1)[0] = float("nan")
    torch.save(state, path)
    with pytest.raises(InputError, match="that are not finite numbers"):
        read_published(path)


def test_heads_and_cutoff_that_contradict(checkpoints):
    with pytest.raises(InputError, match="n_heads=7"):
        read_published(checkpoints["et"], n_heads=7)
    with pytest.raises(InputError, match=r"trained with a cutoff of 5.0 Å, not 7.5"):
        read_published(checkpoints["tensornet"], cutoff=7.5)


def test_trained_basis_asks_for_the_cutoff(checkpoints, tmp_path):
    state = torch.load(checkpoints["et"], weights_only=True, map_location="cpu")
    state["representation_model.distance_expansion.means"] += 0.01
    torch.save(state, tmp_path / "trained.pth")
    with pytest.raises(InputError, match="trained radial basis"):
        read_published(tmp_path / "trained.pth")
    assert read_published(tmp_path / "trained.pth", cutoff=7.5)[0].spec.cutoff == 7.5


class Malicious:
    """Runs a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("modern", [True, False])
def test_malicious_pickle_is_refused_unexecuted(modern, tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "weights.pth"
    torch.save(
        {"a": torch.zeros(2), "b": Malicious(marker)},
        path,
        _use_new_zipfile_serialization=modern,
    )
    said = r"more than weights \((posix|nt)\.system\), so it was not opened"
    with pytest.raises(InputError, match=said if modern else "not a checkpoint"):
        load_model(path)
    assert not marker.exists()


def test_bare_pickle_is_refused_unexecuted(tmp_path):
    marker, path = tmp_path / "executed", tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(InputError, match=r"not a checkpoint that torch.save wrote"):
        load_model(path)
    assert not marker.exists()


def rewrite_pickle(source: Path, target: Path, change) -> None:
    """Copy a torch archive with its pickle changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            payload = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                payload = change(payload)
            new.writestr(entry.filename, payload)


def test_declared_sizes_are_compared_with_the_file(tmp_path):
    """A storage that claims more than the file holds would be read out of bounds."""
    path, forged = tmp_path / "a.pth", tmp_path / "forged.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    old, new = b"M\xe8\x03", b"M\xff\xff"  # the 16-bit integers 1000 and 65535

    def claim(payload: bytes) -> bytes:
        assert payload.count(old) == 2
        return payload.replace(old, new)

    rewrite_pickle(path, forged, claim)
    with pytest.raises(InputError, match=r"declares 262140 bytes .* and holds 4000"):
        load_model(forged)

    def stretch(payload: bytes) -> bytes:
        head, tail = payload.rsplit(old, 1)  # the shape alone
        return head + new + tail

    rewrite_pickle(path, forged, stretch)
    with pytest.raises(InputError, match=r"shape \(65535,\) in 1000 stored values"):
        load_model(forged)


def test_expanded_tensor_cannot_ask_for_memory(tmp_path):
    """A view of one number as a terabyte is refused, not materialised."""
    path = tmp_path / "huge.pth"
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, path)
    with pytest.raises(InputError, match="in 1 stored values"):
        load_model(path)


def test_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 10**6)
    with pytest.raises(InputError, match="compressed archive"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checkpoint"),
        (b"ATOM      1  N   ALA A   1", "not a checkpoint"),
        (b"PK\x03\x04" + b"\0" * 50, "not a checkpoint"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_model(path)


def test_damaged_checkpoint(tmp_path):
    good, path = tmp_path / "good.pth", tmp_path / "cut.pth"
    torch.save({"a": torch.zeros(1000)}, good)
    path.write_bytes(good.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"not a checkpoint|cannot be read"):
        load_model(path)
    rewrite_pickle(good, path, lambda payload: payload[:40])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(3)}, "unknown network"),
        ({}, "no weights"),
        ([torch.zeros(3)], "holds a list and no weights"),
        ({"a": 3}, "holds int under 'a'"),
        ({1: torch.zeros(3)}, "holds Tensor under 1"),
    ],
)
def test_other_contents_are_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "w.pth")


def test_whole_module_is_refused(tmp_path):
    torch.save(build_model(ModelSpec(n_layers=1), seed=0), tmp_path / "module.pth")
    with pytest.raises(InputError, match="holds more than weights"):
        load_model(tmp_path / "module.pth")
