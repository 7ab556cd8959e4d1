from __future__ import annotations

import base64

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mdgeomfeat.report import figures as f
from mdgeomfeat.report.figures.style import figure
from mdgeomfeat.report.molecule import RIBBON, Molecule, Role, facing


def texts(fig) -> list[str]:
    found = [t.get_text() for ax in fig.axes for t in ax.texts]
    for ax in fig.axes:
        found += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title("left")]
    found += [t.get_text() for legend in fig.legends for t in legend.get_texts()]
    return [t for t in found if t]


@pytest.fixture
def chain():
    rng = np.random.default_rng(0)
    states = [np.repeat([0, 1, 0], 100), np.repeat([1, 0], 150)]
    cvs = [
        np.stack([np.where(s == 0, -1.0, 1.0), 0.0 * s], 1)
        + 0.1 * rng.standard_normal((len(s), 2))
        for s in states
    ]
    return cvs, states


@pytest.mark.parametrize(
    ("dt", "frames", "name", "per_frame"),
    [
        (1.0, 500, "ps", 1.0),
        (1.0, 5000, "ns", 1e-3),
        (100.0, 50_000, "µs", 1e-4),
        (None, 50_000, "frames", 1.0),
    ],
)
def test_time_unit_suits_the_span(dt, frames, name, per_frame):
    unit = f.choose_time_unit(dt, frames)
    assert unit.name == name
    assert unit.per_frame == pytest.approx(per_frame)


def test_energy_axis_names_its_unit_and_marks_states():
    edges = np.linspace(-1, 1, 11)
    surface = f.draw_landscape(
        np.full((10, 10), 1.0),
        (edges, edges),
        "kJ/mol",
        representatives=np.array([[0.0, 0.0], [np.nan, np.nan], [0.5, 0.5]]),
    )
    assert "free energy (kJ/mol)" in texts(surface)
    assert [t for t in texts(surface) if t.isdigit()] == ["1", "3"]
    profile = f.draw_landscape(np.ones(10), (edges,), "kT")
    assert "free energy (kT)" in texts(profile)
    assert "CV 1" in texts(profile)


def test_energy_over_a_torsion_shows_the_whole_circle():
    edges = (np.linspace(-180, 180, 11), np.linspace(2, 9, 11))
    surface = f.draw_landscape(
        np.full((10, 10), 1.0),
        edges,
        "kT",
        labels=("phi A:ALA2 (°)", "distance " + "name CA and " * 9 + "resid 1 (Å)"),
        periods=((-180.0, 180.0), None),
    )
    ax = surface.axes[0]
    assert ax.get_xlim() == (-180, 180)
    assert list(ax.get_xticks()) == [-180, -90, 0, 90, 180]
    assert ax.get_xlabel() == "phi A:ALA2 (°)"
    assert max(map(len, ax.get_ylabel().split("\n"))) <= 44
    assert " ".join(ax.get_ylabel().split("\n")).endswith("resid 1 (Å)")


def test_time_axes_say_frames_when_the_time_step_is_unknown(chain):
    cvs, states = chain
    labels = texts(f.draw_time_series(cvs, dt=None, states=states))
    assert any(label.startswith("frame") for label in labels)
    assert any("(ps)" in t for t in texts(f.draw_time_series(cvs, dt=1.0)))


def test_timescales_survive_missing_values():
    lags = np.array([1, 2, 5, 10])
    its = np.array([[50.0, 5.0], [60.0, np.nan], [61.0, np.nan], [np.nan, np.nan]])
    fig = f.draw_timescales(lags, its, dt=2.0, low=its * 0.9, high=its * 1.1)
    f.to_png(fig)
    assert "implied timescale (ps)" in texts(fig)


def test_many_states_show_only_staying():
    predicted = np.tile(np.eye(6), (4, 1, 1))
    fig = f.draw_chapman_kolmogorov(np.arange(1, 5), predicted, predicted, dt=1.0)
    shown = [t for t in texts(fig) if "→" in t]
    assert shown == [f"{i} → {i}" for i in range(1, 7)]


def test_dependent_scores_are_hollow_and_explained():
    bar = {"label": "x", "method": "TICA", "mean": 1.5, "spread": None, "null": None}
    both = [f.ScoreBar(**bar, independent=True), f.ScoreBar(**bar, independent=False)]
    assert "not independent" in texts(f.draw_scores(both, ceiling=None, upper=3))
    assert "not independent" not in texts(
        f.draw_scores(both[:1], ceiling=None, upper=3)
    )


def test_angles_are_drawn_on_a_scale_that_closes():
    angle = np.linspace(-180, 180, 50)
    points = np.random.default_rng(0).random((50, 2))
    entry = f.NamedMap(name="features", embedding=points, frames=np.arange(50))
    fig = f.draw_maps([entry], [f.ColorBy(label="φ (°)", values=angle, cyclic=True)])
    points = fig.axes[0].collections[0]
    assert points.get_clim() == (-180.0, 180.0)
    colors = points.get_cmap()([0.0, 1.0])
    assert np.abs(colors[0] - colors[1]).max() < 0.02


@pytest.mark.parametrize("n_points", [1, 2, 3, 12])
def test_structures_are_turned_to_the_eye_and_never_mirrored(n_points):
    for seed in range(4):
        points = np.random.default_rng(seed).normal(size=(n_points, 3))
        points -= points.mean(axis=0)
        view = facing(points)
        np.testing.assert_allclose(view.T @ view, np.eye(3), atol=1e-12)
        assert np.linalg.det(view) == pytest.approx(1)
        spread = (points @ view).std(axis=0)
        assert (np.diff(spread) < 1e-12).all()


def test_what_is_in_front_is_drawn_last_and_the_ligand_before_all_else():
    """Two crossing chains, a ligand behind both, its bond orange and on top."""
    n = RIBBON
    x = np.linspace(-20, 20, n)
    front = np.stack([x, 0 * x, 0 * x + 5], axis=1)
    back = np.stack([0 * x, x, 0 * x - 5], axis=1)
    ligand = np.array([[3.0, 3, -9], [4.5, 3, -9]])
    molecule = Molecule(
        names=np.array(["CA"] * (2 * n) + ["C1", "C2"]),
        numbers=np.full(2 * n + 2, 6),
        residue=np.append(np.arange(2 * n), [2 * n] * 2),
        labels=tuple(f"R{k}" for k in range(2 * n + 1)),
        roles=(Role.PROTEIN,) * (2 * n) + (Role.OTHER,),
        chain=np.repeat([0, 1, 2], [n, n, 1]),
        bonds=np.array([[2 * n, 2 * n + 1]]),
    )
    frame = np.vstack([front, back, ligand])
    fig = f.draw_structures([frame[None]], molecule, ["state 1"])
    assert "state 1" in texts(fig)
    (lines,) = fig.axes[0].collections
    pieces, colors = np.array(lines.get_segments()), lines.get_colors()[:, :3]
    rim = (colors == 1).all(axis=1)
    along_x = np.ptp(pieces[:, :, 1], axis=1) < 1e-9
    is_ligand = np.isclose(pieces[:, :, 1], 3).all(axis=1)
    last = [np.flatnonzero(~rim & chosen).max() for chosen in
            (~along_x, along_x & ~is_ligand, is_ligand)]  # fmt: skip
    assert last == sorted(last)
    first_front = np.flatnonzero(along_x & ~is_ligand).min()
    assert first_front > np.flatnonzero(~rim & ~along_x).max()
    red, green, blue = colors[last[2]]
    assert red > green > blue


def test_figures_use_no_global_state_and_embed_whole():
    before = dict(mpl.rcParams)
    fig = figure(1.0)
    assert isinstance(fig.canvas, FigureCanvasAgg)
    picture = f.to_svg(f.draw_populations(None, np.array([0.5, 0.5])))
    uri = f.to_data_uri(picture, "svg")
    assert dict(mpl.rcParams) == before
    head, payload = uri.split(",")
    assert head == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(payload)


def test_same_figure_same_bytes():
    def draw():
        return f.to_svg(f.draw_populations(np.array([0.4, 0.6]), np.ones(2) / 2))

    assert draw() == draw()
