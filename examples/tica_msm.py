"""Features into deeptime: TICA and a Markov state model of alanine dipeptide.

python examples/tica_msm.py
"""

from pathlib import Path

import MDAnalysis as mda
from deeptime.clustering import KMeans
from deeptime.decomposition import TICA
from deeptime.markov.msm import MaximumLikelihoodMSM

from mdgeomfeat import GeomGNNFeaturizer

DATA = Path(__file__).resolve().parents[1] / "data" / "ala2"
LAG = 10  # frames of 4 ps


def above_the_lag(timescales):
    """Write timescales in ps; a process that is over within the lag is noise."""
    slow = timescales[timescales > LAG] * dt
    return ", ".join(f"{t:.0f}" for t in slow) or "none"


universe = mda.Universe(DATA / "ala2.pdb", sorted(map(str, DATA.glob("ala2-*.xtc"))))
features = GeomGNNFeaturizer(universe).run(step=2)
runs = features.results.features_list()  # one array per trajectory
dt = features.results.dt  # ps between analysed frames
print(f"timescales above the lag of {LAG * dt:.0f} ps, in ps")

tica = TICA(lagtime=LAG, dim=2).fit_fetch(runs)
coordinates = [tica.transform(run) for run in runs]
print(f"TICA: {above_the_lag(tica.timescales(lagtime=LAG)[:5])}")

clusters = KMeans(50, fixed_seed=1).fit_fetch(coordinates)
states = [clusters.transform(run) for run in coordinates]
msm = MaximumLikelihoodMSM(lagtime=LAG).fit_fetch(states)
print(f"MSM:  {above_the_lag(msm.timescales(k=5))}")
print(f"share of counts in the model: {msm.count_fraction:.3f}")
