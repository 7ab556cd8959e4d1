"""Pre-training by denoising: data sets, task, trainer, model cards.

Names are looked up when they are asked for, so that building a peptide loads
neither torch nor RDKit.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ConformerSettings": "conformers",
    "Denoiser": "denoiser",
    "DenoisingError": "evaluate",
    "Molecule": "molecules",
    "Packed": "packed",
    "PeptideSettings": "peptide_md",
    "RunConfig": "config",
    "Source": "packed",
    "Trainer": "trainer",
    "build_dataset": "datasets",
    "build_peptide": "peptides",
    "conformers": "conformers",
    "denoising_error": "evaluate",
    "excluded_keys": "exclusion",
    "export": "export",
    "load_denoiser": "export",
    "load_packed": "packed",
    "merge": "packed",
    "pack": "packed",
    "peptides": "peptide_md",
    "read_config": "config",
    "run_pretraining": "run",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
