"""Covariances of the Gaussian process samplers (algorithm reference 5.4, 5.5): fixtures and slopes."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_tune.samplers.gp.kernels import Curve, Inputs, Parameters, distances, matern

CURVE = Curve(alpha=1.0, rate=0.5, size=0.5)
ONE = Parameters(np.ones(1), 1.0, 1e-3, 0.0, CURVE)


def point(x, position=None):
    return Inputs(np.array([[x]]), None if position is None else np.array([position]))


@pytest.mark.parametrize(
    ("distance", "covariance"),
    [(0, 1), (0.1, 0.991759), (0.25, 0.950960), (0.5, 0.828649), (1, 0.523994), (2, 0.138660)],
)
def test_matern_of_the_reference(distance, covariance):
    """Covariances of points at the reference's distances, for bandwidth and scale 1."""
    found = matern(distances(np.array([[0.0]]), np.array([[float(distance)]])), 1.0)[0][0, 0]
    assert found == pytest.approx(covariance, abs=5e-7)


@pytest.mark.parametrize(("t", "kappa"), [(0, 1), (0.25, 0.888889), (0.5, 0.8), (1, 0.666667), (2, 0.5)])
def test_kappa_of_the_reference(t, kappa):
    """The share of a curve's fall that is still ahead, for alpha 1 and rate 1/2."""
    assert CURVE.kappa(np.array([float(t)]))[0] == pytest.approx(kappa, abs=5e-7)


@pytest.mark.parametrize(
    ("first", "second", "covariance"),
    [
        ((0.2, 0.5), (0.2, 0.5), 1.006667),
        ((0.2, 0.5), (0.7, 0.5), 0.835316),
        ((0.2, 0.1), (0.7, 0.9), 0.831112),
    ],
)
def test_joint_covariance_of_the_reference(first, second, covariance):
    """Configurations and positions of the reference: Matern part and curves add up."""
    assert ONE.covariance(point(*first), point(*second))[0, 0] == pytest.approx(covariance, abs=5e-7)


def test_variances_are_the_covariances_diagonal():
    """The variance of a point is its covariance with itself."""
    rng = np.random.default_rng(0)
    at = Inputs(rng.random((6, 1)), rng.random(6))
    assert ONE.variance(at) == pytest.approx(np.diag(ONE.covariance(at, at)), abs=1e-8)


def test_slopes_are_derivatives():
    """Slopes by the distance, by a point and by the curve's parameters equal difference quotients."""
    step = 1e-6
    squared = np.array([[0.01, 0.3, 2.0, 9.0]])
    rise = (matern(squared + step, 2.0)[0] - matern(squared - step, 2.0)[0]) / (2 * step)
    assert matern(squared, 2.0)[1] == pytest.approx(rise, rel=1e-6)

    rng = np.random.default_rng(1)
    parameters = Parameters(np.array([0.7, 3.0]), 1.3, 1e-3, 0.0)
    data, x = Inputs(rng.random((5, 2))), rng.random(2)
    for j, unit in enumerate(np.eye(2) * step):
        up, down = (parameters.covariance(Inputs(where[None, :]), data)[0] for where in (x + unit, x - unit))
        assert parameters.slope(x, data)[:, j] == pytest.approx((up - down) / (2 * step), abs=1e-7)

    positions = np.array([0.05, 0.3, 0.9])
    covariance, by_covariance = Curve(1.7, 0.9, 0.4).covariance_slopes(positions)
    mean, by_mean = Curve(1.7, 0.9, 0.4).mean_slopes(positions)
    assert covariance == pytest.approx(Curve(1.7, 0.9, 0.4).covariance(positions, positions))
    assert mean == pytest.approx(0.4 * Curve(1.7, 0.9, 0.4).kappa(positions))
    for j, unit in enumerate(np.eye(3) * step):
        up, down = (Curve(*(np.array([1.7, 0.9, 0.4]) * np.exp(sign * unit))) for sign in (1, -1))
        rise = (up.covariance(positions, positions) - down.covariance(positions, positions)) / (2 * step)
        assert by_covariance[j] == pytest.approx(rise, abs=1e-8)
        rise = (up.mean_slopes(positions)[0] - down.mean_slopes(positions)[0]) / (2 * step)
        assert by_mean[j] == pytest.approx(rise, abs=1e-8)


@pytest.mark.parametrize("curves", [False, True])
def test_a_vector_holds_all_parameters(curves):
    """Parameters come back from their vector, with or without curves."""
    start = Parameters.start(3, curves)
    again = Parameters.from_vector(start.vector(), 3)
    assert again.vector() == pytest.approx(start.vector(), abs=1e-12)
    assert (again.curve is None) == (not curves)
