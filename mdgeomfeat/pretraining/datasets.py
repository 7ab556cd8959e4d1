"""From a TOML table of sources to one packed file."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import files
from .conformers import ConformerSettings, conformers, read_smiles
from .packed import Source, pack
from .peptide_md import PeptideSettings, peptides

__all__ = ["KINDS", "build_dataset", "open_source"]


def _conformers(name: str, options: dict[str, Any], about: dict[str, Any]) -> Source:
    paths = options.pop("files")
    seed = options.get("seed", 0)
    smiles = [text for path in paths for text in read_smiles(path)]
    # Files are sorted by origin; a part of them should not be one origin's.
    random.Random(seed).shuffle(smiles)
    about = {"files": [Path(path).name for path in paths], **about}
    if "temperatures" in options:
        options["temperatures"] = tuple(options["temperatures"])
    return conformers(smiles, ConformerSettings(**options), name=name, about=about)


def _peptides(name: str, options: dict[str, Any], about: dict[str, Any]) -> Source:
    if "temperatures" in options:
        options["temperatures"] = tuple(options["temperatures"])
    return peptides(PeptideSettings(**options), name=name, about=about)


#: Builders and readers by the word that a configuration names them with.
KINDS = {"conformers": _conformers, "peptides": _peptides, **files.READERS}


def open_source(table: dict[str, Any], root: Path) -> Source:
    """Open one source of a configuration.

    Parameters
    ----------
    table : dict
        ``kind`` (of `KINDS`), ``name``, ``licence``, ``origin`` and the options of
        the builder or reader.
    root : Path
        Relative ``file`` and ``files`` start here.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If the kind is unknown or an option does not exist.
    """
    options = dict(table)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise InputError(
            f"kind={kind!r} is not a data source; choose one of "
            f"{', '.join(sorted(KINDS))}"
        )
    name = options.pop("name", kind)
    about: dict[str, Any] = {
        key: options.pop(key) for key in ("licence", "origin") if key in options
    }
    for key in ("file", "files"):
        given = options.get(key)
        if isinstance(given, str):
            options[key] = str(root / given)
        elif given is not None:
            options[key] = [str(root / path) for path in given]
    try:
        return KINDS[kind](name, options, about)
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the source {name!r} of kind {kind!r} has a wrong or missing option: "
            f"{error}"
        ) from error


def build_dataset(
    config: str | Path,
    out: str | Path,
    *,
    root: str | Path | None = None,
    only: list[str] | None = None,
    evaluation: bool = False,
) -> dict[str, Any]:
    """Build the packed file that a TOML file describes.

    Parameters
    ----------
    config : path
        Holds ``[[source]]`` tables (see `open_source`).
    out : path
        ``.npz`` to write; the manifest stands beside it.
    root : path, optional
        Where relative paths of the configuration start; its folder by default.
    only : list of str, optional
        Names of the sources to build, all by default.
    evaluation : bool
        Keep the molecules on the exclusion list: for data that models are judged
        on, never for training.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If the configuration cannot be read, names no source or one with wrong options,
        or a package that a source needs is missing.
    """
    config = Path(config)
    try:
        tables = tomllib.loads(config.read_text()).get("source", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"the data configuration {config} cannot be read: {error}"
        ) from error
    if only is not None:
        tables = [t for t in tables if t.get("name", t.get("kind")) in only]
    if not tables:
        raise InputError(f"{config} names no [[source]] to build")
    base = config.parent if root is None else Path(root)
    exclude = frozenset[str]() if evaluation else None
    try:
        sources = [open_source(table, base) for table in tables]
        return pack(sources, out, exclude=exclude)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, which these sources need; install it "
            "with: pip install 'mdgeomfeat[pretraining]'"
        ) from error
