"""From a TOML table of sources to one packed file."""

from __future__ import annotations

import inspect
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from ..errors import InputError
from . import files
from .conformers import ConformerSettings, conformers, read_smiles
from .molecules import Keys
from .packed import Source, pack
from .peptide_md import PeptideSettings, peptides

__all__ = ["KINDS", "build_dataset", "open_source", "shuffled_smiles", "source_options"]


About = dict[str, Any]


def _conformers(
    name: str,
    about: About,
    keys: Keys = "smiles",  # noqa: ARG001
    *,
    files: Sequence[str],
    **options: Any,
) -> Source:
    settings = _settings(ConformerSettings, options)
    smiles = shuffled_smiles(files, settings.seed)
    about = {"files": [Path(path).name for path in files], **about}
    return conformers(smiles, settings, name=name, about=about)


def shuffled_smiles(files: Sequence[str], seed: int) -> list[str]:
    """Read SMILES files, in the order in which molecules are built from them.

    Files are sorted by origin; a part of them should not be one origin's.

    Parameters
    ----------
    files : sequence of path
    seed : int

    Returns
    -------
    list of str
    """
    smiles = [text for path in files for text in read_smiles(path)]
    random.Random(seed).shuffle(smiles)
    return smiles


def _peptides(
    name: str,
    about: About,
    keys: Keys = "smiles",  # noqa: ARG001
    **options: Any,
) -> Source:
    return peptides(_settings(PeptideSettings, options), name=name, about=about)


def _settings(kind: Any, options: dict[str, Any]) -> Any:
    """Make settings of the lists that TOML has in place of tuples and sets."""
    if "temperatures" in options:
        options["temperatures"] = tuple(options["temperatures"])
    if "elements" in options:
        options["elements"] = frozenset(options["elements"])
    return kind(**options)


#: Builders and readers by the word that a configuration names them with.
KINDS: dict[str, Callable[..., Source]] = {
    "conformers": _conformers,
    "peptides": _peptides,
    **files.READERS,
}
# They make or read molecules with RDKit, which names them then.
_OF_RDKIT = frozenset({"conformers", "peptides", "sdf"})
_SETTINGS = {"conformers": ConformerSettings, "peptides": PeptideSettings}


def source_options(kind: str) -> dict[str, bool]:
    """Return the options of a kind of source, and whether each must be given.

    Parameters
    ----------
    kind : str
        A word of `KINDS`.

    Returns
    -------
    dict of str to bool
        Without ``kind``, ``name``, ``licence`` and ``origin``, which all kinds have.
    """
    words = inspect.signature(KINDS[kind]).parameters.values()
    found = {w.name: w.default is w.empty for w in words if w.kind is w.KEYWORD_ONLY}
    if kind in _SETTINGS:
        found |= {field.name: False for field in fields(_SETTINGS[kind])}
    return found


def open_source(table: dict[str, Any], root: Path, keys: Keys = "smiles") -> Source:
    """Open one source of a configuration.

    Parameters
    ----------
    table : dict
        ``kind`` (of `KINDS`), ``name``, ``licence``, ``origin`` and the options of
        the builder or reader (see `source_options`). ``files`` is a path or a list
        of paths; ``file`` means the same.
    root : Path
        Relative paths start here.
    keys : {"smiles", "graph"}
        What molecules are named by.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If the kind is unknown, or an option does not exist, is missing or wrong.
    """
    options = dict(table)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise InputError(
            f"kind={kind!r} is not a data source; choose one of "
            f"{', '.join(sorted(KINDS))}."
        )
    name = options.pop("name", kind)
    about: About = {
        key: options.pop(key) for key in ("licence", "origin") if key in options
    }
    if "file" in options and "files" in options:
        raise InputError(
            f"The source {name!r} has both file and files, which mean the same; give "
            "one of them."
        )
    if "file" in options:
        options["files"] = options.pop("file")
    _check_options(name, kind, options)
    if keys == "graph" and kind in _OF_RDKIT:
        raise InputError(
            f"The source {name!r} of kind {kind!r} needs RDKit, which names its "
            'molecules as well; take keys = "graph" out of the configuration.'
        )
    if "files" in options:
        given = options["files"]
        listed = [given] if isinstance(given, str) else given
        options["files"] = [str(root / path) for path in listed]
    if "folder" in options:
        options["folder"] = str(root / options["folder"])
    try:
        return KINDS[kind](name, about, keys, **options)
    except TypeError as error:
        raise InputError(
            f"The source {name!r} of kind {kind!r} has an option of a wrong type: "
            f"{error}."
        ) from error


def _check_options(name: str, kind: str, options: dict[str, Any]) -> None:
    """Refuse options that a kind of source does not have, or lacks."""
    known = source_options(kind)
    wrong = [
        *(f"{word} is unknown" for word in options if word not in known),
        *(
            f"{w} is missing"
            for w, needed in known.items()
            if needed and w not in options
        ),
    ]
    if wrong:
        raise InputError(
            f"The source {name!r} of kind {kind!r} cannot be used: {', '.join(wrong)}; "
            f"its options are {', '.join(known)}, and kind, name, licence and origin."
        )


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
        Holds ``[[source]]`` tables (see `open_source`), and above them, perhaps,
        ``keys``: ``"smiles"`` (the default) or ``"graph"``, which needs no RDKit.
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
        stated = tomllib.loads(config.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"The data configuration {config} cannot be read: {error}."
        ) from error
    tables, keys = stated.get("source", []), stated.get("keys", "smiles")
    if keys not in get_args(Keys):
        raise InputError(
            f"{config} has keys = {keys!r}, which is not a way to distinguish "
            'molecules; choose "smiles" or "graph".'
        )
    if only is not None:
        tables = [t for t in tables if t.get("name", t.get("kind")) in only]
    if not tables:
        raise InputError(f"{config} names no [[source]] to build.")
    base = config.parent if root is None else Path(root)
    exclude = frozenset[str]() if evaluation else None
    try:
        sources = [open_source(table, base, keys) for table in tables]
        return pack(sources, out, exclude=exclude, keys=keys)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, which these sources need; install it "
            "with: pip install 'mdgeomfeat[pretraining]'."
        ) from error
