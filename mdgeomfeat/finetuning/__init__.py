"""Fine-tuning: labels, splits, heads, the task in the training loop, evaluation.

Names are looked up when they are asked for, so that reading labels loads no network.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "FineTuning": "trainer",
    "FinetuneConfig": "config",
    "HeadSpec": "model",
    "LabelConfig": "config",
    "LabelledSet": "labels",
    "NetworkConfig": "config",
    "Parts": "parts",
    "PropertyModel": "model",
    "SplitConfig": "config",
    "TuningConfig": "config",
    "calculator": "dynamics",
    "check_leaks": "parts",
    "energy_drift": "dynamics",
    "finetune": "run",
    "from_graphs": "labels",
    "load_finetuned": "export",
    "predict": "evaluate",
    "read_finetune_config": "config",
    "read_labels": "readers",
    "seen_molecules": "splits",
    "split": "splits",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
