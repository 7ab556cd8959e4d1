"""What makes features what they are, in a form that is stored beside them.

Every option here is declared once. Its name, default, allowed values and help give
the arguments of the featurizer and the transformer (:func:`takes_features`), the
options of the command line, what a store must share with a run that goes on with it,
and what models and untrained twins are made from. An option that is added needs its
lines here and the code that obeys it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    get_args,
)

from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.structure import Tokens

__all__ = [
    "DEFAULT_SEED",
    "FEATURE_FORMAT",
    "FeatureOptions",
    "FeatureSpec",
    "InvariantChoice",
    "InvariantKind",
    "Pooling",
    "check_choice",
    "check_count",
    "feature_options",
    "takes_features",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

FEATURE_FORMAT: Final = 1
DEFAULT_SEED: Final = 20241028

Dtype = Literal["float32", "float64"]
InvariantKind = Literal["scalars", "norms", "geometric", "spatial"]
InvariantChoice = Literal["auto", "scalars", "norms", "geometric", "spatial"]
Pooling = Literal["mean", "sum", "sidechain", "element"]
TokenKind = Literal["residue", "atom", "molecule"]

# Compared by every store since the first. Options that came later are compared where
# they are not at their default, which is what earlier stores were made with.
_ALWAYS_COMPARED = ("window", "pool", "invariants", "max_neighbors", "dtype")
# From so many tokens on their surroundings are a part of the features.
_MANY_TOKENS = 10
# What was meant by a spec that does not say it, where that is no default any more.
_EARLIER: Final = {"invariants": "geometric"}
# How stores and models named a token of each atom that a user gave, before format 1.
_CUSTOM = "custom"


def _option(
    text: str,
    *,
    choices: Any = None,
    least: int | None = None,
    metavar: str = "TEXT",
    switch: str | None = None,
    numbers: bool = True,
) -> dict[str, Any]:
    """Return what is to be known of an option beside its name and default.

    Parameters
    ----------
    text : str
        Help on the command line.
    choices : Literal, optional
        The values that are allowed, as text.
    least : int, optional
        The option is a whole number of at least this, or None.
    metavar : str
        Stands for the value on the command line.
    switch : str, optional
        The command line's words for an option that is true or false.
    numbers : bool
        Whether the numbers of a given set of atoms depend on it. A model that is
        applied to other files may do so with others of the options that say False.
    """
    return {
        "help": text,
        "choices": get_args(choices),
        "least": least,
        "metavar": metavar,
        "switch": switch,
        "numbers": numbers,
    }


class FeatureOptions(TypedDict, total=False):
    """The options of :class:`FeatureSpec` with their types, for type checkers."""

    model: str | Path | Backbone
    tokens: Tokens
    window: int | None
    pool: Pooling
    invariants: InvariantChoice
    max_neighbors: int | None
    periodic: bool | Literal["auto"]
    allow_unseen: bool
    dtype: str


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """What makes features what they are.

    Parameters
    ----------
    select : str, optional
        An MDAnalysis selection. By default the heavy atoms of the protein, otherwise of
        the nucleic acid, otherwise of everything but solvent and ions; see
        :func:`mdgeomfeat.structure.select_atoms`.
    model : str, Path or Backbone
        A name from the registry, or the path of a safetensors file with its card or
        of a published checkpoint. If a network itself is given, the spec
        stores the name of its class; stores and models also hold its fingerprint.
    tokens : {"residue", "atom", "molecule"} or (A,) ndarray of int
        The unit that gets one row of features.
    window : int, optional
        Give each token a graph of its own that holds the tokens up to this many
        places away in its unbroken chain. By default all selected atoms are one graph.
    pool : {"mean", "sum", "sidechain", "element"}
        How the features of atoms become those of a token: their mean or sum, or side
        by side the means of backbone and side chain (``"sidechain"``) or of carbon,
        nitrogen, oxygen and other elements (``"element"``). See
        :mod:`mdgeomfeat.featurizer.pooling`.
    invariants : {"auto", "spatial", "geometric", "norms", "scalars"}
        The numbers of a token, for estimators that take flat vectors; see
        :mod:`mdgeomfeat.featurizer.invariants`. ``"auto"`` becomes ``"spatial"``
        where there are ten tokens or more, else ``"geometric"``.
    max_neighbors : int, optional
        Keep only this many nearest neighbours of an atom. By default all within the
        network's cutoff.
    periodic : {"auto", True, False}
        Whether to use the box. ``"auto"`` uses it unless it cannot be right.
    allow_unseen : bool
        Accept elements that the network was not trained on.
    dtype : {"float32", "float64"}
        Precision of the network's arithmetic.
    invariants_seed : int
        Seed of the random mixtures of channels in the geometric invariants. It is
        stored, so the mixtures stay the same if the default ever changes.

    Raises
    ------
    InputError
        If a value is not allowed; the message says which values are.

    Examples
    --------
    >>> from mdgeomfeat.featurespec import FeatureSpec
    >>> spec = FeatureSpec(tokens="atom", pool="mean")
    >>> spec.tokens, spec.window, spec.invariants
    ('atom', None, 'auto')
    >>> FeatureSpec(window=-1)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: window=-1 must be a whole number of at least 0, ...
    """

    select: str | None = field(
        default=None,
        metadata=_option(
            "Atoms to analyse, in MDAnalysis's selection language (default: heavy "
            "atoms of the protein, otherwise of nucleic acids, otherwise of everything "
            "but solvent and ions).",
            numbers=False,
        ),
    )
    model: str | Path | Backbone = field(
        default="default",
        metadata=_option(
            "Pre-trained network; see 'mdgeomfeat weights list'.", metavar="NAME|FILE"
        ),
    )
    tokens: Tokens = field(
        default="residue",
        metadata=_option("Unit that gets one row of features.", choices=TokenKind),
    )
    window: int | None = field(
        default=None,
        metadata=_option(
            "Let a token see only K neighbours on either side along its chain "
            "(default: all atoms within the cutoff).",
            least=0,
            metavar="K",
        ),
    )
    pool: Pooling = field(
        default="mean",
        metadata=_option(
            "How the features of atoms become those of their token.", choices=Pooling
        ),
    )
    invariants: InvariantChoice = field(
        default="auto",
        metadata=_option(
            "Rotation-invariant numbers of a token, for estimators that take flat "
            "vectors (auto: spatial from ten tokens on, else geometric).",
            choices=InvariantChoice,
        ),
    )
    max_neighbors: int | None = field(
        default=None,
        metadata=_option(
            "Let an atom see only its N nearest neighbours (default: all within the "
            "cutoff).",
            least=1,
            metavar="N",
        ),
    )
    periodic: bool | Literal["auto"] = field(
        default="auto",
        metadata=_option(
            "Use the periodic box, or ignore it (default: use it unless it cannot be "
            "right).",
            switch="--pbc/--no-pbc",
            numbers=False,
        ),
    )
    allow_unseen: bool = field(
        default=False,
        metadata=_option(
            "Accept elements that the network was not trained on.",
            switch="--allow-unseen",
            numbers=False,
        ),
    )
    dtype: str = field(
        default="float32",
        metadata=_option("Precision of the network's arithmetic.", choices=Dtype),
    )
    invariants_seed: int = DEFAULT_SEED

    def __post_init__(self) -> None:
        if not (self.select is None or isinstance(self.select, str)):
            raise InputError(
                f"select={self.select!r} is not text; give a selection, or None."
            )
        if isinstance(self.model, Path):
            object.__setattr__(self, "model", str(self.model))
        if not isinstance(self.tokens, str):
            object.__setattr__(self, "tokens", _whole_numbers(self.tokens))
        for name, option in feature_options().items():
            value = getattr(self, name)
            if option.metadata["choices"] and not isinstance(value, tuple):
                check_choice(name, value, option.metadata["choices"])
            if option.metadata["least"] is not None:
                check_count(name, value, option.metadata["least"])
            if option.metadata["switch"]:
                object.__setattr__(self, name, _true_or_false(option, value))

    @property
    def model_name(self) -> str:
        """The network's name or path, or the name of its class."""
        model = self.model
        return model if isinstance(model, str) else type(model).__name__

    def decided(self, n_tokens: int) -> Self:
        """Return the spec with what it leaves to the number of tokens.

        How tokens lie in space says more the longer a chain is: in peptides of five and
        seven tokens it changed held-out scores by less than their spread, in a protein
        of 35 it added 0.4 (docs/results.md).

        Parameters
        ----------
        n_tokens : int
        """
        if self.invariants != "auto":
            return self
        kind: InvariantKind = "spatial" if n_tokens >= _MANY_TOKENS else "geometric"
        return dataclasses.replace(self, invariants=kind)

    def options(self) -> dict[str, Any]:
        """Return what a user may choose, as arguments by name."""
        return {name: getattr(self, name) for name in feature_options()}

    def to_dict(self) -> dict[str, Any]:
        """Return the spec for JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        tokens = self.tokens if isinstance(self.tokens, str) else list(self.tokens)
        return {
            "format": FEATURE_FORMAT,
            **values,
            "model": self.model_name,
            "tokens": tokens,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` has written.

        Options that are missing came later than the spec, which was made with what is
        their default.

        Parameters
        ----------
        values : mapping

        Raises
        ------
        InputError
            If it was written by a newer version, or a value is not allowed.
        """
        if values.get("format") != FEATURE_FORMAT:
            raise InputError(
                f"Features of the format {values.get('format')!r} are not known, only "
                f"those of {FEATURE_FORMAT}; install a newer mdgeomfeat."
            )
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(values.keys() - known - {"format"})
        if unknown:
            raise InputError(
                f"Features with the option {unknown[0]!r} are not known; install a "
                "newer mdgeomfeat."
            )
        given = {name: values[name] for name in known & values.keys()}
        return cls(**(_EARLIER | given))

    @classmethod
    def from_stored(
        cls, entries: Mapping[str, Any], token_of_atom: Sequence[int] | np.ndarray
    ) -> Self:
        """Read the spec of a store's provenance or of a model, of any age.

        Before specs had a format, their options stood among other entries.

        Parameters
        ----------
        entries : mapping
            What holds the spec under ``"features"``, or the options themselves.
        token_of_atom : (A,) sequence of int
            The tokens that are meant where old entries say ``"custom"``.

        Raises
        ------
        InputError
            As for :meth:`from_dict`.
        """
        spec = entries.get("features", entries)
        if "format" in spec:
            return cls.from_dict(spec)
        known = {f.name for f in dataclasses.fields(cls)}
        old = _EARLIER | {name: spec[name] for name in known & spec.keys()}
        if old.get("tokens") == _CUSTOM:
            old["tokens"] = token_of_atom
        return cls(**old)

    def compared(self) -> dict[str, str]:
        """Return what a store must share with a run that goes on with it.

        Selection, tokens, network and box are compared as what they have come to.
        """
        apart = {"select", "model", "tokens", "periodic", "allow_unseen"}
        return {
            f.name: str(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name in _ALWAYS_COMPARED
            or (f.name not in apart and getattr(self, f.name) != f.default)
        }


def feature_options() -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of :class:`FeatureSpec` that a user may choose, by name."""
    return {f.name: f for f in dataclasses.fields(FeatureSpec) if "help" in f.metadata}


def takes_features(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Spell out a function's ``**features`` as the options of :class:`FeatureSpec`.

    Those that the function names itself stay where they are.
    """
    signature = inspect.signature(function)
    own = dict(signature.parameters)
    (rest,) = (n for n, p in own.items() if p.kind is p.VAR_KEYWORD)
    del own[rest]
    first = [p for p in own.values() if p.kind is not p.KEYWORD_ONLY]
    last = [p for p in own.values() if p.kind is p.KEYWORD_ONLY]
    spelled_out = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=option.type,
        )
        for name, option in feature_options().items()
        if name not in own
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*first, *spelled_out, *last]
    )
    return function


def check_choice(option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of the allowed ones.

    Parameters
    ----------
    option : str
        Its name, for the message.
    value : object
    allowed : tuple of str

    Raises
    ------
    InputError
        Naming the option and what it may be.
    """
    if value not in allowed:
        raise InputError(
            f"{option}={value!r} is not known; use one of "
            f"{', '.join(map(repr, allowed))}."
        )


def check_count(
    option: str, value: object, least: int, otherwise: object = None
) -> None:
    """Refuse what is neither a whole number of at least `least` nor `otherwise`.

    Parameters
    ----------
    option : str
        Its name, for the message.
    value : object
    least : int
    otherwise : object, optional
        What is allowed instead of a number.

    Raises
    ------
    InputError
        Naming the option and what it may be.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if (whole and value >= least) or value == otherwise:  # type: ignore[operator]
        return
    raise InputError(
        f"{option}={value!r} must be a whole number of at least {least}, or "
        f"{otherwise!r}."
    )


def _true_or_false(option: dataclasses.Field[Any], value: object) -> object:
    """Return the value of a switch, which may be text where its default is."""
    if type(value).__name__ in ("bool", "bool_"):  # numpy's too
        return bool(value)
    others = (option.default,) if isinstance(option.default, str) else ()
    if isinstance(value, str) and value in others:
        return value
    allowed = ", ".join(map(repr, (*others, True, False)))
    raise InputError(f"{option.name}={value!r} is not known; use one of {allowed}.")


def _whole_numbers(tokens: Any) -> Any:
    """Return tokens of atoms as a tuple, so that the spec can be compared."""
    try:
        values = tuple(tokens)
    except TypeError:
        values = ()
    if not values or not all(
        isinstance(v, Integral) and not isinstance(v, bool) for v in values
    ):
        allowed = ", ".join(map(repr, get_args(TokenKind)))
        raise InputError(
            f"tokens={tokens!r} is not known; use one of {allowed}, or give one whole "
            "number for each selected atom."
        )
    return tuple(int(v) for v in values)
