"""States of frames that a stored model was not learnt from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mdgeomfeat.commands.models import assign_states


def test_a_frame_is_in_the_state_of_the_nearest_centre():
    rng = np.random.default_rng(2)
    centres, state_of_centre = rng.normal(size=(30, 2)), rng.integers(0, 3, 30)
    stored = {"centres": centres.tolist(), "state_of_centre": state_of_centre.tolist()}
    model = SimpleNamespace(metadata={"states": stored})
    runs = [rng.normal(size=(n, 2)) for n in (200, 70)]
    for values, found in zip(runs, assign_states(model, runs), strict=True):
        apart = np.linalg.norm(values[:, None] - centres[None], axis=2)
        np.testing.assert_array_equal(found, state_of_centre[apart.argmin(axis=1)])
