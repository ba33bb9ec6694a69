"""Fitting the Gaussian process's parameters (algorithm reference 5.4): likelihood, priors, bounds, jitter."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_tune.samplers.gp import fit as fit_module
from prefect_tune.samplers.gp.fit import BOUNDS, Objective, factorised, fit
from prefect_tune.samplers.gp.kernels import Curve, Inputs, Parameters
from prefect_tune.samplers.gp.layout import lay_out

PLAIN = (np.array([0.1, 0.4, 0.8]), None, np.array([-1.0, 0.2, 0.8]), None, 6.529976)
JOINT = (
    np.array([0.1, 0.1, 0.6]),
    (np.array([1, 3, 1]) - 0.5) / 9,
    np.array([0.5, -0.7, 1.0]),
    Curve(1.0, 0.5, 0.5),
    181.342050,
)


def dense(inputs, targets, parameters):
    """The negative log likelihood, written as in a textbook."""
    matrix = parameters.covariance(inputs, inputs) + parameters.noise * np.eye(len(targets))
    residual = targets - parameters.prior_mean(inputs)
    value = 0.5 * residual @ np.linalg.solve(matrix, residual) + 0.5 * np.linalg.slogdet(matrix)[1]
    return value + 0.5 * len(targets) * np.log(2 * np.pi)


def curves(trials, dimensions, seed=0):
    """Some learning curves: inputs with one to five levels per trial, and targets."""
    rng = np.random.default_rng(seed)
    rows, positions, targets = [], [], []
    for x in rng.random((trials, dimensions)):
        for level in (1, 3, 9, 27, 50)[: rng.integers(1, 6)]:
            rows.append(x)
            positions.append((level - 0.5) / 50)
            targets.append(np.sin(5 * x[0]) + 1 / level + 0.1 * rng.standard_normal())
    return Inputs(np.array(rows), np.array(positions)), np.array(targets)


@pytest.mark.parametrize(("x", "position", "y", "curve", "value"), [PLAIN, JOINT], ids=["GP", "MOBSTER"])
def test_likelihood_of_the_reference(x, position, y, curve, value):
    """The reference's three observations have the reference's negative log likelihood."""
    inputs = Inputs(x[:, None], position)
    found = Objective(lay_out(inputs, y), 1).likelihood(Parameters(np.ones(1), 1.0, 1e-3, 0.0, curve))[0]
    assert found == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
@pytest.mark.parametrize("seed", range(3))
def test_the_layout_changes_nothing(joint, seed):
    """The likelihood in rotated coordinates is the textbook's, also with equal rows and few levels."""
    inputs, targets = curves(12, 3, seed)
    if not joint:
        inputs = Inputs(inputs.x)
    rng = np.random.default_rng(seed)
    vector = Parameters.start(3, joint).vector()
    parameters = Parameters.from_vector(vector + 0.5 * rng.standard_normal(len(vector)), 3)
    layout = lay_out(inputs, targets)
    assert layout.size <= 12 + 5 < len(targets)
    found = Objective(layout, 3).likelihood(parameters)[0]
    assert found == pytest.approx(dense(inputs, targets, parameters), rel=1e-9)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_gradients_are_derivatives(joint):
    """The gradient of likelihood and priors equals difference quotients in every coordinate."""
    inputs, targets = curves(15, 2)
    if not joint:
        inputs = Inputs(inputs.x)
    objective = Objective(lay_out(inputs, targets), 2)
    rng = np.random.default_rng(5)
    start = Parameters.start(2, joint).vector()
    for _ in range(3):
        vector = start + 0.5 * rng.standard_normal(len(start))
        gradient = objective(vector)[1]
        for j, unit in enumerate(np.eye(len(vector)) * 1e-5):
            rise = (objective(vector + unit)[0] - objective(vector - unit)[0]) / 2e-5
            assert gradient[j] == pytest.approx(rise, rel=1e-5, abs=1e-4)


def test_priors_of_the_reference():
    """Scale: ln c + (ln c)^2 / 2; noise: 0.9 ln v + v; mean: m^2 / 2; nothing on bandwidths and curves."""
    inputs, targets = curves(6, 1)
    objective = Objective(lay_out(inputs, targets), 1)
    parameters = Parameters(np.array([7.0]), 3.0, 0.2, -1.5, Curve(2.0, 3.0, 0.25))
    prior = objective(parameters.vector())[0] - objective.likelihood(parameters)[0]
    expected = np.log(3) + np.log(3) ** 2 / 2 + 0.9 * np.log(0.2) + 0.2 + 1.5**2 / 2
    assert prior == pytest.approx(expected)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_the_fit_improves_on_its_starts_and_keeps_the_bounds(joint):
    """The fitted parameters are at least as good as the table's start, and within the table's bounds."""
    inputs, targets = curves(20, 2)
    if not joint:
        inputs = Inputs(inputs.x)
    fitted = fit(inputs, targets, np.random.default_rng(0))
    objective = Objective(lay_out(inputs, targets), 2)
    assert objective(fitted.vector())[0] < objective(Parameters.start(2, joint).vector())[0]
    named = [("bandwidth", value) for value in fitted.bandwidths]
    named += [("scale", fitted.scale), ("noise", fitted.noise)]
    if joint:
        named += [("alpha", fitted.curve.alpha), ("rate", fitted.curve.rate), ("size", fitted.curve.size)]
    for name, value in named:
        assert BOUNDS[name][0] * (1 - 1e-9) <= value <= BOUNDS[name][1] * (1 + 1e-9)


def test_the_first_start_is_the_tables_and_the_second_moves_every_coordinate(monkeypatch):
    """Two searches start: at the table's values, and at these plus a normal draw per coordinate, clipped."""
    starts = []

    def record(objective, vector, **options):
        starts.append(vector)
        return original(objective, vector, **options)

    original = fit_module.minimize
    monkeypatch.setattr(fit_module, "minimize", record)
    inputs, targets = curves(6, 2)
    fit(inputs, targets, np.random.default_rng(3))
    values = [1, 1, 1, 1e-3, 0, 1, 0.5, 0.5]
    first = [np.log(value) if place != 4 else 0.0 for place, value in enumerate(values)]
    assert starts[0] == pytest.approx(first)
    moved = np.array(first) + np.random.default_rng(3).standard_normal(8)
    moved[-1] = min(moved[-1], 0.0)  # the curve's size is at most 1
    assert starts[1] == pytest.approx(moved)


def test_without_a_usable_start_the_starting_values_stay(monkeypatch):
    """If no search comes to a number, the parameters are those of the table."""

    def fail(*_, **__):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(fit_module, "minimize", fail)
    inputs, targets = curves(4, 2)
    assert fit(inputs, targets, np.random.default_rng(0)).vector() == pytest.approx(
        Parameters.start(2, True).vector()
    )


def test_jitter_climbs_until_a_matrix_can_be_factorised():
    """No jitter where none is needed; else 1e-9 of the mean diagonal, times ten until it works."""
    good = np.array([[2.0, 1.0], [1.0, 2.0]])
    factor, jitter = factorised(good)
    assert jitter == 0.0
    assert np.tril(factor) @ np.tril(factor).T == pytest.approx(good)

    bad = np.array([[1.0, 1.0 + 3e-8], [1.0 + 3e-8, 1.0]])  # smallest eigenvalue -3e-8
    factor, jitter = factorised(bad)
    assert jitter == pytest.approx(1e-7)
    assert np.tril(factor) @ np.tril(factor).T == pytest.approx(bad + 1e-7 * np.eye(2), abs=1e-12)


@pytest.mark.parametrize("matrix", [np.array([[np.nan]]), np.array([[np.inf]]), -np.eye(2)])
def test_a_hopeless_matrix_is_refused(matrix):
    """What no jitter can help raises instead of going on for ever."""
    with pytest.raises(np.linalg.LinAlgError):
        factorised(matrix)
