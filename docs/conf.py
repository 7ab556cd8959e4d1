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
exclude_patterns = ["_build", "generated"]


def write_cards(app):
    """Render the cards of the shipped models, so that the page cannot be outdated."""
    import json
    from pathlib import Path

    weights = Path(mdgeomfeat.__file__).parent / "weights"
    page = []
    for path in sorted(weights.glob("*.json")):
        card = json.loads(path.read_text())
        page += [f"## {card['name']}", ""]
        page += [
            f"- **{key}**: {card[key]}"
            for key in ("training", "licence", "note")
            if key in card
        ]
        spec = card["spec"]
        page.append(
            f"- **network**: {spec['architecture']}, {spec['n_layers']} layers, "
            f"{spec['n_channels']} channels, cutoff {spec['cutoff']} Å"
        )
        page.append(f"- **elements** (atomic numbers): {spec['elements']}")
        page.append(f"- **fingerprint**: `{card['fingerprint'][:16]}`")
        page += ["", "The whole card:", "", "```json"]
        shown = {k: v for k, v in card.items() if k != "reference"}
        page += [json.dumps(shown, indent=1), "```", ""]
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    (folder / "cards.md").write_text("\n".join(page))


def setup(app):
    """Connect the hook."""
    app.connect("builder-inited", write_cards)
