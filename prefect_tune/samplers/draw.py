"""Independent draws from the space: random search, and the start of every model-based one."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.samplers.contract import Question, Suggestion
from prefect_tune.samplers.distinct import distinct


@dataclass(frozen=True, slots=True)
class Random:
    """Draws every configuration from the space's own distributions.

    Trial i of a seed has the same configuration whatever the number of workers; another key in the space
    leaves the values of the others as they are.
    """

    @property
    def startup(self) -> int:
        """0: there is no model."""
        return 0

    def suggest(self, question: Question) -> Suggestion:
        """The draw of this index, redrawn if an earlier trial has it."""
        space, seed, index = question.space, question.seed, question.index
        return distinct(question, lambda attempt: space.draw(seed, index, attempt))

    def identity(self) -> dict[str, object]:
        """`{"sampler": "random"}`."""
        return {"sampler": "random"}
