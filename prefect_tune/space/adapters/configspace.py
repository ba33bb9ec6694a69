"""ConfigSpace: whole spaces with conditions and forbidden clauses, or single hyperparameters.

Configurations are flat, as there; keys whose conditions do not hold are left out. The default configuration
is the space's own. Ints in the logarithm have slightly other masses.
"""

from __future__ import annotations

from typing import Any

from prefect_tune.space.adapters.origin import is_a
from prefect_tune.space.categories import Choice, Ordinal
from prefect_tune.space.domain import MISSING, Domain
from prefect_tune.space.equality import find
from prefect_tune.space.faults import Fault, SpaceFaults
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.normals import Normal
from prefect_tune.space.rules import Every, Relation, Rule, Ruled, Some, Test
from prefect_tune.space.special import Constant, Distribution
from prefect_tune.space.weighted import shared_out

_COMPARISONS = {
    "Equals": "==",
    "NotEquals": "!=",
    "LessThan": "<",
    "LessThanEquals": "<=",
    "GreaterThan": ">",
    "GreaterThanEquals": ">=",
}


def domain_of(value: Any) -> Any:
    """Our space for a ConfigurationSpace, our domain for a hyperparameter; other objects as they are."""
    if is_a(value, "ConfigurationSpace"):
        return _space(value)
    if not is_a(value, "Hyperparameter"):
        return value
    if is_a(value, "Constant"):
        plain_value = value.value is None or isinstance(value.value, (bool, int, float, str))
        return value.value if plain_value else Constant(value.value)
    if is_a(value, "CategoricalHyperparameter"):
        return Choice(tuple(value.choices), value.weights)
    if is_a(value, "OrdinalHyperparameter"):
        return Ordinal(tuple(value.sequence), "equal")
    return _number(value)


def _number(value: Any) -> Domain:
    low, high = value.lower, value.upper
    integer = is_a(value, "IntegerHyperparameter")
    if is_a(value, "UniformFloatHyperparameter"):
        return Float(low, high, log=value.log)
    if is_a(value, "UniformIntegerHyperparameter"):
        return Integer(low, high, log=value.log, rounding="floor" if value.log else None)
    if value.log:
        rule = "a normal or beta distribution must not be on a log scale"
        raise SpaceFaults([Fault(value.name, rule, value, "use lognormal, loguniform or a law of scipy")])
    if is_a(value, "NormalFloatHyperparameter"):
        return Normal(value.mu, value.sigma, low=low, high=high)
    if is_a(value, "BetaFloatHyperparameter", "BetaIntegerHyperparameter"):
        from scipy.stats import beta

        law = beta(value.alpha, value.beta, loc=low, scale=high - low)
        return _binned(law, low, high) if integer else Distribution(law)
    if is_a(value, "NormalIntegerHyperparameter"):
        from scipy.stats import truncnorm

        cut = (low - value.mu) / value.sigma, (high - value.mu) / value.sigma
        return _binned(truncnorm(*cut, loc=value.mu, scale=value.sigma), low, high)
    raise SpaceFaults([Fault(value.name, "this kind of hyperparameter is not known", value, "use another")])


def _binned(law: Any, low: int, high: int) -> Domain:
    """The law's range cut into as many equal parts as there are ints."""
    many = high - low + 1
    return shared_out(
        range(low, high + 1), lambda x: float(law.cdf(x)), lambda k: low + k * (high - low) / many
    )


# Whole spaces


def _space(space: Any) -> Ruled:
    parts = dict(space.items())
    faults: list[Fault] = []
    ours: dict[str, Any] = {}
    for name, part in parts.items():
        try:
            ours[name] = domain_of(part)
        except SpaceFaults as error:
            faults += error.faults
    if faults:
        raise SpaceFaults(faults)
    gates = _Gates(space, ours)
    conditions = {name: rule for name in parts if (rule := gates.of(name)) is not None}
    default = dict(space.get_default_configuration())
    return Ruled(
        ours,
        conditions,
        tuple(map(_clause, space.forbidden_clauses)),
        {name: _internal(ours[name], default[name]) for name in default if _is_leaf(ours[name])},
    )


def _is_leaf(ours: Any) -> bool:
    return isinstance(ours, Domain) and not isinstance(ours, Constant)


def _internal(ours: Any, value: Any) -> Any:
    """The value as the leaf speaks of it: options by index."""
    if isinstance(ours, Choice):
        return find(_python(value), ours.options)
    cast = ours.cast(value)
    return ours.default() if cast is MISSING else cast


def _python(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


class _Gates:
    """The conditions of all keys, each with those of the keys it asks for."""

    def __init__(self, space: Any, ours: dict[str, Any]) -> None:
        self.space, self.ours = space, ours
        self.known: dict[str, Rule | None] = {}

    def of(self, name: str) -> Rule | None:
        """When a key is there; None if always."""
        if name not in self.known:
            found = [self._condition(condition) for condition in self.space.parent_conditions_of[name]]
            self.known[name] = None if not found else found[0] if len(found) == 1 else Every(tuple(found))
        return self.known[name]

    def _condition(self, condition: Any) -> Rule:
        if is_a(condition, "AndConjunction"):
            return Every(tuple(map(self._condition, condition.components)))
        if is_a(condition, "OrConjunction"):
            return Some(tuple(map(self._condition, condition.components)))
        test, above = self._test(condition), self.of(condition.parent.name)
        return test if above is None else Every((above, test))

    def _test(self, condition: Any) -> Rule:
        """The comparison with the parent, whose value is an index where it is a choice."""
        name = condition.parent.name
        part = self.ours[name]
        holds = _comparison(condition, name)
        if not _is_leaf(part):
            value = part.held if isinstance(part, Constant) else part
            return Every() if holds.holds({name: value}) else Some()
        if isinstance(part, Choice):
            return Test(name, "in", _where(holds, name, part.options, by_index=True))
        if isinstance(part, Ordinal):
            return _ordered(holds, name, part.values)
        return holds


def _comparison(condition: Any, name: str) -> Test:
    if is_a(condition, "InCondition", "ForbiddenInClause"):
        return Test(name, "in", tuple(condition.values))
    kind = type(condition).__name__.removeprefix("Forbidden").removesuffix("Condition").removesuffix("Clause")
    if kind not in _COMPARISONS:
        raise SpaceFaults([Fault(name, "this kind of condition is not known", condition, "use another")])
    return Test(name, _COMPARISONS[kind], _python(condition.value))


def _where(test: Test, name: str, values: tuple[Any, ...], *, by_index: bool) -> tuple[Any, ...]:
    return tuple(
        index if by_index else value for index, value in enumerate(values) if test.holds({name: value})
    )


def _ordered(test: Test, name: str, values: tuple[Any, ...]) -> Test:
    """The comparison by the position of a value, as the values that meet it."""
    if test.compare in ("==", "!=", "in"):
        return Test(name, "in", _where(test, name, values, by_index=False))
    place = values.index(test.value)
    positions = _where(Test(name, test.compare, place), name, tuple(range(len(values))), by_index=True)
    return Test(name, "in", tuple(values[position] for position in positions))


def _clause(clause: Any) -> Rule:
    """A forbidden clause, in terms of the configuration."""
    if is_a(clause, "ForbiddenAndConjunction"):
        return Every(tuple(map(_clause, clause.components)))
    if is_a(clause, "ForbiddenOrConjunction"):
        return Some(tuple(map(_clause, clause.components)))
    if is_a(clause, "ForbiddenRelation"):
        kind = type(clause).__name__.removeprefix("Forbidden").removesuffix("Relation")
        return Relation(clause.left.name, _COMPARISONS[kind], clause.right.name)
    name = clause.hyperparameter.name
    test = _comparison(clause, name)
    if is_a(clause.hyperparameter, "OrdinalHyperparameter"):
        return _ordered(test, name, tuple(clause.hyperparameter.sequence))
    return test
