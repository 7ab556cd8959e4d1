"""What the package says when an input cannot be used.

A user's mistake is an :class:`InputError` whose message is one sentence that names
the file, atom, residue or option and says what to do; the command line prints it
and exits with status 2. Anything else that is raised is a defect of ours.
"""

from __future__ import annotations

__all__ = ["AssumptionWarning", "InputError", "MDGeomFeatWarning", "clause", "sentence"]


class InputError(ValueError):
    """An input, option or file that cannot be used, and what to do about it."""


class MDGeomFeatWarning(UserWarning):
    """Something was decided for the user that they may want to know."""


class AssumptionWarning(MDGeomFeatWarning):
    """Something that files do not state was taken from what they do state.

    Reports tell it where they tell what was analysed, not among what speaks against a
    result.
    """


def sentence(text: str) -> str:
    """Begin a text with a capital letter and end it with a full stop.

    For messages that are put together, and begin or end with words from elsewhere.

    Parameters
    ----------
    text : str
        Paths and names of options at the beginning are not to be changed, so it must
        begin with a word.

    Returns
    -------
    str

    Examples
    --------
    >>> sentence("frame 3 of run.xtc has no box")
    'Frame 3 of run.xtc has no box.'
    """
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def clause(error: BaseException | str) -> str:
    """Turn a sentence, such as the message of an error, into a part of another one.

    Parameters
    ----------
    error : exception or str

    Returns
    -------
    str
        Without the full stop, and beginning with a small letter, except in names and
        abbreviations (TICA, A:ALA2).

    Examples
    --------
    >>> clause("The outputs do not vary.")
    'the outputs do not vary'
    """
    text = str(error).removesuffix(".")
    if text[:1].isupper() and (text[1:2].islower() or text[1:2] == " "):
        text = text[0].lower() + text[1:]
    return text
