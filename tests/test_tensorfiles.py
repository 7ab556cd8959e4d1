"""Safetensors files: the same content gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save
from safetensors.torch import save as save_torch

import mdgeomfeat
from mdgeomfeat.tensorfiles import hash_file, save_tensors, save_with_card

WEIGHTS = sorted((Path(mdgeomfeat.__file__).parent / "weights").glob("*.safetensors"))
TENSORS = {
    "b": np.arange(6.0).reshape(2, 3).T,
    "a": np.float32(1.5),
    "c.d": np.array([[1, 2]], dtype=np.int64),
}
HEADER = {f"key {i}": f'{{"value": "é\\n{i}"}}' for i in range(12)}


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "some.safetensors"
    save_tensors(path, TENSORS, HEADER)
    read = load_file(path)
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].shape == np.shape(tensor)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == HEADER


def test_the_order_of_a_header_does_not_change_the_file(tmp_path):
    def written(header):
        save_tensors(tmp_path / "some.safetensors", TENSORS, header)
        return (tmp_path / "some.safetensors").read_bytes()

    expected = written(HEADER)
    # safetensors draws an order anew for every file: twelve entries hardly ever agree
    plain = {save({"a": np.zeros(1)}, HEADER) for _ in range(5)}
    assert len(plain) > 1
    for _ in range(5):
        assert written(dict(reversed(HEADER.items()))) == expected


def test_the_tensors_begin_where_they_can_be_mapped(tmp_path):
    for n in range(1, 17):
        path = tmp_path / "some.safetensors"
        save_tensors(path, {"x": np.full(3, 7.0)}, {"k": "v" * n, "l": "é"})
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        assert size % 8 == 0
        json.loads(data[8 : 8 + size])
        assert np.frombuffer(data[8 + size :]).tolist() == [7.0] * 3


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_a_shipped_network_is_written_with_the_bytes_of_its_card(path, tmp_path):
    card = json.loads(path.with_suffix(".json").read_text())
    save_with_card(tmp_path / "same.safetensors", load_file(path), str)
    assert hash_file(tmp_path / "same.safetensors") == card["sha256"]


def test_tensors_of_torch_give_the_bytes_that_safetensors_gives(tmp_path):
    tensors = {"w": torch.randn(3, 4).T, "s": torch.tensor(2.0)}
    save_tensors(tmp_path / "t", {k: v.numpy() for k, v in tensors.items()})
    expected = save_torch({k: v.contiguous() for k, v in tensors.items()})
    assert (tmp_path / "t").read_bytes() == expected


def test_a_card_knows_the_file_it_describes(tmp_path):
    path = tmp_path / "new" / "some.safetensors"
    save_with_card(path, TENSORS, lambda sha256: f"of {sha256}")
    assert path.with_suffix(".json").read_text() == f"of {hash_file(path)}"
    assert len(list(path.parent.iterdir())) == 2


def test_a_card_that_cannot_be_made_leaves_the_files_that_were_there(tmp_path):
    path = tmp_path / "some.safetensors"
    save_with_card(path, TENSORS, lambda _: "first")
    before = path.read_bytes()

    def refuse(_):
        raise ValueError("no card")

    with pytest.raises(ValueError, match="no card"):
        save_with_card(path, {"b": np.zeros(2)}, refuse)
    assert path.read_bytes() == before
    assert path.with_suffix(".json").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 2
