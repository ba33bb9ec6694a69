"""Every leaf's twin in Optuna: a distribution, and the way of a value there and back.

Rule 1: what Optuna draws as we do is passed as itself: plain and logarithmic floats, steps, whole numbers.
Rule 2: a choice is passed by the index of its option, since Optuna takes 1 and True for one category; equally
likely values in order by their position.
Rule 3: everything else (normal families, logarithms with steps, weights, scipy, unequal ordinals) is passed
as its u between 1e-6 and 1 - 1e-6, and mapped back by the leaf itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect_tune.space import (
    Choice,
    Distribution,
    Domain,
    FinRange,
    Float,
    Grid,
    Integer,
    Leaf,
    Ordinal,
    SearchSpace,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_MARGIN = 1e-6
_EXACT = 2**53
_Parts: TypeAlias = "tuple[BaseDistribution, Callable[[Any], Any], Callable[[Any], Any]]"


@dataclass(frozen=True, slots=True)
class Twin:
    """A leaf as Optuna sees it.

    Attributes:
        leaf: ours; its path is the parameter's name in Optuna.
        distribution: in Optuna.
        into: turns the leaf's value into Optuna's parameter.
        back: turns Optuna's parameter into the leaf's value.
    """

    leaf: Leaf
    distribution: BaseDistribution
    into: Callable[[Any], Any]
    back: Callable[[Any], Any]

    @property
    def path(self) -> str:
        """The leaf's."""
        return self.leaf.path


def twins_of(space: SearchSpace) -> tuple[Twin, ...]:
    """The twins of the leaves that a model may see, by rising path: a choice before what hangs on it.

    Grids are not drawn, and where a value has no u (an object with `rvs` alone) nothing can be learned.
    """
    return tuple(Twin(leaf, *_twin(leaf.domain)) for leaf in space.leaves if _modelled(leaf.domain))


def _modelled(domain: Domain) -> bool:
    if isinstance(domain, Distribution):
        return callable(getattr(domain.law, "cdf", None))
    return not isinstance(domain, Grid)


def _twin(domain: Domain) -> _Parts:
    return _float(domain) or _counted(domain) or _unit(domain)


def _float(domain: Domain) -> _Parts | None:
    """The twin of a float without a step, or with one on the linear scale."""
    from optuna.distributions import FloatDistribution

    if not isinstance(domain, Float) or domain.reverse or (domain.log and domain.q is not None):
        return None
    if domain.q is None:
        return FloatDistribution(domain.low, domain.high, log=domain.log), float, float
    # The bounds need not be multiples: the domain's own ends are.
    steps = FloatDistribution(domain.value(0.0), domain.value(1.0), step=domain.q)
    # Optuna's multiples are rounded sums, ours decimals.
    return steps, float, lambda x: domain.value(domain.unit(x))


def _counted(domain: Domain) -> _Parts | None:
    """The twin of whole numbers, choices and positions that are equally likely."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(domain, Choice) and domain.weights is None:
        return CategoricalDistribution(tuple(range(len(domain.options)))), int, int
    if isinstance(domain, Integer) and domain.rounding is None and max(-domain.low, domain.high) < _EXACT:
        if not domain.log:
            return IntDistribution(domain.low, domain.high, step=domain.q or 1), int, int
        if domain.q is None:
            return IntDistribution(domain.low, domain.high, log=True), int, int
    if isinstance(domain, FinRange) or (isinstance(domain, Ordinal) and domain.kind == "equal"):
        return _positions(domain, len(domain.values))
    return None


def _positions(domain: Domain, many: int) -> _Parts:
    """The twin of so many equally likely values: their positions."""
    from optuna.distributions import IntDistribution

    return (
        IntDistribution(0, many - 1),
        lambda value: int(domain.unit(value) * many),
        lambda position: domain.value((position + 0.5) / many),
    )


def _unit(domain: Domain) -> _Parts:
    """The twin of any leaf: its u."""
    from optuna.distributions import FloatDistribution

    return (
        FloatDistribution(_MARGIN, 1 - _MARGIN),
        lambda value: min(max(domain.unit(value), _MARGIN), 1 - _MARGIN),
        domain.value,
    )
