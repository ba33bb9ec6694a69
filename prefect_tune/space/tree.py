"""The search space: draws configurations, takes them apart, counts and checks them.

Rule 1: a leaf draws from a generator of its own, made of (search seed, trial index, path, attempt). Adding or
removing a key never changes the values of other keys, and nothing depends on order or on other trials.
Rule 2: only the leaves of the options chosen are active; the others are neither drawn nor stored.
Rule 3: grids are not drawn: trial i has point i, modulo their number, of the product of all grids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prefect_tune.errors import SpaceError, did_you_mean
from prefect_tune.space.categories import Grid
from prefect_tune.space.domain import MISSING
from prefect_tune.space.equality import same
from prefect_tune.space.faults import Fault, raise_any
from prefect_tune.space.matching import false_claims, matched
from prefect_tune.space.nodes import (
    Builder,
    Leaf,
    Node,
    assignments,
    constants,
    count,
    derived_paths,
    described,
    leaves_of,
)
from prefect_tune.space.reading import read
from prefect_tune.space.rules import TRIES, Ruled, active_assignments
from prefect_tune.space.values import copied
from prefect_tune.trials import Config, generator


class SearchSpace:
    """What may be tried: a dict of leaves, constants and nested dicts; frozen.

    Args:
        definition: names to domains (`uniform(0, 1)`, `choice([...])`, a frozen distribution of scipy), to
            lists (a choice of their items, as in scikit-learn), to nested dicts of the same, or to constants.
            A list of such dicts is a choice between them. A SearchSpace is taken as it is. Spaces of
            hyperopt, Optuna, Ray Tune, Syne Tune and ConfigSpace are made ours (see `adapters`).

    Raises:
        SpaceError: with every mistake, before anything is drawn.

    >>> from prefect_tune.space import choice, randint
    >>> space = SearchSpace({"width": randint(1, 9), "net": choice(["mlp", "cnn"]), "epochs": 50})
    >>> space.default()
    {'epochs': 50, 'net': 'mlp', 'width': 5}
    >>> space.size
    18
    """

    __slots__ = ("_definition", "_root", "_ruled", "_size", "constants", "leaves")

    _definition: Any
    _root: Node
    _ruled: Ruled | None
    _size: Any
    leaves: tuple[Leaf, ...]
    """Everything that is decided, by rising path (what a rule guards after all that the rule asks for);
    neither constants nor derived values."""
    constants: Mapping[str, Any]
    """Constants outside of all choices, by path."""

    def __init__(self, definition: Any) -> None:
        if isinstance(definition, SearchSpace):
            definition = definition.definition
        canonical, root, ruled = read(definition)
        for name, value in (
            ("_definition", canonical),
            ("_root", root),
            ("_ruled", ruled),
            ("leaves", leaves_of(root)),
            ("constants", MappingProxyType(dict(constants(root)))),
            ("_size", MISSING),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a SearchSpace is frozen; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a SearchSpace is frozen; {name!r} stays")

    def __reduce__(self) -> tuple:
        return type(self), (self.definition,)

    def __repr__(self) -> str:
        return f"SearchSpace({self._ruled or self._definition!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and same(self.identity(), other.identity())

    def __hash__(self) -> int:
        return hash(tuple((leaf.path, type(leaf.domain)) for leaf in self.leaves))

    @property
    def definition(self) -> Any:
        """As written, with lists of values made choices and distributions made leaves; a copy."""
        written = copied(self._definition)
        return written if self._ruled is None else self._ruled.over(written)

    @property
    def conditional(self) -> bool:
        """Whether some leaf depends on another."""
        return any(leaf.conditions or leaf.rule for leaf in self.leaves)

    @property
    def derived(self) -> tuple[str, ...]:
        """Paths of the derived values, rising."""
        return derived_paths(self._root)

    def leaf(self, path: str) -> Leaf:
        """The leaf at a path; SpaceError if there is none."""
        paths = [leaf.path for leaf in self.leaves]
        if path in paths:
            return self.leaves[paths.index(path)]
        raise SpaceError(
            f"{path}: the space has no such leaf; it has "
            f"{', '.join(paths) or 'none'}.{did_you_mean(path, paths)}"
        )

    # Draws

    def draw(self, seed: int, index: int, attempt: int = 0) -> dict[str, Any]:
        """The configuration of trial `index`, drawn from the prior; `attempt` counts redraws.

        What the rules of the space forbid is drawn again; SpaceError if that is so 10,000 times.
        """
        points = self.grid_point(index)

        def decide(leaf: Leaf) -> Any:
            if isinstance(leaf.domain, Grid):
                return points[leaf.path]
            return leaf.domain.value(generator(seed, "config", index, leaf.path, attempt, *again).random())

        for tried in range(TRIES):
            again = (tried,) if tried else ()
            config = Builder(decide).build(self._root)
            if self.allows(config):
                return config
        assert self._ruled is not None
        raise self._ruled.exhausted()

    def from_units(self, units: Mapping[str, float]) -> dict[str, Any]:
        """The configuration at these u, one per leaf by path; those of inactive leaves are not looked at."""
        return self._build(units, lambda leaf: leaf.domain.value(units[leaf.path]), "units")

    def default(self) -> dict[str, Any]:
        """The configuration in the middle: every leaf's default, the first option of every choice."""
        return Builder(self.default_of).build(self._root)

    def default_of(self, leaf: Leaf) -> Any:
        """The value of a leaf in the default configuration; ConfigSpace's spaces name their own."""
        return leaf.domain.default() if self._ruled is None else self._ruled.default_of(leaf)

    def grid_point(self, index: int) -> dict[str, Any]:
        """Values by path of the grid leaves of trial `index`: the last path varies fastest."""
        values = {}
        for leaf in reversed(self._grids):
            index, digit = divmod(index, len(leaf.domain.values))  # type: ignore[attr-defined]
            values[leaf.path] = leaf.domain.values[digit]  # type: ignore[attr-defined]
        return values

    @property
    def _grids(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if isinstance(leaf.domain, Grid)]

    # Configurations

    def assemble(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with these values of the active leaves, by path; choices by option index.

        The values are not checked. Constants and derived values are filled in.
        """
        return self._build(values, lambda leaf: values[leaf.path], "values")

    def _build(self, given: Mapping[str, Any], decide: Any, name: str) -> dict[str, Any]:
        def known(leaf: Leaf) -> Any:
            if leaf.path not in given:
                raise SpaceError(
                    f"{leaf.path}: {name} has no entry for this active leaf; add {leaf.domain!r}."
                )
            return decide(leaf)

        return Builder(known).build(self._root)

    def values(self, config: Config) -> dict[str, Any]:
        """Values of the active leaves by path, choices by option index: the inverse of `assemble`.

        Raises:
            SpaceError: with every key that is missing, unknown or outside its domain.
        """
        return dict(sorted(matched(self._root, config).values.items()))

    def check(self, config: Config) -> None:
        """Nothing, if the configuration is one of the space's; else SpaceError with every fault."""
        match = matched(self._root, config)
        builder = Builder(lambda leaf: match.values[leaf.path])
        builder.build(self._root)
        faults = false_claims(match.claims, builder.derived) + self.forbidden(config)
        raise_any(faults, "the configuration")

    def allows(self, config: Config) -> bool:
        """Whether a configuration of the space is none that its rules forbid."""
        return self._ruled is None or not self._ruled.broken(config)

    def forbidden(self, config: Config) -> list[Fault]:
        """What forbids a configuration of the space."""
        return [] if self._ruled is None else self._ruled.faults(config)

    def points(
        self, points_to_evaluate: Sequence[Config] | None = None, fill: str = "mid", seed: int = 0
    ) -> list[dict[str, Any]]:
        """The configurations to try first: checked, missing keys filled, duplicates dropped.

        Args:
            points_to_evaluate: partial configurations, categories by value. None: the default configuration
                alone, or nothing where every leaf is a grid.
            fill: `mid`: missing leaves get their default; `sample`: what the trial would have drawn.
            seed: of the search, for `sample`.

        Raises:
            SpaceError: with every fault of every point.
        """
        from prefect_tune.space.points import points_of  # a page of its own

        return points_of(self, self._root, points_to_evaluate, fill, seed)

    # Counts

    @property
    def size(self) -> int | None:
        """How many configurations there are, or None if they cannot be counted."""
        if self._ruled is None:
            return count(self._root)
        if self._size is MISSING:  # counted by going through them all
            object.__setattr__(self, "_size", self._ruled.count(self))
        return self._size

    @property
    def grid_size(self) -> int | None:
        """How many points the product of all grids has, or None without grids."""
        sizes = [leaf.domain.size or 1 for leaf in self._grids]
        return math.prod(sizes) if sizes else None

    def every(self) -> Iterator[dict[str, Any]]:
        """Every configuration of a finite space, keys sorted, the last leaf varying fastest.

        Raises:
            SpaceError: the space is not finite.
        """
        for leaf in self.leaves:
            if leaf.domain.size is None:
                raise SpaceError(
                    f"{leaf.path}: {leaf.domain!r} is not finite, so there is no list of all configurations; "
                    "use choice, finrange or a type with a step."
                )
        if self._ruled is not None:
            return filter(self.allows, map(self.assemble, active_assignments(self.leaves)))
        return map(self.assemble, assignments(self._root))

    # Forms

    def identity(self) -> dict[str, Any]:
        """What tells two spaces apart, for prefect_tune.identity to encode; the order of keys does not count.

        It holds the options, constants and functions themselves: encoding it raises Uncacheable if one of
        them has no identity.
        """
        found = {"space": "space/v1", "root": described(self._root)}
        return found if self._ruled is None else {**found, "rules": self._ruled.described()}

    def to_json(self) -> Any:
        """The readable form, a dict (a list for a list of dicts); `from_json` gives an equal space.

        Raises:
            SpaceError: with every leaf or constant that JSON cannot hold.
        """
        from prefect_tune.space.form import space_to_form  # needs nothing of this module, but is optional

        if self._ruled is not None:
            raise SpaceError("the space: its form cannot say rules; pass the space as a Python object.")
        return space_to_form(self._definition)

    @classmethod
    def from_json(cls, form: Any) -> SearchSpace:
        """The space of a form, e.g. `{"lr": {"loguniform": [0.0001, 1]}, "epochs": 50}`.

        Raises:
            SpaceError: with every mistake, by path.
        """
        from prefect_tune.space.form import space_from_form

        return cls(space_from_form(form))
