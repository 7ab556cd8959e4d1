"""The bias on a particle whose free energy is an integral that is known."""

from __future__ import annotations

import numpy as np
import openmm as mm
import pytest
from openmm import app

from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import Bias, BiasSettings
from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.energy import GAS_CONSTANT
from mdgeomfeat.variables import Reach, TrainingRecord
from mdgeomfeat.variables.training import LEVELS

KT = GAS_CONSTANT * 300
RANGE = BiasRange(width=0.1, lower=-1.6, upper=1.6, grid=(-2.0, 2.0))
# Two wells at -1 and 1 nm, 6 kT between them, the right one 1 kT higher.
WELL = f"{KT}*(6*(x^2-1)^2 + x/2)"


def energy(x):
    return KT * (6 * (x**2 - 1) ** 2 + x / 2)


def coordinate(axis="x"):
    force = mm.CustomExternalForce(axis)
    force.addParticle(0, [])
    return force


def particle(expression=WELL):
    """Return the system of one particle that is held near the x axis."""
    system = mm.System()
    system.addParticle(10.0)
    well = mm.CustomExternalForce(f"{expression} + 200*(y^2+z^2)")
    well.addParticle(0, [])
    system.addForce(well)
    return system


def topology():
    made = app.Topology()
    residue = made.addResidue("X", made.addChain())
    made.addAtom("X", app.Element.getBySymbol("C"), residue)
    return made


def simulation(system, bias, seed=1, x=-1.0):
    integrator = mm.LangevinMiddleIntegrator(300, 5, 0.01)
    integrator.setRandomNumberSeed(seed)
    integrator.setIntegrationForceGroups(set(range(32)) - bias.idle_groups)
    made = app.Simulation(
        topology(), system, integrator, mm.Platform.getPlatformByName("Reference")
    )
    made.context.setPositions([[x, 0, 0]])
    made.context.setVelocitiesToTemperature(300, seed)
    return made


def settings(method, **options):
    chosen = {"barrier": 25.0, "bias_factor": 10.0, "pace": 50} | options
    return BiasSettings(method=method, **chosen)


@pytest.mark.parametrize("method", ["opes", "metad"])
def test_free_energy_and_weights_are_right(method):
    grid = np.linspace(-2, 2, 4001)
    density = np.exp(-energy(grid) / KT)
    exact = -KT * np.log(density[grid > 0].sum() / density[grid < 0].sum())
    errors = []
    for seed in range(6):
        bias = Bias(
            system := particle(), [coordinate()], [RANGE], settings(method, height=0.5)
        )
        run = simulation(system, bias, seed + 1)
        x, weights = [], []
        for k in range(20_000):
            bias.step(run, 20)
            if k > 5000:
                x.append(bias.values(run.context)[0])
                weights.append((bias.energies(run.context)[0] - bias.constant()) / KT)
        x, weights = np.array(x), np.exp(np.array(weights) - np.max(weights))
        # by the weights of frames, as --weights logweight@COLVAR has them
        from_frames = -KT * np.log(weights[x > 0].sum() / weights[x < 0].sum())
        errors.append(from_frames - exact)
        # and by the bias itself
        (axis,) = bias.axes()
        inside = np.abs(axis) < 1.4
        assert np.std(bias.free_energy()[inside] - energy(axis[inside])) < 0.5 * KT
        assert (np.diff(np.sign(x)) != 0).sum() > 100
    # one run is off by 0.2 kT, either way
    assert abs(np.mean(errors)) < 0.25 * KT


@pytest.mark.parametrize(
    ("width", "n_variables", "n_points"),
    # three points a width and one more, at least 31, at most so many on both axes
    [(0.1, 1, 121), (0.1, 2, 121), (10.0, 1, 31)],
)
def test_a_grid_has_three_points_a_width(width, n_variables, n_points):
    bounds = BiasRange(width=width, lower=-1, upper=1, grid=(-2.0, 2.0))
    assert bounds.points(n_variables) == n_points


def test_walls_keep_a_variable_on_its_grid():
    system = particle("-200*x")  # it falls to the right
    bias = Bias(system, [coordinate()], [RANGE], settings("opes"))
    run = simulation(system, bias)
    for _ in range(50):
        bias.step(run, 20)
        (x,) = bias.values(run.context)
        assert x < RANGE.grid[1]
    assert x > RANGE.upper
    _, walls = bias.energies(run.context)
    stiffness = RANGE.stiffness()[1]
    assert walls == pytest.approx(stiffness / 2 * (x - RANGE.upper) ** 2)
    assert stiffness / 2 * (RANGE.grid[1] - RANGE.upper) ** 2 == pytest.approx(200)


def test_the_lower_wall_pushes_up_and_only_below_its_end():
    asymmetric = BiasRange(width=0.1, lower=-1.5, upper=1.6, grid=(-2.5, 2.0))
    system = particle()
    bias = Bias(system, [coordinate()], [asymmetric], settings("opes"))
    run = simulation(system, bias)

    def wall(x):
        run.context.setPositions([[x, 0, 0]])
        group = {bias._walls.getForceGroup()}
        state = run.context.getState(getForces=True, groups=group)
        force = state.getForces(asNumpy=True)._value[0, 0]
        return bias.energies(run.context)[1], force

    # 200 kJ/mol at the grid's end, 1 nm below the wall's, and a quarter half way
    assert wall(-2.5) == (pytest.approx(200), pytest.approx(400))
    assert wall(-2.0) == (pytest.approx(50), pytest.approx(200))
    assert wall(2.0)[0] == pytest.approx(200)
    for x in (-1.5, 0.0, 1.6):
        assert wall(x) == (0, 0)


@pytest.mark.parametrize("method", ["opes", "metad"])
def test_a_bias_fades_out_far_from_the_training_data(method):
    # the "distance" is 1 + y here: the bias is whole below y = 0, none above 0.5
    far = mm.CustomExternalForce("1 + y")
    far.addParticle(0, [])
    system = particle("0*x")
    bias = Bias(system, [coordinate()], [RANGE], settings(method, fade=0.5), far)
    run = simulation(system, bias)
    bias.step(run, 500)
    level = 25.0
    if method == "metad":
        level = bias._table().max()
        run.context.setParameter("bias_level", level)

    def at(x, y):
        run.context.setPositions([[x, y, 0]])
        state = run.context.getState(
            getForces=True, groups={bias._force.getForceGroup()}
        )
        forces = state.getForces(asNumpy=True)._value[0]
        return bias.energies(run.context)[0], forces, bias.distance(run.context)

    x = -1.05
    whole, pull, _ = at(x, -0.2)
    none, push, distance = at(x, 0.6)
    assert distance == pytest.approx(1.6)
    assert abs(pull[0]) > 0.1
    assert (push == 0).all()
    # where it is gone its energy is that of no bias in what is explored
    assert none == pytest.approx(0 if method == "opes" else level)
    half, _, _ = at(x, 0.25)
    assert half == pytest.approx((whole + none) / 2)
    # the force is what the energy says, also where it fades
    step = 1e-5
    _, forces, _ = at(x, 0.3)
    slope = (at(x, 0.3 + step)[0] - at(x, 0.3 - step)[0]) / (2 * step)
    assert forces[1] == pytest.approx(-slope, rel=1e-5)
    # which has no kink where fading begins and ends
    middle = abs(at(x, 0.25)[1][1])
    assert abs(at(x, 1e-3)[1][1]) < 0.05 * middle
    assert abs(at(x, 0.5 - 1e-3)[1][1]) < 0.05 * middle
    # and of what has not been explored it does not push a molecule out
    _, forces, _ = at(1.3, 0.3)
    assert forces[1] <= 1e-9


def test_a_fading_bias_goes_to_what_is_the_highest_by_then():
    far = mm.CustomExternalForce("1 + y")
    far.addParticle(0, [])
    system = particle()
    bias = Bias(system, [coordinate()], [RANGE], settings("metad", fade=0.5), far)
    run = simulation(system, bias)
    for _ in range(3):
        highest = bias._table().max()
        bias.step(run, 50)
        assert run.context.getParameter("bias_level") == pytest.approx(highest)
        assert bias._table().max() > highest


def test_a_distance_is_told_without_being_a_force():
    far = mm.CustomExternalForce("1 + y")
    far.addParticle(0, [])
    system = particle()
    bias = Bias(system, [coordinate()], [RANGE], settings("opes"), far)
    run = simulation(system, bias)
    bias.step(run, 50)
    y = run.context.getState(getPositions=True).getPositions(asNumpy=True)._value[0, 1]
    assert bias.distance(run.context) == pytest.approx(1 + y)
    assert len(bias.idle_groups) == 1


def test_two_variables_and_their_grid():
    system = particle()
    ranges = [RANGE, BiasRange(width=0.05, lower=-0.5, upper=0.5, grid=(-0.6, 0.6))]
    bias = Bias(system, [coordinate(), coordinate("y")], ranges, settings("metad"))
    run = simulation(system, bias)
    bias.step(run, 100)
    x, y = bias.values(run.context)
    first, second = bias.axes()
    table = bias._table()
    assert table.shape == (len(second), len(first))
    row, column = np.unravel_index(table.argmax(), table.shape)
    state = bias.state()["table"]
    assert (state == table).all()
    assert table.max() > 1  # of two Gaussians of 1 kJ/mol that overlap
    assert abs(first[column] - x) < 0.5
    assert abs(second[row] - y) < 0.3


@pytest.mark.parametrize("method", ["opes", "metad"])
def test_another_bias_goes_on_from_its_state(method):
    first_system = particle()
    first = Bias(first_system, [coordinate()], [RANGE], settings(method))
    run = simulation(first_system, first)
    first.step(run, 400)
    state = first.state()
    second_system = particle()
    second = Bias(second_system, [coordinate()], [RANGE], settings(method), state=state)
    again = simulation(second_system, second)
    checkpoint = run.context.createCheckpoint()
    first.step(run, 400)
    # all contexts of this platform share their random numbers, so not earlier
    again.context.loadCheckpoint(checkpoint)
    second.step(again, 400)
    assert first.values(run.context) == second.values(again.context)
    assert first.energies(run.context) == second.energies(again.context)
    assert first.constant() == second.constant()


def test_a_bias_that_went_on_for_long_still_goes_on_bit_by_bit():
    # what OPES sums up on the way is not what it sums up from its kernels at once
    first_system = particle()
    first = Bias(first_system, [coordinate()], [RANGE], settings("opes", pace=5))
    run = simulation(first_system, first)
    first.step(run, 3000)
    state = first.state()
    again = Bias(
        particle(), [coordinate()], [RANGE], settings("opes", pace=5), state=state
    )
    assert first.constant() == again.constant()
    assert (first.free_energy() == again.free_energy()).all()


def test_the_constant_of_metadynamics_makes_the_mean_weight_one():
    """Frames of the biased ensemble weigh exp((V - c) / kT), 1 on average."""
    system = particle()
    chosen = settings("metad", height=2.0, bias_factor=6.0)
    bias = Bias(system, [coordinate()], [RANGE], chosen)
    run = simulation(system, bias)
    bias.step(run, 2000)
    v = bias._table()
    # the free energy that a well-tempered bias V stands for
    f = -v * 6.0 / 5.0
    biased = np.exp(-(f + v - (f + v).min()) / KT)
    weights = np.exp((v - bias.constant()) / KT)
    assert (biased @ weights) / biased.sum() == pytest.approx(1, rel=1e-9)
    assert bias.free_energy().min() == 0


def test_kt_follows_the_temperature():
    hot = BiasSettings(temperature=450.0, barrier=40.0)
    assert hot.kt == pytest.approx(8.314462618e-3 * 450)
    assert hot.factor == pytest.approx(40 / (8.314462618e-3 * 450))
    assert BiasSettings(bias_factor=7.0).factor == 7.0


def record(quantiles, by_state):
    one = np.zeros(1)
    reach = Reach(
        mean=one,
        factor=one + 1,
        components=np.eye(1),
        weights=one,
        noise=1.0,
        usual=1.0,
    )
    return TrainingRecord(
        quantiles=np.array([quantiles]),
        by_state=np.array(by_state)[:, None],
        counts=one,
        sample=np.zeros((1, 1)),
        box=False,
        reach=reach,
    )


def test_ranges_follow_the_training_data():
    data = np.random.default_rng(1)
    left, right = data.normal(0, 0.3, 5000), data.normal(6, 0.5, 1000)
    both = np.concatenate([left, right])
    quantiles = [np.quantile(part, LEVELS) for part in (left, right)]
    unseen = np.full(len(LEVELS), np.nan)
    seen = record(np.quantile(both, LEVELS), [*quantiles, unseen])
    (proposed,) = propose_ranges(seen, [0])
    assert proposed.width == pytest.approx(0.3, rel=0.05)
    extent = np.ptp(both)
    assert proposed.lower == pytest.approx(both.min() - 0.05 * extent)
    assert proposed.grid[1] == pytest.approx(both.max() + 0.25 * extent)
    # a state of one frame has no width
    one = [np.full(len(LEVELS), left[0]), *quantiles]
    (proposed,) = propose_ranges(record(np.quantile(both, LEVELS), one), [0])
    assert proposed.width == pytest.approx(0.3, rel=0.05)
    # a state as narrow as a needle does not make the bias so
    thin = [np.quantile(left / 1000, LEVELS), quantiles[1]]
    (proposed,) = propose_ranges(record(np.quantile(both, LEVELS), thin), [0])
    assert proposed.width == pytest.approx(0.02 * extent)


def test_ranges_that_numpy_has_computed_make_walls_too():
    ends = np.array([-1.6, 1.6])
    computed = BiasRange(
        width=ends.std(), lower=ends[0], upper=ends[1], grid=(ends[0] - 1, ends[1] + 1)
    )
    system = particle()
    bias = Bias(system, [coordinate()], [computed], settings("opes"))
    run = simulation(system, bias, x=2.0)
    assert bias.energies(run.context)[1] == pytest.approx(200 * 0.4**2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BiasSettings(method="umbrella"), "use 'opes' or 'metad'"),
        (lambda: BiasSettings(temperature=0.0), "temperature=0.0 must be a number"),
        (lambda: BiasSettings(barrier=float("nan")), "barrier=nan must be a number"),
        (lambda: BiasSettings(barrier=2.0), "factor of 0.802 gives no bias"),
        (lambda: BiasSettings(fade=0.0), "fade=0.0 must be"),
        (lambda: BiasRange(width=0, lower=0, upper=1, grid=(0, 1)), "do not fit"),
        (lambda: BiasRange(width=1, lower=1, upper=0, grid=(0, 1)), "do not fit"),
        (lambda: BiasRange(width=1, lower=-1, upper=1, grid=(0, 1)), "do not fit"),
        (lambda: RANGE.points(4), "4 variables are too many"),
        (
            lambda: Bias(particle(), [coordinate()], [RANGE], settings("opes", fade=1)),
            "make the variables with reach=True",
        ),
        (
            lambda: Bias(
                particle(),
                [coordinate(), coordinate()],
                [
                    RANGE,
                    BiasRange(width=1, lower=-3, upper=3, grid=(-3, 3), periodic=True),
                ],
                settings("metad"),
            ),
            "cannot be biased together",
        ),
    ],
)
def test_what_makes_no_bias_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_opes_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openmm_opes", None)
    with pytest.raises(InputError, match=r"install the extra.*or use metadynamics"):
        Bias(particle(), [coordinate()], [RANGE], settings("opes"))
