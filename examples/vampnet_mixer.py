"""A VAMPNet whose lobe mixes residues with an MLP-Mixer, on a pentapeptide.

python examples/vampnet_mixer.py
"""

from pathlib import Path

import MDAnalysis as mda

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.kinetics import StudySettings, run_study
from mdgeomfeat.report import choices_in_words, doubts_in_words

DATA = Path(__file__).resolve().parents[1] / "data" / "wlall"

universe = mda.Universe(DATA / "wlall.pdb", sorted(map(str, DATA.glob("wlall-*.xtc"))))
features = GeomGNNFeaturizer(universe).run(step=2)

# Tokens (frames, residues, channels), not one flat vector: the mixer combines them.
inputs = {"features": features.results.token_features_list()}
settings = StudySettings(method="vampnet", mixer="mlp", dt=features.results.dt, seeds=2)
study = run_study(inputs, primary="features", settings=settings)

for choice in choices_in_words(study):
    print(choice)
for doubt in doubts_in_words(study):
    print(f"note: {doubt}")
for score in study.scores:
    print(f"{score.method}: held-out VAMP-2 {score.score:.3f} ± {score.sd_folds:.3f}")
study.model.save("wlall-cvs")
