"""Units that labels may be stated in, and what they become: eV, eV/Å, debye."""

from __future__ import annotations

from typing import Final, NamedTuple

from scipy.constants import N_A, angstrom, calorie, e, physical_constants

from ..errors import InputError

__all__ = ["Unit", "read_unit"]

_BOHR: Final = physical_constants["Bohr radius"][0] / angstrom
_HARTREE: Final = physical_constants["Hartree energy in eV"][0]
_DEBYE: Final = physical_constants["atomic unit of electric dipole mom."][0] / (
    # A debye is 1e-21 / c of the SI's unit.
    1e-21 / physical_constants["speed of light in vacuum"][0]
)

_ENERGY: Final = {
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": _HARTREE,
    "kcal/mol": 1000 * calorie / (N_A * e),
    "kJ/mol": 1000 / (N_A * e),
}
_LENGTH: Final = {"Å": 1.0, "bohr": _BOHR, "nm": 10.0}
_DIPOLE: Final = {"D": 1.0, "e*Å": _DEBYE / _BOHR, "e*bohr": _DEBYE}
#: Kept as they are; "1" stands for numbers without a unit.
_OTHER: Final = ("1", "bohr^2", "bohr^3", "Å^2", "Å^3", "cal/(mol*K)", "GHz", "cm^-1")
_SPELLINGS: Final = {
    "ev": "eV",
    "mev": "meV",
    "ha": "Hartree",
    "hartree": "Hartree",
    "kj/mol": "kJ/mol",
    "bohr": "bohr",
    "a": "Å",
    "ang": "Å",
    "angstrom": "Å",
    "debye": "D",
}


class Unit(NamedTuple):
    """A unit of labels.

    Attributes
    ----------
    factor : float
        What a label is multiplied by.
    name : str
        The unit it then has.
    """

    factor: float
    name: str


def _plain(text: str) -> str:
    return _SPELLINGS.get(text.strip().lower(), text.strip())


def read_unit(text: str, *, force: bool = False) -> Unit:
    """Find out what a stated unit is.

    Parameters
    ----------
    text : str
        Such as ``"kcal/mol"``, ``"Hartree/bohr"`` or ``"D"``.
    force : bool
        Whether it must be an energy over a length; an energy alone stands for the
        energy over Å.

    Returns
    -------
    Unit

    Raises
    ------
    InputError
        If it is not stated or unknown.

    Examples
    --------
    >>> factor, name = read_unit("Hartree")
    >>> f"{factor:.4f} {name}"
    '27.2114 eV'
    >>> read_unit("eV/Å", force=True)
    Unit(factor=1.0, name='eV/Å')
    """
    if force:
        whole = text if _plain(text) not in _ENERGY else f"{text}/Å"
        energy, _, length = whole.rpartition("/")
        energy, length = _plain(energy), _plain(length)
        if energy in _ENERGY and length in _LENGTH:
            return Unit(_ENERGY[energy] / _LENGTH[length], "eV/Å")
        allowed = f"one of {', '.join(_ENERGY)}, over one of {', '.join(_LENGTH)}"
    else:
        name = _plain(text)
        if name in _ENERGY:
            return Unit(_ENERGY[name], "eV")
        if name in _DIPOLE:
            return Unit(_DIPOLE[name], "D")
        if name in _OTHER:
            return Unit(1.0, name)
        allowed = f"one of {', '.join((*_ENERGY, *_DIPOLE, *_OTHER))}"
    raise InputError(
        f"The unit of the labels is {text!r}, which is not known; state {allowed}."
    )
