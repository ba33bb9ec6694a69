"""Parameters that explain the data best: the largest posterior, by L-BFGS-B from two starts.

Rule 1: bandwidths, scale, noise and curve move as logarithms, within bounds; the mean moves freely.
Rule 2: a matrix that is not positive definite gets jitter, ten times more until it is.
Rule 3: without a usable start the starting values stay: the model then knows little, and says so.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, lapack
from scipy.optimize import minimize

from prefect_tune.samplers.gp.kernels import Array, Inputs, Parameters, distances, matern
from prefect_tune.samplers.gp.layout import Layout, lay_out

BOUNDS = {
    "bandwidth": (1e-4, 100.0),
    "scale": (1e-3, 1e3),
    "noise": (1e-9, 1e6),
    "alpha": (1e-6, 250.0),
    "rate": (1e-4, 50.0),
    "size": (1e-4, 1.0),
}
ITERATIONS, TOLERANCE = 50, 1e-6
_JITTER, _MOST_JITTER = 1e-9, 1e6
_BLOCK = 64
_MEMORY = 20  # steps that shape the next one: as many as there are parameters, rather than 10


def fit(inputs: Inputs, targets: Array, rng: np.random.Generator) -> Parameters:
    """The fitted parameters.

    Args:
        inputs: of the observations; with positions, curves are fitted too.
        targets: standardised.
        rng: moves the second start.
    """
    dimensions, curves = inputs.x.shape[1], inputs.position is not None
    start = Parameters.start(dimensions, curves)
    bounds = _bounds(dimensions, curves)
    first = start.vector()
    second = np.clip(first + rng.standard_normal(len(first)), bounds[:, 0], bounds[:, 1])
    objective = Objective(lay_out(inputs, targets), dimensions)
    best, chosen = np.inf, first
    for vector in (first, second):
        try:
            found = minimize(
                objective,
                vector,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                tol=TOLERANCE,
                options={"maxiter": ITERATIONS, "maxcor": _MEMORY},
            )
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(found.fun) and found.fun < best:
            best, chosen = float(found.fun), found.x
    return Parameters.from_vector(chosen, dimensions)


def _bounds(dimensions: int, curves: bool) -> Array:
    """Lower and upper bound of each coordinate of `Parameters.vector()`."""
    names = ["bandwidth"] * dimensions + ["scale", "noise"]
    front = [BOUNDS[name] for name in names]
    back = [BOUNDS[name] for name in ("alpha", "rate", "size")] if curves else []
    return np.concatenate(
        [np.log(front), [[-np.inf, np.inf]], np.log(np.array(back, dtype=float).reshape(-1, 2))]
    )


def factorised(matrix: Array, room: Array | None = None) -> tuple[Array, float]:
    """Lower Cholesky factor (Fortran order; garbage above the diagonal), and the jitter it took.

    Args:
        matrix: symmetric, left as it is.
        room: an array of its shape in Fortran order, for the factor.

    Raises:
        np.linalg.LinAlgError: the matrix is not finite, or no jitter helps.
    """
    work = np.empty_like(matrix, order="F") if room is None else room
    mean = float(np.mean(np.diag(matrix)))
    jitter = 0.0
    while np.isfinite(mean):
        work[...] = matrix.T  # equal to the matrix, and in the order of the room's memory
        _diagonal(work.T)[:] += jitter * mean
        factor, failed = lapack.dpotrf(work, lower=1, clean=0, overwrite_a=1)
        if failed == 0:
            return factor, jitter * mean
        jitter = _JITTER if jitter == 0.0 else 10.0 * jitter
        if jitter > _MOST_JITTER:
            break
    raise np.linalg.LinAlgError("the covariance matrix is not positive definite, whatever the jitter")


def _diagonal(matrix: Array) -> Array:
    """A view of the diagonal of a square array in C order."""
    return matrix.reshape(-1)[:: len(matrix) + 1]


class Objective:
    """The negative logarithm of the posterior density of the parameters, with its gradient.

    It is called about a hundred times with matrices of one size, so it works in memory of its own.
    """

    def __init__(self, layout: Layout, dimensions: int) -> None:
        self.layout, self.dimensions = layout, dimensions
        self._columns = np.asfortranarray(np.column_stack([layout.x, np.ones(len(layout.x))]))
        self._matrix = np.zeros((layout.size, layout.size))
        self._slope, self._product = np.zeros((2, len(layout.x), len(layout.x)))
        self._factor = np.empty_like(self._matrix, order="F")

    def __call__(self, vector: Array) -> tuple[float, Array]:
        parameters = Parameters.from_vector(vector, self.dimensions)
        value, gradient = self.likelihood(parameters)
        prior, prior_gradient = self._prior(parameters)
        return value + prior, gradient + prior_gradient

    def likelihood(self, parameters: Parameters) -> tuple[float, Array]:
        """The negative log likelihood, and its gradient by `Parameters.vector()`."""
        data, noise, count = self.layout, parameters.noise, len(self.layout.x)
        levels, by_level, mean, by_mean = self._level_terms(parameters)
        matrix = np.matmul(data.levels @ levels, data.levels.T, out=self._matrix)
        self._add_matern(parameters)
        _diagonal(matrix)[:] += noise
        factor, jitter = factorised(matrix, self._factor)
        residual = data.targets - data.levels @ mean
        solved = lapack.dpotrs(factor, residual, lower=1)[0]
        fitted = float(residual @ solved)
        alone = data.observations - data.size  # directions that hold nothing but noise
        value = 0.5 * fitted + float(np.log(_diagonal(factor.T)).sum())
        value += 0.5 * (alone * np.log(noise) + data.remainder / noise)
        value += 0.5 * data.observations * np.log(2.0 * np.pi)

        # The gradient of ln|K| and of the fit is half of sum(weight * dK); only the lower half counts.
        weight = lapack.dpotri(factor, lower=1, overwrite_c=1)[0]
        weight = blas.dsyr(-1.0, solved, a=weight, lower=1, overwrite_a=1)
        at_levels = data.levels.T @ blas.dsymm(1.0, weight, data.levels, lower=1)
        trace = float(_diagonal(weight.T).sum())
        of_scale = data.size - fitted - float((at_levels * levels).sum()) - (noise + jitter) * trace
        pull = data.levels.T @ solved
        gradient = [
            *self._bandwidth_slopes(weight[:count, :count], parameters.bandwidths),
            0.5 * of_scale,
            0.5 * (noise * trace + alone - data.remainder / noise),
            -float(pull.sum()),
        ]
        for slope_level, slope_mean in zip(by_level, by_mean, strict=True):
            gradient.append(0.5 * float((at_levels * slope_level).sum()) - float(pull @ slope_mean))
        return value, np.array(gradient)

    def _add_matern(self, parameters: Parameters) -> None:
        """Adds covariances between configurations to the matrix, and sets their slopes by the distance.

        Above the diagonal only, which is all that is read, and by blocks that fit into a processor's cache.
        """
        scaled, weights = self.layout.x * parameters.bandwidths, self.layout.weights
        count = len(scaled)
        for start in range(0, count, _BLOCK):
            rows, columns = slice(start, min(start + _BLOCK, count)), slice(start, count)
            between, slope = matern(distances(scaled[rows], scaled[columns]), parameters.scale)
            both = np.outer(weights[rows], weights[columns])
            self._matrix[rows, columns] += np.multiply(between, both, out=between)
            np.multiply(slope, both, out=self._slope[rows, columns])

    def _level_terms(self, parameters: Parameters) -> tuple[Array, list[Array], Array, list[Array]]:
        """Between levels: covariances and their slopes, means and their slopes."""
        positions, curve = self.layout.positions, parameters.curve
        if curve is None:
            zero = np.zeros((len(positions), len(positions)))
            return zero, [], np.full(len(positions), parameters.mean), []
        covariance, by_covariance = curve.covariance_slopes(positions)
        mean, by_mean = curve.mean_slopes(positions)
        return covariance, by_covariance, parameters.mean + mean, by_mean

    def _bandwidth_slopes(self, weight: Array, bandwidths: Array) -> Array:
        """Half of sum over pairs of weight * slope * 10 b_j^2 (x_j - x'_j)^2, per dimension j."""
        both = np.multiply(weight, self._slope.T, out=self._product.T)
        product = blas.dsymm(1.0, both, self._columns, lower=1)
        x = self.layout.x
        squares = (x**2).T @ product[:, -1] - np.einsum("ij,ij->j", x, product[:, :-1])
        return 10.0 * bandwidths**2 * squares

    def _prior(self, parameters: Parameters) -> tuple[float, Array]:
        """Minus the logarithm of the prior density, up to a constant, and its gradient."""
        d, log_scale = self.dimensions, float(np.log(parameters.scale))
        value = log_scale + 0.5 * log_scale**2
        value += 0.9 * float(np.log(parameters.noise)) + parameters.noise
        value += 0.5 * parameters.mean**2
        gradient = np.zeros(d + 3 + (0 if parameters.curve is None else 3))
        gradient[d : d + 3] = 1.0 + log_scale, 0.9 + parameters.noise, parameters.mean
        return value, gradient
