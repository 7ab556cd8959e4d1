"""For every option of features a value that is not its default."""

from __future__ import annotations

from mdgeomfeat.featurespec import feature_options

OTHER = {
    "select": "name CA",
    "model": "another.safetensors",
    "tokens": "atom",
    "window": 1,
    "pool": "sum",
    "invariants": "norms",
    "max_neighbors": 4,
    "periodic": False,
    "allow_unseen": True,
    "dtype": "float64",
}
#: Those that the numbers of a token depend on, given the atoms and the network.
OF_NUMBERS = {
    name: value
    for name, value in OTHER.items()
    if feature_options()[name].metadata["numbers"] and name not in ("model", "tokens")
}


def flags(options):
    """Return what a user types for options of features."""
    typed = []
    for name, value in options.items():
        switch = feature_options()[name].metadata["switch"]
        if switch:
            typed.append(switch.split("/")[0 if value else 1])
        else:
            typed += ["--" + name.replace("_", "-"), value]
    return typed
