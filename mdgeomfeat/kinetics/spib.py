r"""State predictive information bottleneck: few variables that tell the later state.

An encoder compresses a frame to :math:`z` (a mixer's outputs are its mean, one learnt
variance its noise), and a decoder predicts from it in which state the run is one lag
later. The loss is the cross entropy of that prediction plus :math:`\beta` times the
information that :math:`z` holds of the frame, with a mixture of Gaussians around one
representative frame of each state as prior. Every time the loss has settled, each
frame gets the state that the decoder thinks most likely from now on, and states that no
frame is given vanish; so from many arbitrary labels those remain that last longer than
the lag.

References
----------
Wang & Tiwary, J. Chem. Phys. 154, 134111 (2021); the prior is that of Tomczak &
Welling, AISTATS 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn

from mdgeomfeat.kinetics.arrays import Arrays, gather, lagged_index, n_pairs
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.spib_options import SpibOptions
from mdgeomfeat.kinetics.standardize import Standardizer, fit_standardizer
from mdgeomfeat.kinetics.threads import threads_for
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.vampnet import Lobe, run_lobe
from mdgeomfeat.mixing import MixerSpec

__all__ = ["SpibFit", "SpibNetwork", "fit_spib", "initial_labels"]

#: Frames that k-means is fitted to.
_MAX_FIT_FRAMES = 20_000
#: Share of the labels that may still change where they count as settled.
_SETTLED = 0.005
#: TICA components in which initial labels are made.
_LABEL_COMPONENTS = 5


class SpibNetwork(nn.Module):
    """Encoder, decoder and prior.

    Parameters
    ----------
    lobe : Lobe
        Of frames (B, ...) to the means (B, d).
    representatives : (S, ...) Tensor
        One frame of each state, around which the prior has its Gaussians.
    width : int
        Hidden units of the decoder.
    """

    representatives: Tensor

    def __init__(self, lobe: Lobe, representatives: Tensor, width: int) -> None:
        super().__init__()
        n = len(representatives)
        self.lobe = lobe
        self.log_variance = nn.Parameter(torch.zeros(()))
        self.hidden = nn.Sequential(
            nn.Linear(lobe.n_outputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.last = nn.Linear(width, n)
        self.mixture = nn.Parameter(torch.zeros(n))
        self.register_buffer("representatives", representatives)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return self.last.out_features

    def decode(self, z: Tensor) -> Tensor:
        """Return the logarithms (B, S) of the probabilities of the later state."""
        return torch.log_softmax(self.last(self.hidden(z)), dim=1)

    def loss(self, frames: Tensor, later: Tensor, noise: Tensor, beta: float) -> Tensor:
        """Return cross entropy plus `beta` times the information on the frame.

        Parameters
        ----------
        frames : (B, ...) Tensor
        later : (B,) Tensor of int64
            State one lag later.
        noise : (B, d) Tensor
            Standard normal numbers.
        beta : float
        """
        mean = self.lobe(frames)
        z = mean + noise * torch.exp(self.log_variance / 2)
        entropy = nn.functional.nll_loss(self.decode(z), later)
        # the Gaussians share a variance, so their norms cancel in the ratio
        log_q = -(noise**2).sum(dim=1) / 2
        centres = self.lobe(self.representatives)
        distance = ((z[:, None] - centres) ** 2).sum(dim=2)
        log_parts = -distance / (2 * torch.exp(self.log_variance))
        log_parts = log_parts + torch.log_softmax(self.mixture, dim=0)
        information = log_q - torch.logsumexp(log_parts, dim=1)
        return entropy + beta * information.mean()

    def keep(self, states: Tensor, representatives: Tensor) -> None:
        """Drop all states but some, and take new representative frames for these.

        Parameters
        ----------
        states : (S',) Tensor of int64
            Those that are kept.
        representatives : (S', ...) Tensor
        """
        old = self.last
        self.last = nn.Linear(old.in_features, len(states)).to(old.weight.device)
        with torch.no_grad():
            self.last.weight.copy_(old.weight[states])
            self.last.bias.copy_(old.bias[states])
        self.mixture = nn.Parameter(torch.zeros_like(self.mixture[states]))
        self.representatives = representatives


@dataclass(frozen=True, eq=False)
class SpibFit:
    """A trained information bottleneck.

    Attributes
    ----------
    network : SpibNetwork
        In evaluation mode.
    lag : int
        Frames.
    history : list of (epoch, n_states)
        When labels were made anew, and how many states were left.
    converged : bool
        Whether labels had stopped changing when training ended.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import SpibOptions, fit_spib
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> spec = MixerSpec(kind="flat", n_tokens=1, n_features=1, n_outputs=1, width=16)
    >>> options = SpibOptions(n_labels=5, batch_size=64, learning_rate=0.01)
    >>> tokens = [run[:, None] for run in runs]
    >>> fit = fit_spib(tokens[:3], 5, spec, options=options)
    >>> fit.transform(tokens[3:])[0].shape
    (500, 1)
    >>> model, guessing = fit.cross_entropy(tokens[3:])
    >>> model < guessing  # nats, on a run that the fit has not seen
    True
    """

    network: SpibNetwork
    lag: int
    history: list[tuple[int, int]] = field(default_factory=list)
    converged: bool = False

    @property
    def lobe(self) -> Lobe:
        """The encoder, whose outputs are the variables."""
        return self.network.lobe

    @property
    def n_states(self) -> int:
        """Number of states that are left."""
        return self.network.n_states

    def transform(self, arrays: Arrays) -> list[NDArray[np.float32]]:
        """Map trajectories to the means (F, d) of the encoder."""
        return run_lobe(self.lobe, arrays)

    def predict(self, arrays: Arrays) -> list[NDArray[np.int64]]:
        """Return the state (F,) of every frame: the likeliest one lag later."""
        return [p.argmax(axis=1) for p in self.log_probabilities(arrays)]

    def log_probabilities(self, arrays: Arrays) -> list[NDArray[np.float32]]:
        """Return ln P (F, S) of the state one lag later, from the encoder's means."""
        return _log_probabilities(self.network, arrays)

    def cross_entropy(self, arrays: Arrays) -> tuple[float, float]:
        """Return how well later states are predicted, and what guessing would give.

        Parameters
        ----------
        arrays : list of (F, ...) ndarrays
            Trajectories that the fit has not seen.

        Returns
        -------
        cross_entropy : float
            Mean of -ln P of the state one lag later, nats.
        entropy : float
            The same if only the populations of the states were known.

        Raises
        ------
        ScoreError
            If there are no pairs.
        """
        logs = self.log_probabilities(arrays)
        now = [p[: max(len(p) - self.lag, 0)] for p in logs]
        later = np.concatenate([p[self.lag :].argmax(axis=1) for p in logs])
        if not len(later):
            raise ScoreError(f"There are no pairs at a lag of {self.lag} frames.")
        told = np.concatenate(now)[np.arange(len(later)), later]
        share = np.bincount(later, minlength=self.n_states) / len(later)
        known = share[share > 0]
        return float(-told.mean(dtype=float)), float(-(known * np.log(known)).sum())


def initial_labels(
    arrays: Arrays, others: Arrays, lag: int, n: int, seed: int = 0
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Label frames by k-means in the space of the slow TICA components.

    Parameters
    ----------
    arrays, others : list of (F, ...) ndarrays
        What TICA and k-means are fitted to, and what is only labelled.
    lag : int
        Frames.
    n : int
        Labels.
    seed : int
        Of k-means.

    Returns
    -------
    two lists of (F,) ndarray of int64
    """
    tica = fit_tica(arrays, lag, _LABEL_COMPONENTS)
    points, rest = tica.transform(arrays), tica.transform(others)
    stride = -(-sum(map(len, points)) // _MAX_FIT_FRAMES)
    sample = np.concatenate([p[::stride] for p in points])
    kmeans = KMeans(min(n, len(sample)), n_init=3, random_state=seed).fit(sample)
    own, other = (
        [kmeans.predict(p).astype(np.int64) for p in part] for part in (points, rest)
    )
    return own, other


def fit_spib(
    arrays: Arrays,
    lag: int,
    spec: MixerSpec,
    *,
    labels: Sequence[NDArray[np.int64]] | None = None,
    seed: int = 0,
    options: SpibOptions | None = None,
    standardizer: Standardizer | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SpibFit:
    """Train an information bottleneck with one of our mixers as its encoder.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    lag : int
        Lag in frames: states that last less vanish.
    spec : MixerSpec
        The encoder; its outputs are the variables.
    labels : list of (F,) ndarray of int, optional
        Initial labels; by default those of :func:`initial_labels`.
    seed : int
        Of weights, noise and order; no global state changes.
    options : SpibOptions, optional
        Defaults if not given.
    standardizer : Standardizer, optional
        Of the training part, if already known.
    progress : callable, optional
        Called as ``progress(epoch, max_epochs)``.

    Returns
    -------
    SpibFit

    Raises
    ------
    ScoreError
        If there are too few pairs, nothing varies, or only one state is left.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import SpibOptions, fit_spib
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> spec = MixerSpec(kind="flat", n_tokens=1, n_features=1, n_outputs=1, width=16)
    >>> options = SpibOptions(n_labels=5, batch_size=64, learning_rate=0.01)
    >>> tokens = [run[:, None] for run in runs]
    >>> fit = fit_spib(tokens, 5, spec, options=options)
    >>> fit.n_states, [states.shape for states in fit.predict(tokens)]
    (2, [(500,), (500,), (500,), (500,)])
    """
    options = options or SpibOptions()
    if n_pairs(arrays, lag) < options.n_labels:
        raise ScoreError(
            f"{n_pairs(arrays, lag)} training pairs are too few for "
            f"{options.n_labels} labels; ask for fewer, or give more frames."
        )
    if labels is None:
        labels, _ = initial_labels(arrays, [], lag, options.n_labels, seed)
    # labels that no frame has cannot be predicted
    joined = np.unique(np.concatenate(labels), return_inverse=True)[1]
    ends = np.cumsum([len(x) for x in labels])[:-1]
    current = list(np.split(joined.astype(np.int64), ends))
    standardizer = standardizer or fit_standardizer(arrays)
    rng = np.random.default_rng(seed)
    lobe = Lobe(spec, standardizer, seed)
    device = torch.device(options.device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), threads_for(0.0):
        torch.manual_seed(seed)
        n = int(joined.max()) + 1
        first = [int(rng.choice(np.flatnonzero(joined == s))) for s in range(n)]
        network = SpibNetwork(lobe, _frames(arrays, first), options.width).to(device)
        training = _Training(network, arrays, lag, options, rng)
        history, converged = [(0, n)], False
        while training.epoch < options.max_epochs and not converged:
            training.settle(current, progress)
            current, changed = training.relabel(current)
            history.append((training.epoch, network.n_states))
            converged = changed < _SETTLED
            if network.n_states < 2:
                raise ScoreError(
                    "Only one state is left: none lasts longer than the lag of "
                    f"{lag} frames; use a shorter lag."
                )
            if len(history) > options.refinements:
                break
    return SpibFit(network.eval(), lag, history, converged)


class _Training:
    """Epochs until the loss settles, and new labels in between."""

    def __init__(
        self,
        network: SpibNetwork,
        arrays: Arrays,
        lag: int,
        options: SpibOptions,
        rng: np.random.Generator,
    ) -> None:
        self.network, self.arrays, self.lag = network, arrays, lag
        self.options, self.rng = options, rng
        self.index = lagged_index(arrays, lag)
        self.epoch = 0

    def settle(
        self,
        labels: Sequence[NDArray[np.int64]],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Train on these labels until the loss changes no more."""
        optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.options.learning_rate
        )
        later = np.concatenate([x[self.lag :] for x in labels if len(x) > self.lag])
        before, quiet = np.inf, 0
        while self.epoch < self.options.max_epochs and quiet < self.options.patience:
            loss = self._epoch(later, optimizer)
            self.epoch += 1
            if progress is not None:
                progress(self.epoch, self.options.max_epochs)
            quiet = quiet + 1 if abs(loss - before) < self.options.tolerance else 0
            before = loss

    def _epoch(
        self, later: NDArray[np.int64], optimizer: torch.optim.Optimizer
    ) -> float:
        """Take one step for every batch of pairs; return the mean loss."""
        network, size = self.network.train(), self.options.batch_size
        device = network.log_variance.device
        order = self.rng.permutation(len(self.index))
        total = 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            frames = torch.from_numpy(gather(self.arrays, self.index[rows])).to(device)
            noise = torch.randn(len(rows), network.lobe.n_outputs, device=device)
            target = torch.from_numpy(later[rows]).to(device)
            loss = network.loss(frames, target, noise, self.options.beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        if not np.isfinite(total):
            raise ScoreError("Training failed: the loss is not finite.")
        return total / len(order)

    def relabel(
        self, labels: Sequence[NDArray[np.int64]]
    ) -> tuple[list[NDArray[np.int64]], float]:
        """Give every frame its likeliest later state; drop states without frames.

        Returns
        -------
        labels : list of (F,) ndarray of int64
        changed : float
            Share of the frames that have another state than before.
        """
        found = [
            p.argmax(axis=1) for p in _log_probabilities(self.network, self.arrays)
        ]
        joined, old = np.concatenate(found), np.concatenate(labels)
        kept, renamed = np.unique(joined, return_inverse=True)
        means = np.concatenate(run_lobe(self.network.lobe, self.arrays))
        nearest = []
        for state in range(len(kept)):
            own = np.flatnonzero(renamed == state)
            away = means[own] - means[own].mean(axis=0)
            nearest.append(int(own[np.argmin((away**2).sum(axis=1))]))
        device = self.network.log_variance.device
        self.network.keep(
            torch.from_numpy(kept), _frames(self.arrays, nearest).to(device)
        )
        ends = np.cumsum([len(x) for x in labels])[:-1]
        return list(np.split(renamed.astype(np.int64), ends)), float(
            (joined != old).mean()
        )


def _frames(arrays: Arrays, numbers: Sequence[int]) -> Tensor:
    """Return frames by their numbers, trajectories one after another."""
    starts = np.cumsum([0, *(len(a) for a in arrays)])
    trajectory = np.searchsorted(starts, numbers, side="right") - 1
    index = np.stack([trajectory, np.asarray(numbers) - starts[trajectory]], axis=1)
    return torch.from_numpy(gather(arrays, index))


def _log_probabilities(
    network: SpibNetwork, arrays: Arrays
) -> list[NDArray[np.float32]]:
    """Return ln P (F, S) of the later state of every frame."""
    device = network.log_variance.device
    network.eval()
    with torch.no_grad():
        return [
            network.decode(torch.from_numpy(z).to(device)).cpu().numpy()
            for z in run_lobe(network.lobe, arrays)
        ]
