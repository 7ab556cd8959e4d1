"""The command line; what a command needs is imported when it runs."""

from __future__ import annotations

from mdgeomfeat.cli.app import app, main

__all__ = ["app", "main"]
