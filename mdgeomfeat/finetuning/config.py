"""What one fine-tuning is, read from a TOML file or from options."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from ..errors import InputError
from ..pretraining.config import Schedule, fill_table

__all__ = [
    "HEADS",
    "KINDS",
    "FinetuneConfig",
    "LabelConfig",
    "NetworkConfig",
    "SplitConfig",
    "TuningConfig",
    "read_finetune_config",
]

KINDS: Final = (
    "intensive",
    "extensive",
    "dipole",
    "forces",
    "conservative",
    "classes",
)
HEADS: Final = ("gated", "linear")
STARTS: Final = ("pretrained", "scratch", "frozen")
METHODS: Final = ("auto", "random", "scaffold", "time")
LOSSES: Final = ("l1", "mse")


def _choice(table: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            f"[{table}] {name}={value!r} is unknown; choose one of "
            f"{', '.join(allowed)}."
        )


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """What is to be predicted, and where its values are.

    Parameters
    ----------
    file : str
        Extended XYZ, or a CSV or SDF file as QM9 comes in (see `read_labels`);
        several are separated by commas.
    kind : {"intensive", "extensive", "dipole", "forces", "conservative", "classes"}
        A mean or a sum over atoms, a dipole (three components or its length), forces
        as vectors of atoms, an energy whose gradient the forces are, or a class.
    target : str
        Name of the label in the file; for "forces" and "conservative" that of the
        energy, which the first of them does not read.
    unit : str
        Of the label, see `read_unit`. For "conservative" that of the energy.
    forces : str
        Name of the forces in the file.
    force_unit : str
        Of the forces; by default the energy's over Å.
    tests : str
        Files that are only tested on, separated by commas.
    max_atoms : int
        A molecule of more atoms is refused.

    Examples
    --------
    >>> from mdgeomfeat.finetuning import LabelConfig
    >>> LabelConfig(kind="extensive", target="energy", unit="eV").max_atoms
    500
    >>> LabelConfig(kind="volume")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: [labels] kind='volume' is unknown; choose one of ...
    """

    file: str = ""
    kind: str = "intensive"
    target: str = "energy"
    unit: str = ""
    forces: str = "forces"
    force_unit: str = ""
    tests: str = ""
    max_atoms: int = 500

    def __post_init__(self) -> None:
        _choice("labels", "kind", self.kind, KINDS)


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Which molecules or frames are trained on, and which are tested on.

    Parameters
    ----------
    method : {"auto", "random", "scaffold", "time"}
        By molecule, by Bemis-Murcko scaffold, or by the frames' order. "auto" is by
        order where all frames show one molecule, else by molecule.
    train, validation : float
        A share of all (below 1), or how many.
    test : float
        As `train`; 0 stands for all others.
    gap : int
        Frames left out between the parts of a trajectory.
    independent : bool
        Frames of a molecule are independent of each other (not a trajectory), so
        that they may be split at random.
    seen : str
        Packed pre-training data, or a text file with a SMILES string a line:
        molecules that are not tested on.
    seed : int

    Examples
    --------
    >>> from mdgeomfeat.finetuning import SplitConfig
    >>> SplitConfig(method="time", train=0.6, gap=20).validation
    0.1
    >>> SplitConfig(method="alphabet")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: [split] method='alphabet' is unknown; choose one ...
    """

    method: str = "auto"
    train: float = 0.8
    validation: float = 0.1
    test: float = 0.0
    gap: int = 10
    independent: bool = False
    seen: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("split", "method", self.method, METHODS)
        for name in ("train", "validation", "test", "gap"):
            value = getattr(self, name)
            if not value >= 0 or (name == "train" and value == 0):
                raise InputError(
                    f"[split] {name}={value} is not a share or number; give a share "
                    "below 1 or how many."
                )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network and what is put on it.

    Parameters
    ----------
    start : {"pretrained", "scratch", "frozen"}
        Fine-tune all weights, train the same network from random ones, or train the
        head alone.
    network : str
        Name or file of the network.
    head : {"gated", "linear"}
        Two gated equivariant blocks, or one linear map. For "forces", the first
        begins as the network's denoising head, where there is one.

    Examples
    --------
    >>> from mdgeomfeat.finetuning import NetworkConfig
    >>> NetworkConfig(start="frozen", head="linear").network
    'default'
    >>> NetworkConfig(start="warm")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: [model] start='warm' is unknown; choose one of ...
    """

    start: str = "pretrained"
    network: str = "default"
    head: str = "gated"

    def __post_init__(self) -> None:
        _choice("model", "start", self.start, STARTS)
        _choice("model", "head", self.head, HEADS)


@dataclass(frozen=True, kw_only=True)
class TuningConfig(Schedule):
    """Optimisation of a fine-tuning: `Schedule`, and what is its own.

    Parameters
    ----------
    batch : int
        Molecules in a batch.
    loss : {"l1", "mse"}
        Mean length of the errors, or mean of their squares; in units of the labels'
        spread. Classes have the cross entropy.
    energy_weight, force_weight : float
        Of the two terms of "conservative": errors of the energy per atom, and of
        forces.
    denoising : float
        Weight of the pre-training task beside the labels' (0: none).
    sigma : float, Å
        Its noise.

    Examples
    --------
    >>> from mdgeomfeat.finetuning import TuningConfig
    >>> TuningConfig(steps=500, batch=8).learning_rate
    0.001
    >>> TuningConfig(batch=0)
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: [train] batch=0 must be positive.
    """

    steps: int | None = 2000
    batch: int = 16
    loss: str = "l1"
    energy_weight: float = 1.0
    force_weight: float = 1.0
    denoising: float = 0.0
    sigma: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _choice("train", "loss", self.loss, LOSSES)
        self._check_positive("batch")
        self._check_positive("sigma")
        for name in ("energy_weight", "force_weight", "denoising"):
            if not getattr(self, name) >= 0:
                raise InputError(
                    f"[train] {name}={getattr(self, name)} must not be negative."
                )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning: labels, split, network and optimisation.

    Examples
    --------
    >>> from mdgeomfeat.finetuning import FinetuneConfig
    >>> config = FinetuneConfig.from_dict({"labels": {"kind": "dipole", "unit": "D"}})
    >>> config.labels.kind, config.train.steps
    ('dipole', 2000)
    >>> FinetuneConfig.from_dict({"optimizer": {}})
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: The run has unknown tables ['optimizer']; it may ...
    """

    name: str = "finetuned"
    labels: LabelConfig = field(default_factory=LabelConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: NetworkConfig = field(default_factory=NetworkConfig)
    train: TuningConfig = field(default_factory=TuningConfig)

    def __post_init__(self) -> None:
        if self.model.start == "frozen" and self.train.denoising:
            raise InputError(
                "[train] denoising trains the network, which start='frozen' keeps as "
                "it is; leave one of them out."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON types, for cards and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FinetuneConfig:
        """Rebuild a run from tables of a TOML file or from `to_dict`.

        Raises
        ------
        InputError
            If a table or an entry is unknown, or a value is not usable.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(
                f"The run has unknown tables {sorted(unknown)}; it may have name, "
                "[labels], [split], [model] and [train]."
            )
        kinds = {
            "labels": LabelConfig,
            "split": SplitConfig,
            "model": NetworkConfig,
            "train": TuningConfig,
        }
        parts: dict[str, Any] = {
            table: fill_table(kind, table, values.get(table, {}))
            for table, kind in kinds.items()
        }
        return cls(name=values.get("name", cls.name), **parts)


def read_finetune_config(path: str | Path) -> dict[str, Any]:
    r"""Read the tables of a run from a TOML file; `FinetuneConfig.from_dict` checks.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If the file cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.finetuning import FinetuneConfig, read_finetune_config
    >>> _ = Path("run.toml").write_text('[labels]\nfile = "qm.xyz"\nunit = "eV"\n')
    >>> FinetuneConfig.from_dict(read_finetune_config("run.toml")).labels.file
    'qm.xyz'
    """
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The run {path} cannot be read: {error}.") from error
