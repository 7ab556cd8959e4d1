"""Sphinx configuration."""

import os
import sys
from pathlib import Path

import mdgeomfeat

sys.path.insert(0, str(Path(__file__).parent))
from generate import write_pages

# Tutorials type `mdgeomfeat ...`; this environment's must be the one that answers, on
# one thread, so that times and numbers do not depend on the machine.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Kernels ask for colours, which pages cannot show.
os.environ["TTY_COMPATIBLE"] = "0"

project = "mdgeomfeat"
author = "The mdgeomfeat developers"
copyright = f"2026, {author}"
release = mdgeomfeat.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Tutorials are run when the site is built, and again only if their cells have changed:
# `make clean` forgets the results.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "jupyter-cache")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True

html_theme = "furo"
html_title = "mdgeomfeat"
html_static_path = ["static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build", "generated", "paper", "packaging", "tutorials/out"]


def write_generated(app):
    """Write the pages that are made of the program itself."""
    write_pages(Path(app.srcdir) / "generated")


def setup(app):
    """Connect the hook."""
    app.connect("builder-inited", write_generated)
