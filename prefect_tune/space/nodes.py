"""A space as a tree, and configurations built by walking it.

Rule 1: the path of a leaf is its keys joined by `/`; inside a key `~` is written `~0` and `/` `~1`. Leaves of
an option stand below its choice, as `name/<option's index>/key`.
Rule 2: configurations have sorted keys at every level: the order in which a space is written shows nowhere.
Rule 3: derived values come last, by rising path, and each sees those before it.
Rule 4: what a rule guards is decided after everything the rule asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from prefect_tune.errors import SpaceError
from prefect_tune.identity.encode import plain
from prefect_tune.space.categories import Choice
from prefect_tune.space.domain import Domain
from prefect_tune.space.special import Derived


class Guard(Protocol):
    """Says by the values of other leaves whether something is there; see `rules`."""

    def holds(self, values: Mapping[str, Any]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """One thing to decide.

    Attributes:
        path: its keys joined by `/`.
        domain: what it may be.
        conditions: (path of a choice, index of an option) pairs, outermost first; the leaf is active only
            where all hold.
        rule: what must hold besides, in spaces with rules.
        rank: how many rules stand before this one in a chain of them; 0 without a rule.
    """

    path: str
    domain: Domain
    conditions: tuple[tuple[str, int], ...] = ()
    rule: Guard | None = None
    rank: int = 0

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether the leaf counts, given the values by path."""
        if self.rule is not None and not self.rule.holds(values):
            return False
        return all(values.get(path) == option for path, option in self.conditions)


@dataclass(frozen=True, slots=True)
class Held:
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Fields:
    """A dict, its keys sorted."""

    items: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list or tuple that holds leaves."""

    kind: type
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A leaf other than a choice."""

    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Pick:
    """A choice; its leaf's domain has as many options."""

    leaf: Leaf
    options: tuple[Node, ...]

    @property
    def domain(self) -> Choice:
        """The choice itself."""
        assert isinstance(self.leaf.domain, Choice)
        return self.leaf.domain


@dataclass(frozen=True, slots=True)
class Late:
    """A derived value."""

    path: str
    derived: Derived


@dataclass(frozen=True, slots=True)
class When:
    """What is there only where a rule holds."""

    path: str
    rule: Guard
    rank: int
    node: Node


Node: TypeAlias = Held | Fields | Items | Drawn | Pick | Late | When
Decide: TypeAlias = Callable[[Leaf], Any]
"""Gives the value of an active leaf; of a choice the option's index."""


def join(path: str, key: str | int) -> str:
    """The path of a member; the root's own path is the empty text."""
    name = str(key).replace("~", "~0").replace("/", "~1")
    return f"{path}/{name}" if path else name


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    if isinstance(node, Fields):
        return tuple(child for _, child in node.items)
    if isinstance(node, Items):
        return node.nodes
    if isinstance(node, When):
        return (node.node,)
    return node.options if isinstance(node, Pick) else ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def leaves_of(root: Node) -> tuple[Leaf, ...]:
    """The leaves by rising path; what a rule guards after all that the rule asks for."""
    leaves = (node.leaf for node in walk(root) if isinstance(node, (Drawn, Pick)))
    return tuple(sorted(leaves, key=lambda leaf: (leaf.rank, leaf.path)))


def derived_paths(root: Node) -> tuple[str, ...]:
    """The paths of derived values, rising."""
    return tuple(sorted(node.path for node in walk(root) if isinstance(node, Late)))


def count(node: Node) -> int | None:
    """How many configurations there are, or None if they cannot be counted."""
    if isinstance(node, Pick):
        sizes = [count(node.options[index]) for index in node.domain.possible]
        return None if None in sizes else sum(size or 0 for size in sizes)
    if isinstance(node, Drawn):
        return node.leaf.domain.size
    total = 1
    for child in children(node):
        size = count(child)
        if size is None:
            return None
        total *= size
    return total


def assignments(node: Node) -> Iterator[dict[str, Any]]:
    """Every way to decide a finite node, as values by path; the last leaf by path varies fastest."""
    if isinstance(node, Pick):
        for index in node.domain.possible:
            for values in assignments(node.options[index]):
                yield {node.leaf.path: index, **values}
    elif isinstance(node, Drawn):
        for value in node.leaf.domain.members():
            yield {node.leaf.path: value}
    else:
        yield from _products(children(node))


def _products(nodes: tuple[Node, ...]) -> Iterator[dict[str, Any]]:
    if not nodes:
        yield {}
        return
    for values in assignments(nodes[0]):
        for rest in _products(nodes[1:]):
            yield {**values, **rest}


def constants(node: Node, path: str = "") -> Iterator[tuple[str, Any]]:
    """The constants outside of choices and rules, with their paths."""
    if isinstance(node, Held):
        yield path, node.value
    elif isinstance(node, Fields):
        for key, child in node.items:
            yield from constants(child, join(path, key))
    elif isinstance(node, Items):
        for index, child in enumerate(node.nodes):
            yield from constants(child, join(path, index))


def described(node: Node) -> tuple[Any, ...]:
    """What tells a tree from others; rules aside."""
    if isinstance(node, Held):
        return "constant", node.value
    if isinstance(node, Late):
        return "derived", node.derived.function
    if isinstance(node, Fields):
        return "dict", tuple((key, described(child)) for key, child in node.items)
    if isinstance(node, Items):
        return node.kind.__name__, tuple(map(described, node.nodes))
    if isinstance(node, Pick):
        return "choice", node.domain.weights, tuple(map(described, node.options))
    return described(node.node) if isinstance(node, When) else ("leaf", *node.leaf.domain.described())


class Builder:
    """Builds one configuration by asking for every active leaf.

    Attributes:
        values: of the leaves asked for, by path.
        absent: paths of what its rule has left out.
        derived: values that functions have made, by path.
    """

    __slots__ = ("_decide", "absent", "derived", "late", "values", "waiting")

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self.late: list[tuple[Late, Any, Any]] = []
        self.waiting: list[tuple[When, Any, Any]] = []
        self.derived: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.absent: set[str] = set()

    def decide(self, leaf: Leaf) -> Any:
        """The leaf's value, asked for once."""
        value = self.values[leaf.path] = self._decide(leaf)
        return value

    def build(self, root: Node) -> dict[str, Any]:
        """The configuration, derived values included.

        Raises:
            SpaceError: a derived function raised.
        """
        config = self._make(self._chosen(root))
        for when, container, key in sorted(self.waiting, key=lambda entry: entry[0].rank):
            if when.rule.holds(self.values):
                self._put(when.node, container, key)
            else:
                self.absent.add(when.path)
                del container[key]
        for late, container, key in sorted(self.late, key=lambda entry: entry[0].path):
            try:
                container[key] = self.derived[late.path] = plain(late.derived.function(config))
            except Exception as error:
                raise SpaceError(
                    f"{late.path}: {late.derived!r} raised {type(error).__name__}: {error}; "
                    f"it was given the keys {', '.join(config)}."
                ) from error
        return config

    def _chosen(self, node: Node) -> Node:
        while isinstance(node, Pick):
            node = node.options[self.decide(node.leaf)]
        return node

    def _make(self, node: Node) -> Any:
        if isinstance(node, Drawn):
            return self.decide(node.leaf)
        if isinstance(node, Fields):
            fields: dict[str, Any] = {}
            for key, child in node.items:
                self._put(child, fields, key)
            return fields
        if isinstance(node, Items):
            members: list[Any] = [None] * len(node.nodes)
            for index, child in enumerate(node.nodes):
                self._put(child, members, index)
            return members if node.kind is list else node.kind(members)
        assert isinstance(node, Held)
        return node.value

    def _put(self, node: Node, container: Any, key: Any) -> None:
        node = self._chosen(node)
        if isinstance(node, When):
            self.waiting.append((node, container, key))
            container[key] = None  # holds the place: keys stay sorted
        elif isinstance(node, Late):
            self.late.append((node, container, key))
        else:
            container[key] = self._make(node)
