"""Which residues matter for a study, as numbers and as a table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.baselines import PRIMARY, RANDOM, twin_of
from mdgeomfeat.commands.explaining import sample_of_states
from mdgeomfeat.errors import InputError, clause
from mdgeomfeat.explain import (
    FoldEffects,
    Importance,
    TokenImportance,
    exchange_in_folds,
    network_gradients,
    outputs_of_networks,
    quantities_of,
    summarize,
    token_gradients,
)

if TYPE_CHECKING:
    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.explain import Quantity, Sample
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.kinetics import CVModel, StudyResult
    from mdgeomfeat.store import Rows
    from mdgeomfeat.variables import CollectiveVariables

__all__ = ["token_importance", "write_importance"]

#: Frames of the gradients, and atoms times frames up to which it is as many.
_FRAMES, _ATOM_FRAMES, _FEWEST = 100, 30_000, 16


def token_importance(
    study: StudyResult,
    data: Featurized,
    inputs: dict[str, list[Rows]],
) -> TokenImportance | None:
    """Find which tokens the variables and the states of a study rest on.

    Parameters
    ----------
    study : StudyResult
    data : Featurized
        What it was made of.
    inputs : dict of str to list of arrays
        What the estimators saw, the untrained twin among them.

    Returns
    -------
    TokenImportance or None
        None where there is one token only, or no fold has a model.
    """
    if data.structure.n_tokens < 2:
        return None
    quantities = quantities_of(
        study.cvs,
        study.states.dtrajs,
        study.states.n_states,
        study.lag,
        data.structure.n_tokens,
    )
    trained, twin = (
        exchange_in_folds(study, inputs[name], name, quantities)
        for name in (PRIMARY, RANDOM)
    )
    if not trained.exchanged:
        return None
    per_half = min(_FRAMES, max(_ATOM_FRAMES // data.structure.n_atoms, _FEWEST))
    per_half = max(per_half // (2 * study.states.n_states), 2)
    sample = sample_of_states(study, data, per_half)
    gradient, reason = None, None
    if not len(sample.rows):
        reason = "no frame belongs to a state"
    else:
        try:
            gradient = _gradients(study, data, trained, twin, sample, quantities)
        except InputError as error:
            reason = clause(error)
    return TokenImportance(
        labels=tuple(data.structure.token_labels()),
        quantities=tuple(quantities),
        permutation=summarize(
            [e.effects for e in trained.exchanged], [e.effects for e in twin.exchanged]
        ),
        gradient=gradient,
        no_gradient=reason,
        n_folds=len(trained.exchanged),
        n_pairs=trained.exchanged[0].n_frames,
        n_frames=0 if gradient is None else len(sample.rows),
    )


def _gradients(
    study: StudyResult,
    data: Featurized,
    trained: FoldEffects,
    twin: FoldEffects,
    sample: Sample,
    quantities: list[Quantity],
) -> Importance:
    """Differentiate the saved model, its networks, and the models of the folds."""
    from mdgeomfeat.variables import CollectiveVariables

    boxes = data.results.boxes
    positions = np.asarray(data.positions[sample.rows])
    cells = None if boxes is None else np.asarray(boxes[sample.rows])

    def variables(model: CVModel, network: Backbone) -> CollectiveVariables:
        metadata = {**study.model.metadata, "model_fingerprint": network.fingerprint}
        return CollectiveVariables(
            replace(model, metadata=metadata),
            replace(data.results.spec, model=network, allow_unseen=True),
            data.structure,
        )

    def slopes(model: CVModel, network: Backbone, matrix: np.ndarray) -> np.ndarray:
        return token_gradients(
            variables(model, network), positions, cells, sample, quantities, matrix
        )[None]

    model = study.model
    n_networks = 0 if model.lobe is None else len(model.lobe.members)
    if n_networks > 1:
        own = network_gradients(
            variables(outputs_of_networks(model), data.model),
            model.rotation,
            n_networks,
            positions,
            cells,
            sample,
            quantities,
        )
    else:
        own = slopes(model, data.model, np.eye(model.dim))
    folds = [
        slopes(one, data.model, found.matrix)
        for one, found in zip(trained.models, trained.exchanged, strict=True)
    ]
    # one fold tells what never having been trained does, at a fraction of the time
    others = [
        slopes(one, twin_of(data), found.matrix)
        for one, found in zip(twin.models[:1], twin.exchanged[:1], strict=True)
    ]
    seeds = summarize([own], []).sd_seeds
    return replace(summarize(folds, others), values=own[0], sd_seeds=seeds)


def write_importance(path: Path, importance: TokenImportance) -> None:
    """Write one line for each quantity and token; numbers that are not known are empty.

    Parameters
    ----------
    path : Path
    importance : TokenImportance
    """
    parts = {"permutation": importance.permutation}
    if importance.gradient is not None:
        parts["gradient"] = importance.gradient
    columns = {
        f"{name}{suffix}": getattr(one, field)
        for name, one in parts.items()
        for suffix, field in (
            ("", "values"),
            ("_sd_folds", "sd_folds"),
            ("_sd_seeds", "sd_seeds"),
            ("_untrained", "twin"),
        )
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["quantity", "token", "label", *columns])
        for r, quantity in enumerate(importance.quantities):
            for k, label in enumerate(importance.labels):
                values = [rows[r, k] for rows in columns.values()]
                writer.writerow(
                    [
                        quantity.name,
                        k + 1,
                        label,
                        *(f"{v:.6g}" if np.isfinite(v) else "" for v in values),
                    ]
                )
