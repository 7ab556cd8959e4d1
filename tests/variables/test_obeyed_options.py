"""Variables are functions of the features that their model was made with."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import pytest
from dipeptide import DATA, STEP, lively
from other_options import OF_NUMBERS, OTHER

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.kinetics import make_cv_model
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.variables import CollectiveVariables


def features(**options):
    """Return features of alanine dipeptide in a trajectory without a box."""
    universe = mda.Universe(str(DATA / "ala2.pdb"), str(DATA / "ala2-0.xtc"))
    fixed = {"allow_unseen": True, "periodic": False, "engine": "torch"}
    return GeomGNNFeaturizer(universe, **fixed, **options).run(step=STEP).results


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize("name", ["tokens", *OF_NUMBERS])
def test_variables_obey_every_option_of_features(name, engine):
    network = lively("et")
    results = features(model=network, **{name: OTHER[name]})
    numbers = np.asarray(results.token_features)
    plain = np.asarray(features(model=network).token_features)
    assert not np.array_equal(numbers, plain), "the option does nothing here"

    structure = results.structure
    spec = FeatureSpec(**results.spec.options() | {"model": network})
    metadata = {
        "features": spec.to_dict(),
        "model_fingerprint": network.fingerprint,
        "structure": {
            "numbers": structure.numbers.tolist(),
            "token_of_atom": structure.token_of_atom.tolist(),
            "labels": structure.token_labels(),
        },
    }
    fitted = fit_tica([numbers], 1, 2, ridge=0.01)
    model = make_cv_model("tica", fitted, [numbers], 1, metadata)
    variables = CollectiveVariables(model, spec, structure, engine=engine)
    values, _ = variables.differentiate(np.asarray(results.positions[:3]))
    np.testing.assert_allclose(values, model.transform([numbers])[0][:3], atol=1e-3)
