"""Rules over a flat space: when a key is there at all, and which combinations are forbidden.

Spaces written as nested choices need none; ConfigSpace's conditions are over any keys, and combined freely.

Rule 1: a comparison with a key that is not there does not hold.
Rule 2: keys are decided in an order in which whatever a condition asks for comes first.
Rule 3: forbidden configurations are drawn again, at most 10,000 times, then that is an error.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect_tune.errors import SpaceError
from prefect_tune.space.domain import MISSING
from prefect_tune.space.faults import Fault
from prefect_tune.space.nodes import Drawn, Fields, Leaf, Node, Pick, When
from prefect_tune.trials import Config

if TYPE_CHECKING:
    from prefect_tune.space.tree import SearchSpace

TRIES = 10_000
COUNTED = 20_000
"""Up to so many combinations of values are gone through to count the allowed ones."""
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, values: value in values,
}


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison with a value, e.g. `depth > 3`.

    Attributes:
        key: whose value is compared.
        compare: `==`, `!=`, `<`, `<=`, `>`, `>=` or `in`.
        value: with which; a tuple for `in`.
    """

    __test__ = False  # for pytest, which takes the name for its own

    key: str
    compare: str
    value: Any

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is so."""
        found = values.get(self.key, MISSING)
        return found is not MISSING and bool(_COMPARE[self.compare](found, self.value))

    def keys(self) -> frozenset[str]:
        """The keys it asks for."""
        return frozenset((self.key,))

    def __str__(self) -> str:
        value = f"[{', '.join(map(repr, self.value))}]" if self.compare == "in" else repr(self.value)
        return f"{self.key} {self.compare} {value}"


@dataclass(frozen=True, slots=True)
class Relation:
    """A comparison of two keys, e.g. `min < max`.

    Attributes:
        left: the one key.
        compare: as in `Test`, without `in`.
        right: the other key.
    """

    left: str
    compare: str
    right: str

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is so."""
        left, right = values.get(self.left, MISSING), values.get(self.right, MISSING)
        if left is MISSING or right is MISSING:
            return False
        return bool(_COMPARE[self.compare](left, right))

    def keys(self) -> frozenset[str]:
        """The keys it asks for."""
        return frozenset((self.left, self.right))

    def __str__(self) -> str:
        return f"{self.left} {self.compare} {self.right}"


@dataclass(frozen=True, slots=True)
class Every:
    """All of several rules; with none it always holds."""

    parts: tuple[Rule, ...] = ()

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is so."""
        return all(part.holds(values) for part in self.parts)

    def keys(self) -> frozenset[str]:
        """The keys it asks for."""
        return frozenset().union(*(part.keys() for part in self.parts))

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.parts))})" if self.parts else "always"


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of several rules; with none it never holds."""

    parts: tuple[Rule, ...] = ()

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is so."""
        return any(part.holds(values) for part in self.parts)

    def keys(self) -> frozenset[str]:
        """The keys it asks for."""
        return frozenset().union(*(part.keys() for part in self.parts))

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.parts))})" if self.parts else "never"


Rule: TypeAlias = Test | Relation | Every | Some


@dataclass(frozen=True, slots=True)
class Ruled:
    """A flat space and its rules: what SearchSpace makes of a ConfigurationSpace.

    Attributes:
        space: keys to leaves and constants; no dicts inside.
        conditions: keys to what must hold for them to be there, in terms of values by path (of a choice the
            option's index); they imply the conditions of the keys they ask for.
        forbidden: no configuration in which one of these holds, in terms of the configuration itself.
        defaults: values by path that the space itself calls its default.
    """

    space: dict[str, Any]
    conditions: dict[str, Rule] = field(default_factory=dict)
    forbidden: tuple[Rule, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)

    def ranks(self) -> dict[str, int]:
        """For every key with a condition how many others stand before it in a chain of conditions.

        Raises:
            SpaceError: a circle.
        """
        ranks: dict[str, int] = {}
        waiting = dict(self.conditions)
        while waiting:
            ready = [key for key, rule in waiting.items() if not rule.keys() & waiting.keys()]
            if not ready:
                raise SpaceError(
                    f"the space: the conditions of {', '.join(sorted(waiting))} ask for each other; "
                    "leave one of them out."
                )
            rank = max(ranks.values(), default=0) + 1
            for key in ready:
                ranks[key] = rank
                del waiting[key]
        return ranks

    def guarded(self, root: Node) -> Node:
        """The tree with the conditions in it."""
        if not isinstance(root, Fields):
            return root
        ranks = self.ranks()

        def guard(key: str, node: Node) -> Node:
            rule = self.conditions.get(key)
            if rule is None:
                return node
            if isinstance(node, (Drawn, Pick)):
                node = replace(node, leaf=replace(node.leaf, rule=rule, rank=ranks[key]))
            return When(key, rule, ranks[key], node)

        return Fields(tuple((key, guard(key, node)) for key, node in root.items))

    def described(self) -> tuple[Any, ...]:
        """What tells it from other rules, as plain values."""
        conditions = tuple(sorted((key, str(rule)) for key, rule in self.conditions.items()))
        return conditions, tuple(sorted(map(str, self.forbidden))), dict(sorted(self.defaults.items()))

    def over(self, space: dict[str, Any]) -> Ruled:
        """The same rules over another space."""
        return replace(self, space=space)

    def default_of(self, leaf: Leaf) -> Any:
        """The value that the space itself calls a leaf's default, or that of its domain."""
        return self.defaults[leaf.path] if leaf.path in self.defaults else leaf.domain.default()

    def broken(self, config: Config) -> list[Rule]:
        """The rules that forbid a configuration."""
        return [rule for rule in self.forbidden if rule.holds(config)]

    def faults(self, config: Config) -> list[Fault]:
        """The same, as sentences."""
        return [
            Fault(
                "the configuration", f"it is forbidden that {rule}", _part(config, rule), "change one of them"
            )
            for rule in self.broken(config)
        ]

    def count(self, space: SearchSpace) -> int | None:
        """How many configurations are allowed; None if they are endless, or too many to go through."""
        sizes = [leaf.domain.size for leaf in space.leaves]
        if None in sizes or math.prod(size or 0 for size in sizes) > COUNTED:
            return None
        return sum(1 for _ in space.every())

    def exhausted(self) -> SpaceError:
        """The error for a space whose rules leave nothing, or next to nothing."""
        rules = ", ".join(map(str, self.forbidden))
        return SpaceError(
            f"the space: {TRIES:,} draws have brought nothing but forbidden configurations ({rules}); "
            "narrow the domains to where something is allowed, or forbid less."
        )


def _part(config: Config, rule: Rule) -> dict[str, Any]:
    return {key: config[key] for key in sorted(rule.keys()) if key in config}


def active_assignments(
    leaves: Sequence[Leaf], values: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Every way to decide finite leaves, as values by path; inactive ones are left out."""
    if not leaves:
        yield dict(values)
        return
    leaf, *rest = leaves
    members: Iterable[Any] = leaf.domain.members() if leaf.active(values) else (MISSING,)
    for value in members:
        yield from active_assignments(rest, values if value is MISSING else {**values, leaf.path: value})
