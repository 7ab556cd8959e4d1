"""Training VAMPNets with deeptime, stopping early, and keeping the best weights.

References
----------
Mardt, Pasquali, Wu & Noé, Nat. Commun. 9, 5 (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from deeptime.decomposition.deep import vampnet_loss
from numpy.typing import NDArray
from torch import Tensor, nn

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, n_pairs
from mdgeomfeat.kinetics.dataset import PairBatches, TokenDataset
from mdgeomfeat.kinetics.scores import ScoreError, pair_score
from mdgeomfeat.kinetics.standardize import (
    PAIRS_PER_COLUMN,
    Standardizer,
    fit_standardizer,
    scale_by_autocorrelation,
)
from mdgeomfeat.kinetics.threads import threads_for
from mdgeomfeat.mixing import MixerSpec, build_mixer

__all__ = [
    "Lobe",
    "LobeStack",
    "TrainingOptions",
    "VampnetFit",
    "fit_vampnet",
    "run_lobe",
    "training_operations",
    "usual_standardizer",
]


#: Up to this score the outputs hold nothing slow yet.
_PLAIN = 1.02

#: Pairs on which untrained networks are compared.
_START_PAIRS = 500

#: Steps of a usual training, and the pairs up to which they are enough.
_MOST_STEPS, _MANY_PAIRS = 450, 100_000

#: Share of the steps in which the learning rate rises.
_RISE = 1 / 20

#: Operations a frame from which a network counts as large.
_LARGE = 1e7


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a VAMPNet is trained.

    Parameters
    ----------
    batch_size : int, optional
        Pairs per step. By default 200, and 64 for networks that take more than 10
        million operations a frame (attention over many tokens).
    learning_rate : float
        The largest one, of Adam. It rises for a twentieth of the steps, and then falls
        to 0 as half a cosine.
    max_steps : int, optional
        Largest number of steps. By default one per 20 training pairs, at least 40
        and at most 450 up to 100,000 pairs (longer training on few data only
        overfits), and from there on growing with the square root of their number.
    n_starts : int
        Initial weights to draw; those with the largest score of the training part are
        trained. VAMP-2 is flat where the outputs hold nothing slow, and some draws
        never leave that plain.
    patience : int
        Steps without a better stopping score before training ends, once there is
        something: below 1.02 it goes on to the last step.
    max_stop_pairs : int
        The stopping part is thinned evenly to about this many pairs for the checks.
    epsilon : float
        Regularisation of the covariances in the loss.
    device : str
        Torch device.
    """

    batch_size: int | None = None
    learning_rate: float = 4e-3
    max_steps: int | None = None
    n_starts: int = 8
    patience: int = 150
    max_stop_pairs: int = 2500
    epsilon: float = 1e-6
    device: str = "cpu"

    def pairs(self, spec: MixerSpec) -> int:
        """Return the pairs per step for a mixer."""
        if self.batch_size is not None:
            return self.batch_size
        return 200 if operations(spec) < _LARGE else 64

    def steps(self, n_pairs: int) -> int:
        """Return the budget for `n_pairs` training pairs."""
        if self.max_steps is not None:
            return self.max_steps
        most = _MOST_STEPS * max(1.0, n_pairs / _MANY_PAIRS) ** 0.5
        return int(np.clip(n_pairs // 20, 40, most))

    def rate(self, step: int, n_steps: int) -> float:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int
            From 1 to `n_steps`.
        n_steps : int
            Steps of the whole training, if it does not end early.

        Returns
        -------
        float
        """
        rise = min(1.0, step / max(_RISE * n_steps, 1.0))
        fall = 0.5 * (1 + np.cos(np.pi * (step - 1) / n_steps))
        return float(self.learning_rate * rise * fall)


class Lobe(nn.Module):
    """A standardiser in front of a token mixer.

    Parameters
    ----------
    spec : MixerSpec
        The mixer.
    standardizer : Standardizer
        Training statistics, shape of one frame.
    seed : int
        Seed of the initial weights.
    """

    shift: Tensor
    factor: Tensor

    def __init__(self, spec: MixerSpec, standardizer: Standardizer, seed: int) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("shift", torch.from_numpy(standardizer.shift))
        self.register_buffer("factor", torch.from_numpy(standardizer.factor))
        self.mixer = build_mixer(spec, seed=seed)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, ...) frames to (B, d)."""
        x = (frames - self.shift) * self.factor
        outputs: Tensor = self.mixer(x.reshape(len(x), *self.spec.input_shape))
        return outputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs d."""
        return self.spec.n_outputs


class LobeStack(nn.Module):
    """Lobes of several seeds side by side.

    Their outputs span almost the same space, each with errors of its own; a linear
    map of all of them (:func:`mdgeomfeat.kinetics.model.make_cv_model`) scores 0.02
    to 0.03 better in held-out VAMP-2 than one lobe, and a seed that found nothing
    does no harm.

    Parameters
    ----------
    lobes : sequence of Lobe
        Of the same mixer; at least one.
    """

    def __init__(self, lobes: Sequence[Lobe]) -> None:
        super().__init__()
        self.members = nn.ModuleList(lobes)
        self.spec = lobes[0].spec

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, ...) frames to (B, S d) for S lobes."""
        return torch.cat([lobe(frames) for lobe in self.members], dim=-1)

    @property
    def n_outputs(self) -> int:
        """Number of outputs of all lobes, S d."""
        return len(self.members) * self.spec.n_outputs


@dataclass(frozen=True, eq=False)
class VampnetFit:
    """A trained lobe, with the weights of its best check.

    Attributes
    ----------
    lobe : Lobe
        In evaluation mode.
    stop_score : float
        VAMP-2 of the stopping part with these weights.
    step : int
        Step they are from.
    history : list of (step, score)
        Every check.
    """

    lobe: Lobe
    stop_score: float
    step: int
    history: list[tuple[int, float]] = field(default_factory=list)

    def transform(self, arrays: Arrays) -> list[NDArray[np.float32]]:
        """Map trajectories to outputs [(F_i, d), ...], batch by batch."""
        return run_lobe(self.lobe, arrays)


def fit_vampnet(
    arrays: Arrays,
    stop: Arrays,
    lag: int,
    spec: MixerSpec,
    *,
    seed: int = 0,
    options: TrainingOptions | None = None,
    standardizer: Standardizer | None = None,
    progress: Callable[[int, int], None] | None = None,
    weights: Arrays | None = None,
    stop_weights: Arrays | None = None,
) -> VampnetFit:
    """Train a VAMPNet of our lobe with deeptime's loss.

    A step is that of deeptime's ``VAMPNet.partial_fit`` at the step's learning rate,
    with both halves of the pairs in one pass. The short last batch of an epoch is
    dropped. The stopping part is scored as a whole, in float64, since a mean of batch
    scores grows with the noise in a batch. Checks include step 0, and the weights of
    the best one are restored.

    Parameters
    ----------
    arrays, stop : list of (F, ...) ndarrays
        Training part and stopping part.
    lag : int
        Lag in frames.
    spec : MixerSpec
        The mixer; its input holds the numbers of one frame.
    seed : int
        Seeds the weights and the order of the pairs; no global state changes.
    options : TrainingOptions, optional
        Defaults if not given.
    standardizer : Standardizer, optional
        Of the training part, :func:`usual_standardizer` by default.
    progress : callable, optional
        Called as ``progress(step, max_steps)``.
    weights, stop_weights : list of (F,) ndarrays, optional
        Weights of the frames of both parts. Pairs train as often as they weigh.

    Returns
    -------
    VampnetFit

    Raises
    ------
    ScoreError
        If the covariances of a batch cannot be inverted, or nothing varies.
    """
    options = options or TrainingOptions()
    found = n_pairs(arrays, lag)
    if found < spec.n_outputs + 2:
        raise ScoreError(
            f"{found} training pairs are too few for {spec.n_outputs} outputs; ask for "
            "fewer (dim), or give more frames."
        )
    if not n_pairs(stop, lag):
        raise ScoreError(f"The stopping part has no pairs at a lag of {lag} frames.")
    pairs = TokenDataset(arrays, lag, weights)
    standardizer = standardizer or usual_standardizer(arrays, lag)
    device = torch.device(options.device)
    devices = [device] if device.type == "cuda" else []
    checked = _Some.of(TokenDataset(stop, lag, stop_weights), options.max_stop_pairs)
    max_steps = options.steps(len(pairs))
    every = max(5, max_steps // 15)
    work = step_operations(spec, len(pairs), options)
    with torch.random.fork_rng(devices=devices), threads_for(work):
        torch.manual_seed(seed)
        lobe = _start(pairs, spec, standardizer, seed, options)
        optimizer = torch.optim.Adam(
            lobe.parameters(), options.learning_rate, fused=True
        )
        batches = _endless(pairs.batches(options.pairs(spec), seed=seed), device)
        best = checked.score(lobe)
        history, best_step, kept = [(0, best)], 0, _copy(lobe)
        for step in range(1, max_steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = options.rate(step, max_steps)
            try:
                _step(lobe, optimizer, next(batches), options.epsilon)
            except torch.linalg.LinAlgError as error:
                raise ScoreError(
                    f"Training failed at step {step} ({error})."
                ) from error
            if step % every and step != max_steps:
                continue
            score = checked.score(lobe)
            history.append((step, score))
            if progress is not None:
                progress(step, max_steps)
            if score > best:
                best, best_step, kept = score, step, _copy(lobe)
            elif best > _PLAIN and step - best_step >= options.patience:
                break
    if not np.isfinite(best):
        raise ScoreError("The outputs do not vary in the stopping part.")
    lobe.load_state_dict(kept)
    return VampnetFit(lobe.eval(), best, best_step, history)


def usual_standardizer(arrays: Arrays, lag: int) -> Standardizer:
    """Return what stands in front of a VAMPNet of a training part.

    Columns have a standard deviation of 1. Where there are less than ten pairs for each
    of them, they are as large as they are slow (:mod:`.standardize`), which raises
    held-out scores there (docs/results.md); with more pairs it would make training slow
    where what matters moves fast.
    """
    standardizer = fit_standardizer(arrays)
    if n_pairs(arrays, lag) >= PAIRS_PER_COLUMN * standardizer.shift.size:
        return standardizer
    return scale_by_autocorrelation(standardizer, arrays, lag)


def _step(
    lobe: Lobe,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    epsilon: float,
) -> None:
    """Take one step up the VAMP-2 score of a batch of pairs."""
    lobe.train()
    optimizer.zero_grad()
    early, late = lobe(torch.cat(batch)).chunk(2)
    loss = vampnet_loss(early, late, "VAMP2", epsilon, "regularize")
    loss.backward()
    optimizer.step()


def run_lobe(lobe: Lobe | LobeStack, arrays: Arrays) -> list[NDArray[np.float32]]:
    """Return the outputs of a lobe, (F, d) per trajectory, or of a stack, (F, S d).

    Batches have a size that only depends on the shape of a frame.
    """
    device = next(lobe.buffers()).device
    rows = _batch_rows(lobe.spec)
    lobe.eval()
    outputs = []
    usual = TrainingOptions()  # as many threads as it is trained with
    work = step_operations(lobe.spec, usual.pairs(lobe.spec), usual)
    with torch.no_grad(), threads_for(work):
        for array in arrays:
            out = np.empty((len(array), lobe.n_outputs), dtype=np.float32)
            for start in range(0, len(array), rows):
                batch = np.ascontiguousarray(array[start : start + rows], np.float32)
                result = lobe(torch.from_numpy(batch).to(device))
                out[start : start + rows] = result.cpu().numpy()
            outputs.append(out)
    return outputs


def operations(spec: MixerSpec) -> float:
    """Return about how many floating-point operations a mixer takes for one frame."""
    n, width = spec.n_tokens, spec.hidden_width
    inputs = float(np.prod(spec.input_shape))
    if spec.kind == "flat":
        return 2 * inputs * width + 2 * spec.hidden_depth * width**2
    components = 4 if spec.kind == "equivariant" else 1
    block = 12 * n * width**2 * components
    if spec.kind != "mlp":
        block += 4 * n**2 * width * components
    return 2 * inputs * width + spec.hidden_depth * block


def step_operations(spec: MixerSpec, n_pairs: int, options: TrainingOptions) -> float:
    """Return about how many operations one training step takes."""
    frames = 2 * min(options.pairs(spec), n_pairs)
    # the backward pass costs twice the forward pass
    return 3 * operations(spec) * frames


def training_operations(
    spec: MixerSpec, n_pairs: int, options: TrainingOptions
) -> float:
    """Return about how many operations a training of full length takes."""
    return step_operations(spec, n_pairs, options) * options.steps(n_pairs)


def _batch_rows(spec: MixerSpec) -> int:
    # activations per frame: the input, some hidden layers, and attention maps
    numbers = int(np.prod(spec.input_shape)) + spec.n_tokens * 16 * spec.hidden_width
    numbers += spec.n_heads * spec.n_tokens**2
    return int(np.clip(8_000_000 // numbers, 16, 4096))


def _start(
    pairs: TokenDataset,
    spec: MixerSpec,
    standardizer: Standardizer,
    seed: int,
    options: TrainingOptions,
) -> Lobe:
    """Return the most promising of several untrained lobes."""
    wanted = _START_PAIRS if operations(spec) < _LARGE else _START_PAIRS // 5
    some = _Some.of(pairs, wanted)
    draws = np.random.SeedSequence(seed).generate_state(options.n_starts)
    best: tuple[float, Lobe] | None = None
    for draw in draws:
        lobe = Lobe(spec, standardizer, int(draw)).to(options.device)
        score = some.score(lobe)
        if best is None or score > best[0]:
            best = score, lobe
    if best is None:
        raise InputError("n_starts=0 leaves nothing to train; choose 1 or more.")
    return best[1]


def _endless(
    batches: PairBatches, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one epoch after the other."""
    while True:
        for x, y in batches:
            yield x.to(device), y.to(device)


@dataclass(frozen=True, eq=False)
class _Some:
    """Some pairs, for scores: their frames, where both halves are, their weights."""

    frames: NDArray[np.float32]
    early: NDArray[np.int64]
    late: NDArray[np.int64]
    weights: NDArray[np.floating] | None

    @classmethod
    def of(cls, pairs: TokenDataset, n: int) -> _Some:
        """Take at most `n` pairs, evenly spaced in time."""
        numbers = pairs.thinned_numbers(n)
        weights = None if pairs.weights is None else pairs.weights[numbers]
        return cls(*pairs.frames_of(numbers), weights)

    def score(self, lobe: Lobe) -> float:
        """Return VAMP-2 of all pairs together; minus infinity if it has none."""
        try:
            (outputs,) = run_lobe(lobe, [self.frames])
            return pair_score(outputs[self.early], outputs[self.late], self.weights)
        except ScoreError:
            return -np.inf


def _copy(lobe: Lobe) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in lobe.state_dict().items()}
