"""The frozen description from which a mixer is built and rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from mdgeomfeat.errors import InputError

__all__ = ["KINDS", "MixerSpec"]

FORMAT: Final = 2

#: What each kind uses when width and depth are left to it. Two hidden layers of 64
#: are the lobe that held-out scores on small peptides favoured; the other kinds stay
#: within a factor of about two of its number of parameters on such systems. One block
#: of attention scores as two do (wlall: 2.70 and 2.72, with a spread of 0.35) in 60 %
#: of the time. The equivariant one carries four numbers per channel, hence half the
#: width.
_DEFAULTS: Final[dict[str, tuple[int, int]]] = {
    "flat": (64, 2),
    "mlp": (64, 2),
    "attention": (64, 1),
    "equivariant": (32, 2),
}

KINDS: Final = tuple(_DEFAULTS)

#: Read-outs of each kind, the usual one first. Joined tokens took a well-sampled
#: pentapeptide's held-out VAMP-2 from 2.89 (class token) to 2.92, and five residues
#: with few runs from 2.35 to 2.63.
READOUTS: Final[dict[str, tuple[str, ...]]] = {
    "flat": ("joined",),
    "mlp": ("mean", "joined", "pooled"),
    "attention": ("joined", "class", "pooled", "mean"),
    "equivariant": ("class", "joined", "pooled", "mean"),
}

#: What format 1 always did.
_FIRST_READOUTS: Final = {
    "flat": "joined",
    "mlp": "mean",
    "attention": "class",
    "equivariant": "class",
}


@dataclass(frozen=True, kw_only=True)
class MixerSpec:
    """Everything that fixes the shape of a mixer.

    Parameters
    ----------
    kind : {"flat", "mlp", "attention", "equivariant"}
        The architecture, see :mod:`mdgeomfeat.mixing`.
    n_tokens : int
        Tokens N of a frame.
    n_features : int
        Invariants K of a token; for ``equivariant`` its channels C.
    n_outputs : int
        Outputs d.
    width : int, optional
        Hidden channels; 64 (``equivariant``: 32) if None.
    depth : int, optional
        Hidden layers of ``flat``, blocks of the others; 2 (``attention``: 1) if None.
    n_heads : int
        Attention heads (``attention`` and ``equivariant`` only); divides `width`.
    dropout : float
        Probability, in [0, 1), of dropping an activation while training.
    input_dropout : float
        Probability, in [0, 1), of dropping an input while training; a vector is
        dropped as a whole.
    readout : {"joined", "class", "pooled", "mean"}, optional
        How the outputs are read off the mixed tokens: all of them joined end to end,
        a class token, a mean with learnt weights that depend on the tokens, or the
        plain mean. ``flat`` only joins; `None` takes the kind's usual one.
    merge : int
        Consecutive tokens that are joined to one before they are mixed, which a
        learnt linear map then brings to `width` (the patch merging of Liu et al.,
        2021). Attention over thousands of tokens needs it.

    Raises
    ------
    InputError
        If a value is outside what is allowed.

    Examples
    --------
    >>> from mdgeomfeat.mixing import MixerSpec
    >>> spec = MixerSpec(kind="attention", n_tokens=5, n_features=112, n_outputs=3)
    >>> spec.width, spec.depth, spec.readout
    (64, 1, 'joined')
    >>> MixerSpec(kind="attention", n_tokens=5, n_features=112, n_outputs=3, n_heads=3)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: Mixer width 64 is not divisible by n_heads=3; ...
    """

    kind: str
    n_tokens: int
    n_features: int
    n_outputs: int
    width: int | None = None
    depth: int | None = None
    n_heads: int = 4
    dropout: float = 0.0
    input_dropout: float = 0.0
    readout: str | None = None
    merge: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _DEFAULTS:
            raise InputError(
                f"Mixer {self.kind!r} is unknown; choose one of {', '.join(KINDS)}."
            )
        width, depth = _DEFAULTS[self.kind]
        if self.width is None:
            object.__setattr__(self, "width", width)
        if self.depth is None:
            object.__setattr__(self, "depth", depth)
        if self.readout is None:
            object.__setattr__(self, "readout", READOUTS[self.kind][0])
        if self.readout not in READOUTS[self.kind]:
            raise InputError(
                f"Mixer option readout={self.readout!r} is not known for "
                f"{self.kind!r}; choose one of {', '.join(READOUTS[self.kind])}."
            )
        sizes = ("n_tokens", "n_features", "n_outputs", "width", "n_heads", "merge")
        for name in sizes:
            if int(getattr(self, name)) < 1:
                raise InputError(
                    f"Mixer option {name}={getattr(self, name)} must be at least 1."
                )
        if self.hidden_depth < 0 or (self.kind != "flat" and self.hidden_depth < 1):
            raise InputError(
                f"Mixer option depth={self.depth} is too small for {self.kind!r}; "
                "take 2."
            )
        for name in ("dropout", "input_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(
                    f"Mixer option {name}={getattr(self, name)} must be at least 0 "
                    "and below 1."
                )
        attends = self.kind in ("attention", "equivariant")
        if attends and self.hidden_width % self.n_heads:
            raise InputError(
                f"Mixer width {self.width} is not divisible by n_heads="
                f"{self.n_heads}; choose a multiple."
            )

    @property
    def hidden_width(self) -> int:
        """Hidden channels, resolved."""
        return int(self.width or 0)

    @property
    def hidden_depth(self) -> int:
        """Hidden layers or blocks, resolved."""
        return int(self.depth if self.depth is not None else 0)

    @property
    def mixed_tokens(self) -> int:
        """Tokens after merging."""
        return -(-self.n_tokens // self.merge)

    @property
    def mixed_features(self) -> int:
        """Numbers (``equivariant``: channels) of a token after merging."""
        return self.n_features * self.merge

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame's input: (N, K), or (N, 4, C) for ``equivariant``."""
        if self.kind == "equivariant":
            return (self.n_tokens, 4, self.n_features)
        return (self.n_tokens, self.n_features)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict with a format number."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MixerSpec:
        """Rebuild a spec from :meth:`to_dict`.

        Raises
        ------
        InputError
            If the format is newer than this release, or a field is unknown or
            missing.
        """
        values = dict(values)
        number = values.pop("format", None)
        if number == 1:
            values["readout"] = _FIRST_READOUTS.get(values.get("kind", ""))
        elif number != FORMAT:
            raise InputError(
                f"This mixer has format {number!r}, but this release reads formats 1 "
                f"to {FORMAT}; use the release that wrote it."
            )
        known = {field.name for field in fields(cls)}
        needed = {"kind", "n_tokens", "n_features", "n_outputs"}
        if wrong := sorted(set(values) - known | needed - set(values)):
            raise InputError(
                f"The mixer description has unknown or missing fields: "
                f"{', '.join(wrong)}; write it again with MixerSpec.to_dict."
            )
        return cls(**values)
