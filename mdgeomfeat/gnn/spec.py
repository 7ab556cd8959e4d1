"""What a network is, in a form that is stored beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from mdgeomfeat.errors import InputError

__all__ = ["ARCHITECTURES", "SPEC_FORMAT", "ModelSpec"]

ARCHITECTURES: Final = ("et", "visnet", "tensornet")
ENVELOPES: Final = ("cosine", "polynomial")
VECTOR_NORMS: Final = ("none", "max_min", "rms")
SPEC_FORMAT: Final = 1

# Upper limits that no sensible network comes near: a damaged or hostile card must
# not be able to ask for a terabyte.
_LIMITS: Final = {
    "n_channels": 4096,
    "n_layers": 64,
    "n_heads": 256,
    "n_rbf": 1024,
    "max_z": 256,
}


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Architecture of a backbone.

    Parameters
    ----------
    architecture : {"et", "visnet", "tensornet"}
        TorchMD-ET [1], ViSNet [2] or TensorNet [3].
    n_channels, n_layers, n_heads, n_rbf : int
        Width, depth, attention heads (unused by TensorNet) and radial functions.
    rbf : {"expnorm"}
        Radial basis.
    cutoff : float, Å
        Pairs at or beyond this distance do not see each other.
    smooth : bool
        Multiply every message by the envelope, so that features do not jump when a
        pair crosses the cutoff. The published forms of ET and ViSNet leave the
        vector messages out (``False``); TensorNet is smooth either way.
    envelope : {"cosine", "polynomial"}
        Function that takes messages to zero at the cutoff. The cosine has a
        continuous slope there; the polynomial a continuous curvature as well.
    self_edges : bool
        Whether each atom also sends itself a message (distance 0, no direction).
        The published networks do.
    lmax : {1, 2}
        Highest degree of ViSNet's internal features; 1 for the others. Features
        that come out are of degree 1 in either case.
    vector_norm : {"none", "max_min", "rms"}
        How ViSNet normalises vectors. ``"max_min"`` is the published one and jumps
        where an atom loses its last neighbour, so a smooth ViSNet refuses it.
    elements : tuple of int or None
        Atomic numbers seen in training; None if unknown or untrained.
    max_z : int
        Size of the table of element embeddings (atomic numbers below it).

    Raises
    ------
    InputError
        If a value is outside what the networks are defined for.

    References
    ----------
    [1] P. Thölke, G. De Fabritiis, ICLR 2022, arXiv:2202.02541

    [2] Y. Wang et al., Nat. Commun. 15, 313 (2024), arXiv:2210.16518

    [3] G. Simeon, G. De Fabritiis, NeurIPS 2023, arXiv:2306.06482

    Examples
    --------
    >>> from mdgeomfeat.gnn import ModelSpec
    >>> spec = ModelSpec(architecture="tensornet", n_channels=32, cutoff=5.0)
    >>> spec.n_channels, spec.cutoff, spec.smooth
    (32, 5.0, True)
    >>> ModelSpec(architecture="schnet")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: architecture='schnet' is unknown; choose one of ...
    """

    architecture: str = "et"
    n_channels: int = 64
    n_layers: int = 6
    n_heads: int = 8
    n_rbf: int = 64
    rbf: str = "expnorm"
    cutoff: float = 7.5
    smooth: bool = True
    envelope: str = "cosine"
    self_edges: bool = True
    lmax: int = 1
    vector_norm: str = "none"
    elements: tuple[int, ...] | None = None
    max_z: int = 100

    def __post_init__(self) -> None:
        self._choice("architecture", ARCHITECTURES)
        self._choice("rbf", ("expnorm",))
        self._choice("envelope", ENVELOPES)
        self._choice("vector_norm", VECTOR_NORMS)
        self._choice("lmax", (1, 2))
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise InputError(
                    f"{name}={value!r} is not a usable size of a network; give an "
                    f"integer from 1 to {limit}."
                )
        for name in ("smooth", "self_edges"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(
                    f"{name}={getattr(self, name)!r} must be true or false."
                )
        cutoff = self.cutoff
        if (
            isinstance(cutoff, bool)
            or not isinstance(cutoff, int | float)
            or not 0.5 <= cutoff <= 50.0
        ):
            raise InputError(
                f"cutoff={cutoff!r} is not usable; give a distance between 0.5 and 50 "
                "Å."
            )
        object.__setattr__(self, "cutoff", float(cutoff))
        self._check_combination()
        self._check_elements()

    def _choice(self, name: str, allowed: tuple[object, ...]) -> None:
        value = getattr(self, name)
        if value not in allowed:
            options = ", ".join(map(str, allowed))
            raise InputError(f"{name}={value!r} is unknown; choose one of {options}.")

    def _check_combination(self) -> None:
        if self.architecture != "tensornet" and self.n_channels % self.n_heads:
            raise InputError(
                f"n_channels={self.n_channels} cannot be divided among n_heads="
                f"{self.n_heads}; make it a multiple."
            )
        if self.architecture != "visnet" and self.lmax != 1:
            raise InputError(
                f"lmax={self.lmax} exists for visnet only; use lmax=1 with "
                f"{self.architecture}."
            )
        if self.architecture != "visnet" and self.vector_norm != "none":
            raise InputError(
                f"vector_norm={self.vector_norm!r} exists for visnet only; use "
                f"'none' with {self.architecture}."
            )
        if self.smooth and self.vector_norm == "max_min":
            raise InputError(
                "vector_norm='max_min' jumps when an atom loses its last neighbour; "
                "use 'rms' or 'none' with smooth=True."
            )

    def _check_elements(self) -> None:
        if self.elements is None:
            return
        try:
            elements = tuple(sorted({int(z) for z in self.elements}))
        except (TypeError, ValueError, OverflowError):
            elements = ()
        if not elements or elements[0] < 1 or elements[-1] >= self.max_z:
            raise InputError(
                f"elements={self.elements!r} must be atomic numbers from 1 to "
                f"{self.max_z - 1}, or None."
            )
        object.__setattr__(self, "elements", elements)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the format number as JSON types."""
        values = asdict(self)
        if self.elements is not None:
            values["elements"] = list(self.elements)
        return {"format": SPEC_FORMAT, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Rebuild a spec from :meth:`to_dict`.

        Raises
        ------
        InputError
            If the format number is unknown, or a field is missing or extra.
        """
        if not isinstance(values, Mapping):
            raise InputError(
                f"A model's spec must be a JSON object, not {type(values).__name__}."
            )
        given = dict(values)
        number = given.pop("format", None)
        if number != SPEC_FORMAT:
            raise InputError(
                f"The model's spec has format {number!r} and this version reads "
                f"{SPEC_FORMAT}; update mdgeomfeat or export the model again."
            )
        known = {field.name for field in fields(cls)}
        wrong = sorted(known ^ set(given))
        if wrong:
            raise InputError(
                f"The model's spec has missing or unknown fields ({', '.join(wrong)}); "
                "use the card that was saved with the weights."
            )
        if isinstance(given["elements"], list):
            given["elements"] = tuple(given["elements"])
        return cls(**given)
