"""The folder of results: finished or absent, never something in between."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdgeomfeat.errors import InputError

__all__ = ["check_output", "output_folder"]

_MARK = "summary.json"


def check_output(out: Path, overwrite: bool, store: Path | None = None) -> None:
    """Refuse a place for the results that cannot be used, before any work is done.

    Parameters
    ----------
    out : Path
        The folder that will hold the results.
    overwrite : bool
        Whether an earlier folder of results may be replaced.
    store : Path, optional
        Where features are kept apart from the results.

    Raises
    ------
    InputError
        If something is in the way or the folder around it cannot be written to, or the
        store lies inside the folder.
    """
    if store is not None and store.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"The store '{store}' lies in the folder of results '{out}', which a later "
            "run would replace; name a place outside with --store."
        )
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file, so --out must name another folder.")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise InputError(
                f"The folder '{out}' already exists; choose another with --out, "
                "or replace it with --overwrite."
            )
        if not (out / _MARK).is_file():
            raise InputError(
                f"The folder '{out}' holds something other than results of this "
                f"program (it has no {_MARK}), so --overwrite leaves it alone; "
                "choose another with --out."
            )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-"):
            pass
    except OSError as error:
        raise InputError(
            f"The folder '{out.parent}' cannot be written to ({error.strerror}); "
            "choose another with --out."
        ) from error


@contextmanager
def output_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes ``out`` when all went well.

    It lies beside ``out``, so that the last step is a rename; when anything fails
    or is interrupted it is removed and ``out`` stays as it was.

    Parameters
    ----------
    out : Path
        The folder that will hold the results.
    overwrite : bool
        Whether an earlier folder of results may be replaced.

    Yields
    ------
    Path
        The folder to write into.
    """
    check_output(out, overwrite)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-unfinished-"))
    try:
        yield work
        # mkdtemp keeps others out; results get the permissions of a usual folder.
        work.chmod(0o755)
        if out.is_dir():
            old = work.with_name(work.name + "-old")
            out.rename(old)
            work.rename(out)
            shutil.rmtree(old)
        else:
            work.rename(out)
    finally:
        if work.exists():
            shutil.rmtree(work, ignore_errors=True)
