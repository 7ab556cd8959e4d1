"""Sphinx configuration."""

import sys
from pathlib import Path

import mdgeomfeat

sys.path.insert(0, str(Path(__file__).parent))
from generate import write_pages

project = "mdgeomfeat"
author = "The mdgeomfeat developers"
copyright = f"2026, {author}"
release = mdgeomfeat.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True

html_theme = "furo"
html_title = "mdgeomfeat"
exclude_patterns = ["_build", "generated"]


def write_generated(app):
    """Write the pages that are made of the program itself."""
    write_pages(Path(app.srcdir) / "generated")


def setup(app):
    """Connect the hook."""
    app.connect("builder-inited", write_generated)
