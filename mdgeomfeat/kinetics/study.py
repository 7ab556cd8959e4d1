"""A whole study: slow collective variables of one input, scored beside others."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mdgeomfeat.errors import InputError, clause
from mdgeomfeat.kinetics.arrays import (
    Arrays,
    as_arrays,
    cut,
    cut_weights,
    nonfinite_frame,
)
from mdgeomfeat.kinetics.bottleneck import scan_bottlenecks
from mdgeomfeat.kinetics.convergence import ENOUGH_TIMES, converged
from mdgeomfeat.kinetics.energy import FreeEnergy, landscape, profiles
from mdgeomfeat.kinetics.evidence import Evidence, weigh_evidence
from mdgeomfeat.kinetics.koopman import koopman_weights
from mdgeomfeat.kinetics.lag import LagScan, choose_lag
from mdgeomfeat.kinetics.model import CVModel, make_cv_model
from mdgeomfeat.kinetics.networks import (
    USUAL_SEEDS,
    choose_mixer,
    choose_seeds,
    mixer_reason,
)
from mdgeomfeat.kinetics.rates import rates_of
from mdgeomfeat.kinetics.reasons import (
    Choices,
    Doubt,
    DoubtWarning,
    Failure,
    FewData,
    FewerOutputs,
    FitsFailed,
    LagNotConstant,
    NotEstablished,
    NotIndependent,
)
from mdgeomfeat.kinetics.results import StudyResult, StudySettings
from mdgeomfeat.kinetics.scores import Score, ScoreError, ceiling
from mdgeomfeat.kinetics.scoring import InputScorer, fit_network
from mdgeomfeat.kinetics.splits import Fold, make_folds
from mdgeomfeat.kinetics.states import StateModel
from mdgeomfeat.kinetics.tica import fit_tica_guarded
from mdgeomfeat.kinetics.vampnet import Lobe
from mdgeomfeat.kinetics.weighting import (
    check_weights,
    doubts_on_weights,
    markov_of,
    timescales_of,
)
from mdgeomfeat.kinetics.weights import FrameWeights
from mdgeomfeat.mixing import MixerSpec

__all__ = ["MIN_FRAMES", "Progress", "run_study"]

#: Fewer frames than this give no result.
MIN_FRAMES = 100

#: Told how many of how many steps are done, and what comes next.
Progress = Callable[[int, int, str], None]

#: Data in units of the slowest timescale below which nothing is certain; up to what is
#: enough, timescales are known to some 30-60 %.
_FEW = 20


# Covariances of some hundred columns fill one thread; further ones of BLAS wait for
# each other by spinning, at up to ten times the processor time on a busy machine.
@threadpool_limits.wrap(limits=1, user_api="blas")
def run_study(
    inputs: Mapping[str, Arrays],
    primary: str,
    settings: StudySettings | None = None,
    progress: Progress | None = None,
    *,
    weights: FrameWeights | None = None,
) -> StudyResult:
    """Find the slow motions in one input, and score it beside the others.

    Parameters
    ----------
    inputs : dict of str to list of arrays
        Features by name, one array per unbroken trajectory: (F, D), (F, N, K), or
        (F, N, 4, C) for an equivariant mixer. The same frames in each.
    primary : str
        The input that lag, number of outputs, collective variables and states are
        made of.
    settings : StudySettings, optional
        Defaults if not given.
    progress : callable, optional
        Called as ``progress(done, total, label)``.
    weights : FrameWeights, optional
        Weights of the frames of biased runs. Covariances, states, populations and free
        energies are weighted, and no timescale is given.

    Returns
    -------
    StudyResult

    Raises
    ------
    InputError
        If there are fewer than 100 frames, the inputs do not hold the same frames,
        the primary input is not finite or does not vary, the lag is too long, or the
        weights do not match or rest on too few frames.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> study.lag, study.dim, study.states.n_states
    (4, 1, 2)
    """
    settings = settings or StudySettings()
    arrays, failures = _check(inputs, primary)
    main = arrays[primary]
    lengths = [len(a) for a in main]
    n_frames = sum(lengths)
    biased = check_weights(weights, lengths, settings)
    mixers = {name: choose_mixer(a, settings) for name, a in arrays.items()}
    mixer = mixers[primary]
    seeds = choose_seeds(settings, mixers.values(), n_frames)
    fewer_seeds = (
        settings.seeds is None and settings.method == "vampnet" and seeds < USUAL_SEEDS
    )
    settings = replace(settings, seeds=seeds)
    steps = _Steps(progress, 3 + (settings.seeds or 1))

    steps.next("choosing the lag")
    try:
        scan = choose_lag(main, groups=settings.groups, lag=settings.lag)
        if settings.koopman:
            weights = koopman_weights(main, scan.lag)
            weights.require(lengths)
    except ScoreError as error:
        raise InputError(
            f"Nothing slow can be found in {primary!r}: {clause(error)}; check that "
            "the selection moves and that there are enough frames."
        ) from error
    dim = settings.dim or scan.dim
    folds = make_folds(
        lengths,
        scan.lag,
        slowest=scan.slowest,
        groups=settings.groups,
        max_folds=settings.max_folds,
    )
    try:
        model = _final_model(
            main, folds[0], scan.lag, dim, mixer, settings, steps, weights
        )
    except (ScoreError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"No collective variable can be made of {primary!r}: {clause(error)}; use "
            "more frames or a shorter lag."
        ) from error
    cvs = model.transform(main)
    if biased:
        model = model.without_timescales()

    steps.next("states")
    bottleneck = None
    if settings.method == "spib":
        bottleneck = scan_bottlenecks(
            cut(main, sorted((*folds[0].train, *folds[0].stop))),
            cut(main, folds[0].score),
            scan.lag,
            replace(mixer, n_outputs=dim),
            options=settings.spib,
            seed=settings.seed,
        )
    markov = markov_of(cvs, scan, dim, settings, weights, biased, bottleneck)
    states = markov.states
    slowest = _slowest(scan, states)
    its = None
    if not biased:
        its = timescales_of(states, scan.lag, dim, settings, weights, slowest)
    # the gap between thirds follows the slowest timescale that was found by now
    folds = make_folds(
        lengths,
        scan.lag,
        slowest=slowest,
        groups=settings.groups,
        max_folds=settings.max_folds,
    )
    scorer = InputScorer(
        arrays=arrays,
        failures=failures,
        primary=primary,
        folds=folds,
        lag=scan.lag,
        dim=dim,
        mixers=mixers,
        slowest=slowest,
        settings=settings,
        weights=None if weights is None else weights.values,
    )
    steps.extend(scorer.n_fits)
    scores = scorer.run(steps.next)
    steps.finish()
    evidence = weigh_evidence(scan, scores[0], folds, scan.lag, dim)
    top = known_ceiling(states, scan.lag, dim, evidence, scores)
    scores = [replace(s, ceiling=top) for s in scores]
    doubts = [
        *doubts_on_weights(weights, biased),
        *_doubts(scan, states, evidence, folds, n_frames, biased),
        *([FewerOutputs(dim, model.dim)] if model.dim < dim else []),
        *states.doubts,
        *(FitsFailed(s.method, s.input, s.failure) for s in scores if s.failure),
    ]
    if doubts:
        kinds = ", ".join(dict.fromkeys(d.kind for d in doubts))
        python_warnings.warn(
            f"There are doubts about this study ({kinds}); "
            "mdgeomfeat.report.doubts_in_words(result) explains them.",
            DoubtWarning,
            stacklevel=2,
        )
    choices = Choices(
        lag=scan.reason,
        markov_lag=markov.reason,
        dim_given=settings.dim is not None,
        mixer=mixer_reason(settings, main, mixer),
        n_tokens=mixer.n_tokens,
        merged=mixer.merge,
        fewer_seeds=fewer_seeds,
    )
    return StudyResult(
        settings=settings,
        primary=primary,
        lag=scan.lag,
        dim=dim,
        mixer=mixer.kind if settings.network else None,
        choices=choices,
        doubts=tuple(doubts),
        scores=scores,
        evidence=evidence,
        ceiling=top,
        lag_scan=scan.without_timescales() if biased else scan,
        model=model,
        cvs=cvs,
        timescales=its,
        states=states,
        rates=rates_of(
            states,
            evidence,
            groups=settings.groups,
            n_samples=settings.n_bootstrap,
            seed=settings.seed,
            weights=None if weights is None else weights.values,
        ),
        convergence=converged(states, evidence, slowest, settings.groups),
        free_energy=_landscape(cvs, states, settings, range(min(2, model.dim))),
        profiles=profiles(cvs, states.weights, settings.temperature),
        folds=folds,
        fold_models=scorer.fold_models,
        weights=weights,
        bottleneck=bottleneck,
    )


class _Steps:
    """Counts finished steps for the progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, -1

    def extend(self, more: int) -> None:
        self.total += more

    def next(self, label: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, label)

    def finish(self) -> None:
        if self.progress is not None:
            self.progress(self.total, self.total, "done")


def _check(
    inputs: Mapping[str, Arrays], primary: str
) -> tuple[dict[str, list[NDArray[np.floating]]], dict[str, Failure]]:
    """Return the inputs, primary first, and why some of them cannot be used."""
    if primary not in inputs:
        raise InputError(
            f"The primary input {primary!r} is not among the inputs; choose one of "
            f"{', '.join(map(repr, inputs))}."
        )
    order = [primary, *(name for name in inputs if name != primary)]
    arrays = {name: as_arrays(inputs[name], name) for name in order}
    lengths = [len(a) for a in arrays[primary]]
    for name, listed in arrays.items():
        if [len(a) for a in listed] != lengths:
            raise InputError(
                f"Input {name!r} has trajectories of {[len(a) for a in listed]} "
                f"frames, but {primary!r} has {lengths}; compute both from the same "
                "frames."
            )
    if sum(lengths) < MIN_FRAMES:
        raise InputError(
            f"{sum(lengths)} frames are too few to find slow motions; give at least "
            f"{MIN_FRAMES}."
        )
    failures = {}
    for name, listed in arrays.items():
        where = nonfinite_frame(listed)
        if where is None:
            continue
        text = f"trajectory {where[0]}, frame {where[1]}, holds a value that is NaN"
        if name == primary:
            raise InputError(
                f"Input {name!r}: {text} or infinite; leave that frame out."
            )
        failures[name] = Failure(0, 0, f"{text} or infinite")
    return arrays, failures


def _final_model(
    arrays: Arrays,
    fold: Fold,
    lag: int,
    dim: int,
    mixer: MixerSpec,
    settings: StudySettings,
    steps: _Steps,
    weights: FrameWeights | None,
) -> CVModel:
    """Fit what the collective variables are shown of: all data but the stopping part.

    That part ends the training of networks, or chooses what TICA leaves open; then it
    counts as all others, for the map that joins the seeds' networks and for TICA.
    """
    train = cut(arrays, sorted((*fold.train, *fold.score)))
    stop = cut(arrays, fold.stop)
    values = None if weights is None else weights.values
    weighted: dict[str, Any] = {
        "weights": cut_weights(values, sorted((*fold.train, *fold.score))),
        "stop_weights": cut_weights(values, fold.stop),
    }
    metadata = dict(settings.metadata)
    if settings.method == "tica":
        steps.next("TICA")
        fitted = fit_tica_guarded(train, stop, lag, dim, **weighted)
        return make_cv_model("tica", fitted, arrays, lag, metadata)
    lobes: list[Lobe] = []
    failure = None
    spec = MixerSpec.from_dict({**mixer.to_dict(), "n_outputs": dim})
    for seed in range(settings.seed, settings.seed + (settings.seeds or 1)):
        steps.next(f"{settings.network}, seed {seed}")
        try:
            fit = fit_network(settings, train, stop, lag, spec, seed, **weighted)
        except ScoreError as error:
            failure = error
            continue
        lobes.append(fit.lobe)
    if not lobes:
        raise failure or ScoreError("No seed was given.")
    return make_cv_model(settings.method, lobes, arrays, lag, metadata, values)


def _slowest(scan: LagScan, states: StateModel | None) -> float | None:
    found = [scan.slowest, *(() if states is None else states.timescales[:1])]
    known = [float(t) for t in found if t is not None and np.isfinite(t)]
    return max(known, default=None)


def known_ceiling(
    states: StateModel,
    lag: int,
    dim: int,
    evidence: Evidence,
    scores: Sequence[Score] = (),
) -> float | None:
    """Return the largest score possible, if the slow timescales are known.

    They are where held-out data establish a slow motion, and the Markov model passes
    its Chapman-Kolmogorov test and has a timescale above its lag. Scores are at `lag`.
    Where an input scores more than the upper ends of the timescales' intervals allow,
    by more than a standard deviation over held-out parts, there is something slower
    than the model's variables show.
    """
    if not evidence.established or states.ck is None or not states.ck.passed:
        return None
    # a model of nothing slow passes the test as well
    if not states.timescales[0] > states.lag:
        return None
    slow, upper = states.timescales, states.timescales_upper
    limit = ceiling(np.where(np.isfinite(upper), upper, slow), lag, dim)
    surely = [s.score - (s.sd_folds or 0.0) for s in scores if s.score is not None]
    return None if max(surely, default=limit) > limit else ceiling(slow, lag, dim)


def _landscape(
    cvs: list[NDArray[np.float64]],
    states: StateModel,
    settings: StudySettings,
    axes: Sequence[int],
) -> FreeEnergy | None:
    return landscape(cvs, states.weights, axes, settings.temperature)


def _doubts(
    scan: LagScan,
    states: StateModel,
    evidence: Evidence,
    folds: list[Fold],
    n_frames: int,
    biased: bool,
) -> list[Doubt]:
    """Return what makes the results less certain."""
    found: list[Doubt] = []
    if not evidence.established:
        found.append(NotEstablished())
    # a process that was not found has no timescale that could be constant
    if scan.n_slow and not scan.converged:
        found.append(LagNotConstant(scan.reason))
    if not folds[0].independent:
        found.append(NotIndependent())
    if biased:  # how often a biased run crosses is another matter
        return found
    # a Markov model of noise has a slow timescale too, which nobody should look for
    slowest = _slowest(scan, states if evidence.established else None)
    if slowest is not None and slowest > scan.lag and n_frames < ENOUGH_TIMES * slowest:
        ratio = n_frames / slowest
        found.append(FewData(ratio, slowest, ENOUGH_TIMES, ratio < _FEW))
    return found
