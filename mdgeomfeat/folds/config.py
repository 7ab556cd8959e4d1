"""What a run on folds is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from ..errors import InputError
from ..pretraining.config import Schedule, fill_table
from .network import NetworkSpec, TokenUse

__all__ = ["FoldConfig"]


@dataclass(frozen=True, kw_only=True)
class FoldConfig(Schedule):
    """Training of a residue network: `Schedule`, and what is its own.

    Parameters
    ----------
    tokens : {"none", "scalars", "framed"}
        See :class:`~mdgeomfeat.folds.network.NetworkSpec`.
    model : str
        Name or path of the network that makes the tokens.
    twin : int or None
        Take the tokens of its untrained twin with this seed.
    n_channels, n_layers, cutoff, dropout
        Of the residue network.
    batch : int
        Proteins in a step.
    noise : float, Å
        Standard deviation of normal noise on the backbone's positions in training,
        the only augmentation; 0 is none. Neighbours and tokens stay.
    validate_every : int
        Steps between two looks at the validation part.
    patience : int
        Training ends when so many looks in a row have seen no higher accuracy.

    Examples
    --------
    >>> from mdgeomfeat.folds import FoldConfig
    >>> config = FoldConfig(tokens="framed", twin=0, steps=1000)
    >>> FoldConfig.from_dict(config.to_dict()) == config
    True
    """

    weight_decay: float = 0.0
    tokens: TokenUse = "none"
    model: str = "default"
    twin: int | None = None
    n_channels: int = 128
    n_layers: int = 4
    cutoff: float = 10.0
    dropout: float = 0.2
    batch: int = 16
    noise: float = 0.0
    validate_every: int = 500
    patience: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "validate_every", "patience", "cutoff"):
            self._check_positive(name)
        if self.noise < 0:
            raise InputError(f"noise={self.noise} must be 0 or a length in Å.")
        if self.twin is not None and self.tokens == "none":
            raise InputError(
                f"twin={self.twin} needs tokens; pass tokens='scalars' or 'framed'."
            )

    def network_spec(self, n_classes: int, token_channels: int) -> NetworkSpec:
        """Return the shape of the residue network.

        Parameters
        ----------
        n_classes, token_channels : int
        """
        return NetworkSpec(
            n_classes=n_classes,
            n_channels=self.n_channels,
            n_layers=self.n_layers,
            cutoff=self.cutoff,
            dropout=self.dropout,
            tokens=self.tokens,
            token_channels=token_channels,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a configuration from plain values.

        Parameters
        ----------
        values : dict

        Raises
        ------
        InputError
            If an entry is unknown.
        """
        made: Self = fill_table(cls, "folds", values)
        return made
