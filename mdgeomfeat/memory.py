"""How much memory there is, and refusing to begin what needs more."""

from __future__ import annotations

import os
from pathlib import Path

from mdgeomfeat.errors import InputError, sentence

__all__ = ["available_memory", "check_memory"]


def available_memory() -> int | None:
    """Return the bytes that this process may still take, None where unknown.

    The limit of a container counts where it is below the machine's free memory.
    """
    free = None
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")
    if free is not None and (group / "memory.max").exists():
        text = (group / "memory.max").read_text().strip()
        if text != "max":
            free = min(free, max(0, int(text) - _used_by_group(group)))
    return free


def check_memory(need: float, what: str, remedy: str) -> None:
    """Stop before something is begun that needs over half of the free memory.

    Parameters
    ----------
    need : float, bytes
    what, remedy : str
        For the message.

    Raises
    ------
    InputError
        If it does.
    """
    free = available_memory()
    if free is not None and need > free / 2:
        raise InputError(
            sentence(
                f"{what} would take {_gigabytes(need)} of memory, more than half of "
                f"the {_gigabytes(free)} that are free; {remedy}"
            )
        )


def _used_by_group(group: Path) -> int:
    """Bytes that a control group holds, without file pages that can be dropped."""
    used = int((group / "memory.current").read_text())
    for line in (group / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            used -= int(line.split()[1])
    return used


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
