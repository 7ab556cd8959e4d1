"""What one training run is, read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..gnn import ModelSpec

__all__ = [
    "DataConfig",
    "RunConfig",
    "Schedule",
    "TaskConfig",
    "TrainConfig",
    "fill_table",
    "read_config",
]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where conformations come from.

    Parameters
    ----------
    file : str
        Packed file (see `pack`).
    validation : float
        Share of the molecules that are only ever used to watch the loss.
    weights : dict of str to float
        How often each source is drawn, relative to the others; sources that are
        not named get 1. Inside a source molecules are drawn evenly, then their
        conformations. An equilibrium and a non-equilibrium part are two sources.
    """

    file: str = "data.npz"
    validation: float = 0.02
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The denoising task.

    Parameters
    ----------
    sigmas : tuple of float, Å
        Scales of the Gaussian noise; one is drawn per molecule.
    sigma_weights : tuple of float
        How often each.
    all_atoms, heavy_only, some_hydrogens : float
        How often a molecule is seen with all atoms, without hydrogens, or with
        each hydrogen kept with a probability drawn for the molecule.
    """

    sigmas: tuple[float, ...] = (0.2,)
    sigma_weights: tuple[float, ...] = (1.0,)
    all_atoms: float = 0.35
    heavy_only: float = 0.5
    some_hydrogens: float = 0.15

    def __post_init__(self) -> None:
        for name in ("sigmas", "sigma_weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.sigmas or len(self.sigmas) != len(self.sigma_weights):
            raise InputError(
                f"sigmas={self.sigmas} and sigma_weights={self.sigma_weights} must "
                "be equally many, at least one."
            )
        if min(self.sigmas) <= 0:
            raise InputError(f"sigmas={self.sigmas} must be positive lengths in Å.")
        if sum(self.modes) <= 0 or min(self.modes) < 0:
            raise InputError(
                "all_atoms, heavy_only and some_hydrogens must not be negative and "
                f"not all zero, not {self.modes}."
            )

    @property
    def modes(self) -> tuple[float, float, float]:
        """Weights of all atoms, heavy only, some hydrogens."""
        return self.all_atoms, self.heavy_only, self.some_hydrogens


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Optimisation, whatever the task.

    Parameters
    ----------
    steps : int or None
        Length of the schedule. None: it follows the clock over `minutes`.
    minutes : float or None
        Length of the schedule in time, if `steps` is None.
    learning_rate, weight_decay, clip : float
        Of AdamW; the gradient's norm is clipped.
    warmup : float
        Share of the schedule in which the learning rate rises; then it falls along
        a cosine to `final` of its height.
    ema : float
        Decay of the moving average of the weights, which is what is saved.
    seed : int
    log_every, checkpoint_minutes : int, float
    """

    steps: int | None = 10_000
    minutes: float | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    clip: float = 1.0
    warmup: float = 0.02
    final: float = 0.01
    ema: float = 0.999
    seed: int = 0
    log_every: int = 50
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InputError(
                "[train] needs steps or minutes: they say how long the run is."
            )
        for name in ("steps", "minutes", "learning_rate", "log_every"):
            self._check_positive(name)

    def _check_positive(self, name: str) -> None:
        value = getattr(self, name)
        if value is not None and not value > 0:
            raise InputError(f"[train] {name}={value} must be positive.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Schedule):
    """Optimisation of a pre-training run: `Schedule`, and what is its own.

    Parameters
    ----------
    atoms : int
        Atoms in a batch (per process); molecules are added until it is full.
    init : str
        Name or path of a model to continue from; empty for fresh weights.
    """

    atoms: int = 1500
    init: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("atoms")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: model, data, task and optimisation."""

    name: str = "model"
    model: ModelSpec = field(default_factory=ModelSpec)
    data: DataConfig = field(default_factory=DataConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON types, for cards and checkpoints."""
        values = asdict(self)
        values["model"] = self.model.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """Rebuild a run from tables of a TOML file or from `to_dict`.

        Raises
        ------
        InputError
            If a table or an entry is unknown.
        """
        parts: dict[str, Any] = {"name": values.get("name", "model")}
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(
                f"The run has unknown tables {sorted(unknown)}; it may have name, "
                "[model], [data], [task] and [train]."
            )
        for key, kind in (
            ("data", DataConfig),
            ("task", TaskConfig),
            ("train", TrainConfig),
        ):
            parts[key] = fill_table(kind, key, values.get(key, {}))
        model = dict(values.get("model", {}))
        model.pop("format", None)
        if model.get("elements") is not None:
            model["elements"] = tuple(model["elements"])
        parts["model"] = fill_table(ModelSpec, "model", model)
        return cls(**parts)

    def with_train(self, **changes: Any) -> RunConfig:
        """Return a copy with other entries of [train]."""
        return replace(self, train=replace(self.train, **changes))


def fill_table(kind: Any, table: str, values: dict[str, Any]) -> Any:
    """Make a configuration's table from the entries of a TOML file.

    Parameters
    ----------
    kind : type
        The dataclass to make.
    table : str
        What the file calls it.
    values : dict

    Returns
    -------
    object
        Of type `kind`.

    Raises
    ------
    InputError
        If an entry is unknown.
    """
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"[{table}] has unknown entries {unknown}; it may have {sorted(known)}."
        )
    if issubclass(kind, Schedule) and "minutes" in values and "steps" not in values:
        values = {"steps": None, **values}
    return kind(**values)


def read_config(path: str | Path) -> RunConfig:
    """Read a run from a TOML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    RunConfig

    Raises
    ------
    InputError
        If the file cannot be read or holds something unknown.
    """
    try:
        values = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The run {path} cannot be read: {error}.") from error
    return RunConfig.from_dict(values)
