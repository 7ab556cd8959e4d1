"""Sphinx configuration."""

import mdgeomfeat

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
exclude_patterns = ["_build"]
