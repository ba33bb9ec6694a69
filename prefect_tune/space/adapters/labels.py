"""hyperopt's labels: every random number has one, wherever in the space it is used.

Rule: a label may stand at several places as long as at most one of them is active. hyperopt draws once for
all of them; here every place is a leaf of its own, which is the same as long as no two are active together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from prefect_tune.space.faults import Fault
from prefect_tune.space.nodes import join


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the space something stands.

    Attributes:
        path: its keys joined.
        chosen: paths of the choices above, with the options below which it stands.
    """

    path: str = ""
    chosen: tuple[tuple[str, int], ...] = ()

    def below(self, key: Any) -> Place:
        """The place of a member."""
        return replace(self, path=join(self.path, key if isinstance(key, int) else str(key)))

    def option(self, index: int) -> Place:
        """The place of an option of the choice that stands here."""
        return Place(join(self.path, index), (*self.chosen, (self.path, index)))

    def excludes(self, other: Place) -> bool:
        """Whether the two are never active together: they stand below different options of a choice."""
        mine = dict(self.chosen)
        return any(mine.get(path, index) != index for path, index in other.chosen)


@dataclass(slots=True)
class Labels:
    """The labels met.

    Attributes:
        places: of every label, with the node that stands there.
    """

    places: dict[str, list[tuple[Place, Any]]] = field(default_factory=dict)

    def add(self, label: str, place: Place, node: Any) -> None:
        """Takes note of a place."""
        self.places.setdefault(label, []).append((place, node))

    def by_path(self) -> dict[str, str]:
        """Labels by the path of the leaf."""
        return {place.path: label for label, met in self.places.items() for place, _ in met}

    def faults(self) -> list[Fault]:
        """A fault for every label that means two things, or stands at two places that can be active."""
        faults = []
        for label, met in self.places.items():
            first, node = met[0]
            for number, (place, other) in enumerate(met[1:], 1):
                if other is not node:
                    rule = f"the label {label!r} already stands for something else at {first.path}"
                    faults.append(Fault(place.path, rule, label, "give it a label of its own"))
                elif not all(place.excludes(before) for before, _ in met[:number]):
                    rule = "one random number must not stand at two places that can both be active"
                    advice = (
                        f"name it once and copy it: derived(lambda config: config[...]) instead of {label!r}"
                    )
                    faults.append(Fault(place.path, rule, label, advice))
                    break
        return faults
