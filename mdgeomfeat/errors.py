"""What the package says when an input cannot be used.

A user's mistake is an :class:`InputError` whose message is one sentence that names
the file, atom, residue or option and says what to do; the command line prints it
and exits with status 2. Anything else that is raised is a defect of ours.
"""

from __future__ import annotations

__all__ = ["InputError", "MDGeomFeatWarning"]


class InputError(ValueError):
    """An input, option or file that cannot be used, and what to do about it."""


class MDGeomFeatWarning(UserWarning):
    """Something was decided for the user that they may want to know."""
