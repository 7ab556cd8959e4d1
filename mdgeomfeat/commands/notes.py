"""Remembers the warnings of a run, so that its report can repeat them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mdgeomfeat.errors import AssumptionWarning, MDGeomFeatWarning
from mdgeomfeat.upstream import ignore_made_up_dt

__all__ = ["Notes", "remembered_warnings"]


class Notes(list[str]):
    """Warnings of a run, and apart from them what it assumed.

    Attributes
    ----------
    assumed : list of str
        What files do not state and was taken from what they do state.
    """

    def __init__(self) -> None:
        super().__init__()
        self.assumed: list[str] = []


@contextmanager
def remembered_warnings(*, show: bool = True) -> Iterator[Notes]:
    """Yield a list that our warnings are added to, each once.

    Parameters
    ----------
    show : bool
        Whether they are also shown as they come.
    """
    notes = Notes()
    with warnings.catch_warnings():
        warnings.simplefilter("always", MDGeomFeatWarning)
        ignore_made_up_dt()
        pass_on = warnings.showwarning

        def remember(
            message: Warning | str, category: type[Warning], *rest: Any, **more: Any
        ) -> None:
            if issubclass(category, MDGeomFeatWarning):
                kind: list[str] = notes
                if issubclass(category, AssumptionWarning):
                    kind = notes.assumed
                if str(message) in kind:
                    return
                kind.append(str(message))
            if show or not issubclass(category, MDGeomFeatWarning):
                pass_on(message, category, *rest, **more)

        warnings.showwarning = remember
        yield notes
