"""Covariances: Matern 5/2 with one bandwidth per dimension, and learning curves on top of it.

Rule 1: resources enter as a position in (0, 1], `(r - 1/2) / R`; without resources there are no curves.
Rule 2: every formula has its derivative beside it, with respect to the logarithm of what is fitted.
Theory: Rasmussen and Williams (2006), chapter 4, for the Matern family. The joint model is MOBSTER's (Klein
et al., 2020) with the exponentially decaying curves of Swersky, Snoek and Adams (2014) added to that part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_UNDER_THE_ROOT = 1e-9  # keeps the square root's slope finite between equal points


@dataclass(frozen=True, slots=True)
class Inputs:
    """Points of the model.

    Attributes:
        x: encoded configurations, one row each, in [0, 1].
        position: of each row's resource, in (0, 1]; None if the model has no resources.
    """

    x: Array
    position: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def joined(self, other: Inputs) -> Inputs:
        """These points, then the other's."""
        both = None
        if self.position is not None and other.position is not None:
            both = np.concatenate([self.position, other.position])
        return Inputs(np.vstack([self.x, other.x]), both)


@dataclass(frozen=True, slots=True)
class Curve:
    """How a loss falls with the resource: a mixture of exponentials whose rates are Gamma-distributed.

    Attributes:
        alpha: shape of the rates' distribution.
        rate: its mean.
        size: how far a curve falls, in units of the targets.
    """

    alpha: float
    rate: float
    size: float

    def kappa(self, t: Array) -> Array:
        """The share of the fall that is still ahead: (beta / (t + beta))^alpha, beta = alpha / rate."""
        beta = self.alpha / self.rate
        return np.exp(-self.alpha * np.log1p(t / beta))

    def kappa_slopes(self, t: Array) -> tuple[Array, Array, Array]:
        """Kappa, and its derivatives by ln(alpha) and ln(rate)."""
        beta = self.alpha / self.rate
        decay = self.alpha * np.log1p(t / beta)
        kappa, fall = np.exp(-decay), self.alpha * t / (t + beta)
        return kappa, kappa * (fall - decay), -kappa * fall

    def covariance(self, a: Array, b: Array) -> Array:
        """Covariances between positions a (rows) and b (columns)."""
        product = self.kappa(a)[:, None] * self.kappa(b)[None, :]
        return self.size**2 * (self.kappa(a[:, None] + b[None, :]) - product)

    def covariance_slopes(self, a: Array) -> tuple[Array, list[Array]]:
        """Covariances among positions, and their derivatives by ln(alpha), ln(rate) and ln(size)."""
        both, *slopes_both = self.kappa_slopes(a[:, None] + a[None, :])
        one, *slopes_one = self.kappa_slopes(a)
        value = self.size**2 * (both - np.outer(one, one))
        slopes = []
        for slope_both, slope_one in zip(slopes_both, slopes_one, strict=True):
            cross = np.outer(slope_one, one)
            slopes.append(self.size**2 * (slope_both - cross - cross.T))
        return value, [*slopes, 2.0 * value]

    def mean_slopes(self, a: Array) -> tuple[Array, list[Array]]:
        """The mean curve at positions, and its derivatives by ln(alpha), ln(rate) and ln(size)."""
        kappa, *slopes = self.kappa_slopes(a)
        return self.size * kappa, [self.size * slope for slope in slopes] + [self.size * kappa]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is fitted.

    Attributes:
        bandwidths: inverse bandwidths, one per encoded dimension.
        scale: variance of the Matern part.
        noise: variance of the noise on the targets.
        mean: constant part of the mean.
        curve: of the learning curves; None if the model has no resources.
    """

    bandwidths: Array
    scale: float
    noise: float
    mean: float
    curve: Curve | None = None

    @classmethod
    def start(cls, dimensions: int, curves: bool) -> Parameters:
        """The values from which the fit starts."""
        return cls(np.ones(dimensions), 1.0, 1e-3, 0.0, Curve(1.0, 0.5, 0.5) if curves else None)

    @classmethod
    def from_vector(cls, vector: Array, dimensions: int) -> Parameters:
        """Back from `vector()`."""
        positive = np.exp(np.delete(vector, dimensions + 2))
        curve = None
        if len(vector) > dimensions + 3:
            curve = Curve(*(float(value) for value in positive[dimensions + 2 :]))
        scale, noise = (float(value) for value in positive[dimensions : dimensions + 2])
        return cls(positive[:dimensions], scale, noise, float(vector[dimensions + 2]), curve)

    def vector(self) -> Array:
        """What the optimiser moves: logarithms, but for the mean: bandwidths, scale, noise, mean, curve."""
        curve = [] if self.curve is None else [self.curve.alpha, self.curve.rate, self.curve.size]
        front = np.log([*self.bandwidths, self.scale, self.noise])
        return np.concatenate([front, [self.mean], np.log(np.array(curve, dtype=float))])

    def covariance(self, a: Inputs, b: Inputs) -> Array:
        """Covariances of the latent function between points a (rows) and b (columns): no noise."""
        value = matern(distances(a.x * self.bandwidths, b.x * self.bandwidths), self.scale)[0]
        if self.curve is not None and a.position is not None and b.position is not None:
            value += self.curve.covariance(a.position, b.position)
        return value

    def variance(self, a: Inputs) -> Array:
        """The latent function's variance at each point, before any data."""
        value = np.full(len(a), self.scale)
        if self.curve is not None and a.position is not None:
            kappa = self.curve.kappa
            value += self.curve.size**2 * (kappa(2.0 * a.position) - kappa(a.position) ** 2)
        return value

    def prior_mean(self, a: Inputs) -> Array:
        """The mean at each point, before any data."""
        value = np.full(len(a), self.mean)
        if self.curve is not None and a.position is not None:
            value += self.curve.size * self.curve.kappa(a.position)
        return value

    def slope(self, x: Array, b: Inputs) -> Array:
        """Derivatives of the covariances of one encoded point with points b, by the former: (points, D)."""
        scaled = distances(x[None, :] * self.bandwidths, b.x * self.bandwidths)
        by_distance = matern(scaled, self.scale)[1][0]
        return by_distance[:, None] * (10.0 * self.bandwidths**2) * (x[None, :] - b.x)


def distances(a: Array, b: Array) -> Array:
    """Five times the squared distances between the rows of a and those of b, both scaled already."""
    value = a @ b.T
    value *= -2.0
    value += np.einsum("ij,ij->i", a, a)[:, None]
    value += np.einsum("ij,ij->i", b, b)[None, :]
    value *= 5.0
    return np.maximum(value, 0.0, out=value)


def matern(squared: Array, scale: float) -> tuple[Array, Array]:
    """Matern 5/2 covariances of `distances`, and their derivatives by these."""
    root = squared + _UNDER_THE_ROOT
    np.sqrt(root, out=root)
    decay = np.negative(root)
    np.exp(decay, out=decay)
    decay *= scale
    slope = squared / root
    slope += 1.0
    slope *= decay
    slope *= -1.0 / 6.0
    value = squared / 3.0
    value += root
    value += 1.0
    value *= decay
    return value, slope
