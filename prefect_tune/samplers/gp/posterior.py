"""What the model believes after the data: means, variances, joint samples, and fantasies for pending points.

Rule 1: parameters are given; nothing is fitted here.
Rule 2: variances are those of the latent function, without the noise of an observation.
Rule 3: fantasies are targets of their own column. All columns share inputs, so one factor serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from prefect_tune.samplers.gp.fit import factorised
from prefect_tune.samplers.gp.kernels import Array, Inputs, Parameters

_LEAST_VARIANCE = 1e-12
_SAMPLE_JITTER = 1e-5


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian process with data.

    Attributes:
        parameters: of its kernel and mean.
        inputs: of the data.
        targets: one row per input, one column per fantasy (a single column without fantasies).
        factor: lower Cholesky factor of the data's covariance.
        solved: the covariance's inverse times (targets - prior mean), by column.
    """

    parameters: Parameters
    inputs: Inputs
    targets: Array
    factor: Array
    solved: Array

    @classmethod
    def of(cls, inputs: Inputs, targets: Array, parameters: Parameters) -> Posterior:
        """Conditions on data; `targets` has one row per input and any number of columns."""
        matrix = parameters.covariance(inputs, inputs)
        matrix[np.diag_indices_from(matrix)] += parameters.noise
        factor, _ = factorised(matrix)
        residual = targets - parameters.prior_mean(inputs)[:, None]
        return cls(parameters, inputs, targets, factor, lapack.dpotrs(factor, residual, lower=1)[0])

    def mean(self, at: Inputs) -> Array:
        """Posterior means: one row per point, one column per fantasy."""
        return self._mean(at, self.parameters.covariance(at, self.inputs))

    def mean_and_variance(self, at: Inputs) -> tuple[Array, Array]:
        """Posterior means (points, columns) and variances (points)."""
        cross = self.parameters.covariance(at, self.inputs)
        half = self._half(cross)
        variance = self.parameters.variance(at) - np.einsum("ij,ij->j", half, half)
        return self._mean(at, cross), np.maximum(variance, _LEAST_VARIANCE)

    def samples(self, at: Inputs, count: int, rng: np.random.Generator) -> Array:
        """Joint samples of the latent function at the points: (points, count). Needs a single column."""
        cross = self.parameters.covariance(at, self.inputs)
        half = self._half(cross)
        covariance = self.parameters.covariance(at, at) - half.T @ half
        covariance[np.diag_indices_from(covariance)] += _SAMPLE_JITTER
        factor = np.tril(factorised(covariance)[0])
        return self._mean(at, cross) + factor @ rng.standard_normal((len(at), count))

    def with_fantasies(self, at: Inputs, samples: Array) -> Posterior:
        """The posterior given, in each column, one sample at these points besides the data."""
        repeated = np.repeat(self.targets, samples.shape[1], axis=1)
        return Posterior.of(self.inputs.joined(at), np.vstack([repeated, samples]), self.parameters)

    def slopes(self, at: Inputs) -> tuple[Array, float, Array, Array]:
        """At one point: means by column, variance, and the derivatives of both by its encoding.

        The derivatives have shapes (columns, D) and (D,).
        """
        cross = self.parameters.covariance(at, self.inputs)
        half = self._half(cross)[:, 0]
        full = solve_triangular(self.factor, half, lower=True, trans="T", check_finite=False)
        slope = self.parameters.slope(at.x[0], self.inputs)
        variance = float(self.parameters.variance(at)[0] - half @ half)
        return (
            self._mean(at, cross)[0],
            max(variance, _LEAST_VARIANCE),
            self.solved.T @ slope,
            -2.0 * (full @ slope),
        )

    def _mean(self, at: Inputs, cross: Array) -> Array:
        return self.parameters.prior_mean(at)[:, None] + cross @ self.solved

    def _half(self, cross: Array) -> Array:
        """The factor's inverse times the covariances with the data: one column per point."""
        return solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
