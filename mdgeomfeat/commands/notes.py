"""Remembers the warnings of a run, so that its report can repeat them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.upstream import ignore_made_up_dt

__all__ = ["remembered_warnings"]


@contextmanager
def remembered_warnings(*, show: bool = True) -> Iterator[list[str]]:
    """Yield a list that our warnings are added to, each once.

    Parameters
    ----------
    show : bool
        Whether they are also shown as they come.
    """
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", MDGeomFeatWarning)
        ignore_made_up_dt()
        pass_on = warnings.showwarning

        def remember(message, category, *rest, **more) -> None:
            if issubclass(category, MDGeomFeatWarning):
                if str(message) in notes:
                    return
                notes.append(str(message))
            if show or not issubclass(category, MDGeomFeatWarning):
                pass_on(message, category, *rest, **more)

        warnings.showwarning = remember
        yield notes
