"""Goes through a space and makes foreign domains ours wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from prefect_tune.space.adapters import configspace, hyperopt, optuna, ray, syne_tune
from prefect_tune.space.adapters.labels import Labels, Place
from prefect_tune.space.adapters.origin import library_of
from prefect_tune.space.categories import Choice
from prefect_tune.space.faults import Fault, SpaceFaults, raise_any
from prefect_tune.space.rules import Ruled

_DOMAINS: dict[str, Callable[[Any], Any]] = {
    "optuna": optuna.domain_of,
    "ray": ray.domain_of,
    "syne_tune": syne_tune.domain_of,
    "ConfigSpace": configspace.domain_of,
}


def adapt(written: Any) -> Any:
    """The same in our words: a domain for a foreign one, a dict with our domains for one with foreign ones.

    What holds nothing foreign comes back as the same object. SearchSpace does this with whatever it is given.

    Raises:
        SpaceError: with every foreign part that cannot be said in our words.
    """
    return Walk().through(written)


def adapted_space(written: Any) -> Any:
    """The same as `adapt`, for what is a whole space: hyperopt's parts get their labels as names."""
    return labelled_space(written)[0]


def labelled_space(written: Any) -> tuple[Any, Labels]:
    """A whole space in our words, and where hyperopt's labels stand in it."""
    walk = Walk()
    return walk.through(hyperopt.named(written)), walk.labels


@dataclass(slots=True)
class Walk:
    """One way through a space.

    Attributes:
        labels: where hyperopt's labels have been met.
        faults: what cannot be said in our words.
    """

    labels: Labels = field(default_factory=Labels)
    faults: list[Fault] = field(default_factory=list)

    def through(self, written: Any) -> Any:
        """The space in our words; SpaceError with every fault."""
        ours = self._at(written, Place())
        self.faults += self.labels.faults()
        raise_any(self.faults)
        return ours

    def _at(self, value: Any, place: Place) -> Any:
        library = library_of(value)
        if library is not None:
            return self._foreign(library, value, place)
        if ray.is_grid(value):
            value = ray.grid_of(value)
        if type(value) is dict:
            items = {key: self._at(item, place.below(key)) for key, item in value.items()}
            return value if all(items[key] is value[key] for key in value) else items
        if type(value) in (list, tuple):
            members = [self._at(item, place.below(index)) for index, item in enumerate(value)]
            same = all(new is old for new, old in zip(members, value, strict=True))
            return value if same else type(value)(members)
        return self._options(value, place) if isinstance(value, Choice) else value

    def _options(self, choice: Choice, place: Place) -> Choice:
        options = [self._at(option, place.option(index)) for index, option in enumerate(choice.options)]
        same = all(new is old for new, old in zip(options, choice.options, strict=True))
        return choice if same else replace(choice, options=tuple(options))

    def _foreign(self, library: str, value: Any, place: Place) -> Any:
        try:
            if library == "hyperopt":
                return hyperopt.read(value, place, self.labels)
            ours = _DOMAINS[library](value)
        except SpaceFaults as error:
            self.faults += [fault.below(place.path) if place.path else fault for fault in error.faults]
            return value
        if isinstance(ours, Ruled) and place.path:
            rule = "a ConfigurationSpace must be the whole space"
            advice = "add the other keys to it, or put its hyperparameters into the dict"
            self.faults.append(Fault(place.path, rule, value, advice))
        # What a domain holds may be foreign itself: options of a choice.
        return self._options(ours, place) if isinstance(ours, Choice) else ours
