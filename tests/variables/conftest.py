"""Small networks and models on alanine dipeptide, made once."""

from __future__ import annotations

import pytest
from dipeptide import Dipeptide, lively


@pytest.fixture(scope="session")
def dipeptides():
    """Return a function from an architecture to a :class:`Dipeptide`."""
    made: dict[str, Dipeptide] = {}

    def get(architecture):
        if architecture not in made:
            made[architecture] = Dipeptide(lively(architecture))
        return made[architecture]

    return get
