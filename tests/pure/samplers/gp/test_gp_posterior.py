"""The posterior and its fantasies (algorithm reference 5.4, 5.5), and the expected improvement."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_tune.samplers.gp.acquisition import Acquisition, at, expected_improvement
from prefect_tune.samplers.gp.kernels import Curve, Inputs, Parameters
from prefect_tune.samplers.gp.posterior import Posterior

PLAIN = Parameters(np.ones(1), 1.0, 1e-3, 0.0)
CURVED = Parameters(np.ones(1), 1.0, 1e-3, 0.0, Curve(1.0, 0.5, 0.5))


def model(joint, seed=0, count=9, dimensions=2):
    """A posterior over random points."""
    rng = np.random.default_rng(seed)
    curve = Curve(1.3, 0.8, 0.6) if joint else None
    parameters = Parameters(np.array([2.0, 0.5][:dimensions]), 1.4, 1e-2, 0.3, curve)
    inputs = Inputs(rng.random((count, dimensions)), rng.random(count) if joint else None)
    return Posterior.of(inputs, rng.standard_normal((count, 1)), parameters), rng


def points(rng, joint, count=4):
    return Inputs(rng.random((count, 2)), rng.random(count) if joint else None)


def test_posterior_of_the_reference():
    """Three observations of the reference: mean and variance at .25."""
    posterior = Posterior.of(Inputs(np.array([[0.1], [0.4], [0.8]])), np.array([[-1.0], [0.2], [0.8]]), PLAIN)
    mean, variance = posterior.mean_and_variance(Inputs(np.array([[0.25]])))
    assert mean[0, 0] == pytest.approx(-0.378833, abs=5e-7)
    assert variance[0] == pytest.approx(0.00169967, abs=5e-9)


def test_joint_posterior_of_the_reference():
    """Three observations of two trials at levels 1 and 3 of 9: mean and variance at (.3, 9)."""
    inputs = Inputs(np.array([[0.1], [0.1], [0.6]]), (np.array([1, 3, 1]) - 0.5) / 9)
    posterior = Posterior.of(inputs, np.array([[0.5], [-0.7], [1.0]]), CURVED)
    mean, variance = posterior.mean_and_variance(Inputs(np.array([[0.3]]), np.array([8.5 / 9])))
    assert mean[0, 0] == pytest.approx(-0.918476, abs=5e-7)
    assert variance[0] == pytest.approx(0.01498018, abs=5e-9)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_fantasies_equal_refits(joint):
    """Each column of fantasies is the posterior that has the sample as further data, parameters unchanged."""
    posterior, rng = model(joint)
    pending, where = points(rng, joint, 3), points(rng, joint, 6)
    samples = posterior.samples(pending, 20, rng)
    assert samples.shape == (3, 20)
    together = posterior.with_fantasies(pending, samples)
    mean, variance = together.mean_and_variance(where)
    for column in range(20):
        targets = np.concatenate([posterior.targets[:, 0], samples[:, column]])[:, None]
        alone = Posterior.of(posterior.inputs.joined(pending), targets, posterior.parameters)
        expected, spread = alone.mean_and_variance(where)
        assert mean[:, column] == pytest.approx(expected[:, 0], abs=1e-9)
        assert variance == pytest.approx(spread, abs=1e-9)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_samples_have_the_posteriors_moments(joint):
    """Many joint samples at pending points have the posterior's means and covariances."""
    posterior, rng = model(joint)
    pending = points(rng, joint, 3)
    samples = posterior.samples(pending, 200_000, rng)
    mean, variance = posterior.mean_and_variance(pending)
    assert samples.mean(axis=1) == pytest.approx(mean[:, 0], abs=0.01)
    assert samples.var(axis=1) == pytest.approx(variance + 1e-5, rel=0.02)
    cross = posterior.parameters.covariance(pending, posterior.inputs)
    data = posterior.parameters.covariance(posterior.inputs, posterior.inputs)
    data += posterior.parameters.noise * np.eye(len(data))
    covariance = posterior.parameters.covariance(pending, pending) - cross @ np.linalg.solve(data, cross.T)
    assert np.cov(samples) == pytest.approx(covariance, abs=0.02)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_slopes_are_derivatives(joint):
    """Slopes of means and variance by the encoded point equal difference quotients."""
    posterior, rng = model(joint)
    pending = points(rng, joint)
    posterior = posterior.with_fantasies(pending, posterior.samples(pending, 5, rng))
    x, position, step = rng.random(2), 0.7 if joint else None, 1e-6
    mean, variance, by_mean, by_variance = posterior.slopes(at(x[None, :], position))
    expected, spread = posterior.mean_and_variance(at(x[None, :], position))
    assert mean == pytest.approx(expected[0])
    assert variance == pytest.approx(spread[0])
    for j, unit in enumerate(np.eye(2) * step):
        up, down = (
            posterior.mean_and_variance(at(where[None, :], position)) for where in (x + unit, x - unit)
        )
        assert by_mean[:, j] == pytest.approx((up[0] - down[0])[0] / (2 * step), abs=1e-6)
        assert by_variance[j] == pytest.approx((up[1] - down[1])[0] / (2 * step), abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "deviation", "incumbent", "value"), [(0, 1, 0, 0.393962), (-0.5, 0.2, -0.3, 0.208311)]
)
def test_expected_improvement_of_the_reference(mean, deviation, incumbent, value):
    """The reference's two values, with its margin of .01."""
    found = expected_improvement(np.array(mean), np.array(deviation), np.array(incumbent))
    assert found == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("joint", [False, True], ids=["GP", "MOBSTER"])
def test_the_acquisition_averages_over_columns_and_knows_its_slope(joint):
    """The value is the mean of each fantasy's improvement; its slope equals difference quotients."""
    posterior, rng = model(joint)
    pending = points(rng, joint)
    posterior = posterior.with_fantasies(pending, posterior.samples(pending, 7, rng))
    position = 0.9 if joint else None
    acquisition = Acquisition.over(posterior, posterior.inputs.x, position)
    x, step = rng.random((5, 2)), 1e-6
    mean, variance = posterior.mean_and_variance(at(x, position))
    best = posterior.mean(at(posterior.inputs.x, position)).min(axis=0)
    each = [expected_improvement(mean[:, column], np.sqrt(variance), best[column]) for column in range(7)]
    assert acquisition.values(x) == pytest.approx(np.mean(each, axis=0))
    for row in x:
        value, slope = acquisition.value_and_slope(row)
        assert value == pytest.approx(acquisition.values(row[None, :])[0])
        for j, unit in enumerate(np.eye(2) * step):
            up, down = (acquisition.values((row + sign * unit)[None, :])[0] for sign in (1, -1))
            assert slope[j] == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_thompson_draws_are_independent_by_row_and_column():
    """A score is the mean over columns of posterior draws: mean + deviation * normal, in the rows' order."""
    posterior, rng = model(False)
    pending = points(rng, False, 2)
    posterior = posterior.with_fantasies(pending, posterior.samples(pending, 3, rng))
    acquisition = Acquisition.over(posterior, posterior.inputs.x)
    x = rng.random((4, 2))
    mean, variance = posterior.mean_and_variance(at(x, None))
    noise = np.random.default_rng(8).standard_normal((4, 3))
    expected = (mean + np.sqrt(variance)[:, None] * noise).mean(axis=1)
    assert acquisition.thompson(x, np.random.default_rng(8)) == pytest.approx(expected)
