"""How an information bottleneck is trained."""

from __future__ import annotations

from dataclasses import dataclass

from mdgeomfeat.errors import InputError

__all__ = ["SpibOptions"]


@dataclass(frozen=True, kw_only=True)
class SpibOptions:
    """How an information bottleneck is trained.

    Parameters
    ----------
    n_labels : int
        Initial labels, of which states remain.
    beta : float
        What information about the frame costs, in units of the cross entropy.
    width : int
        Hidden units of each of the decoder's two layers.
    batch_size : int
        Pairs per step.
    learning_rate : float
        Of Adam.
    refinements : int
        Times that labels are made anew, at most. It ends sooner where a refinement
        changes less than one label in two hundred.
    patience : int
        Epochs with a change of the training loss below `tolerance`, after which
        labels are made anew.
    tolerance : float
        Of the loss, nats.
    max_epochs : int
        Of all refinements together.
    device : str
        Torch device.

    Raises
    ------
    InputError
        If a value is not allowed.

    Examples
    --------
    >>> from mdgeomfeat.kinetics import SpibOptions
    >>> SpibOptions(n_labels=10).beta
    0.001
    >>> SpibOptions(n_labels=1)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: n_labels=1 is too few; choose 2 or more.
    """

    n_labels: int = 20
    beta: float = 1e-3
    width: int = 64
    batch_size: int = 512
    learning_rate: float = 1e-3
    refinements: int = 10
    patience: int = 2
    tolerance: float = 2e-3
    max_epochs: int = 150
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("width", "batch_size", "refinements", "patience", "max_epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be 1 or more.")
        if self.n_labels < 2:
            raise InputError(f"n_labels={self.n_labels} is too few; choose 2 or more.")
        for name in ("beta", "learning_rate", "tolerance"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0.")
