from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def three_states():
    """Four runs of a three-state chain, blurred into ten dimensions."""
    from chains import THREE, embed, markov_chain

    states = [markov_chain(THREE, 6000, seed) for seed in range(4)]
    return states, embed(states, width=10, noise=0.2)
