"""Expected improvement, averaged over fantasies.

Rule: larger is better. An improvement counts only beyond a small margin below the best posterior mean.
Theory: Jones, Schonlau and Welch (1998); fantasies as in Snoek, Larochelle and Adams (2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from prefect_tune.samplers.gp.kernels import Array, Inputs
from prefect_tune.samplers.gp.posterior import Posterior

MARGIN = 0.01
_LEAST_DEVIATION = 1e-10
_DENSITY = 1.0 / np.sqrt(2.0 * np.pi)


def expected_improvement(mean: Array, deviation: Array, incumbent: Array) -> Array:
    """How far a Gaussian value falls below (incumbent - margin), on average. Shapes broadcast."""
    deviation = np.maximum(deviation, _LEAST_DEVIATION)
    z = (incumbent - mean - MARGIN) / deviation
    return deviation * (z * ndtr(z) + _DENSITY * np.exp(-0.5 * z**2))


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What a configuration promises at one resource.

    Attributes:
        posterior: of the model, with fantasies as columns.
        incumbents: the least posterior mean so far, by column.
        position: of the resource; None if the model has none.
    """

    posterior: Posterior
    incumbents: Array
    position: float | None = None

    @classmethod
    def over(cls, posterior: Posterior, known: Array, position: float | None = None) -> Acquisition:
        """With the incumbents taken among encoded configurations."""
        return cls(posterior, posterior.mean(at(known, position)).min(axis=0), position)

    def values(self, x: Array) -> Array:
        """The improvement that each row of encoded configurations promises."""
        mean, variance = self.posterior.mean_and_variance(at(x, self.position))
        deviation = np.sqrt(variance)[:, None]
        return expected_improvement(mean, deviation, self.incumbents[None, :]).mean(axis=1)

    def thompson(self, x: Array, rng: np.random.Generator) -> Array:
        """One independent draw per row and column, averaged over columns. Smaller promises more."""
        mean, variance = self.posterior.mean_and_variance(at(x, self.position))
        return (mean + np.sqrt(variance)[:, None] * rng.standard_normal(mean.shape)).mean(axis=1)

    def value_and_slope(self, x: Array) -> tuple[float, Array]:
        """The improvement that one encoded configuration promises, and its derivative."""
        mean, variance, by_mean, by_variance = self.posterior.slopes(at(x[None, :], self.position))
        deviation = max(float(np.sqrt(variance)), _LEAST_DEVIATION)
        z = (self.incumbents - mean - MARGIN) / deviation
        below, density = ndtr(z), _DENSITY * np.exp(-0.5 * z**2)
        value = float((deviation * (z * below + density)).mean())
        slope = -(below[:, None] * by_mean).mean(axis=0)
        return value, slope + density.mean() * by_variance / (2.0 * deviation)


def at(x: Array, position: float | None) -> Inputs:
    """Configurations, all at one resource."""
    return Inputs(x, None if position is None else np.full(len(x), position))
