"""Successive halving: one bracket, decided rung by rung.

Rule 1: one score per candidate and rung, none before the first; with a plateau rule, also after call 1 and
then at least every `patience` calls.
Rule 2: the best `size` of the next rung go on, by score, ties to the smaller key; failures never do.
Rule 3: a frozen candidate has reached every rung: it keeps its score, may take a slot, and never trains.
Theory: Jamieson and Talwalkar, 2016; Li et al., JMLR 18, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.schedules.ladder import Ladder, Schedule
from prefect_tune.schedules.plateau import Plateau
from prefect_tune.schedules.rungs import Bracket


@dataclass(frozen=True, slots=True)
class Halving(Schedule):
    """Successive halving over a bracket.

    >>> from prefect_tune.schedules import Report, plan_bracket
    >>> halving = Halving(plan_bracket(3, min_resource=1, max_resource=3))
    >>> halving.next_round({"a": [], "b": [], "c": []})
    {'a': 1, 'b': 1, 'c': 1}
    >>> halving.next_round({"a": [Report(1, 0.3)], "b": [Report(1, 0.7)], "c": [Report(1, 0.5)]})
    {'b': 3}
    """

    bracket: Bracket
    plateau: Plateau | None = None

    @property
    def size(self) -> int:
        """Candidates of the first rung; the search may bring fewer."""
        return self.bracket.size

    def ladder(self, size: int) -> Ladder:
        """The bracket's rungs, and the scores that the plateau rule needs between them."""
        if self.plateau is None:
            return Ladder(rungs=self.bracket.rungs)
        return Ladder(rungs=self.bracket.rungs, first=1, step=self.plateau.patience, plateau=self.plateau)
