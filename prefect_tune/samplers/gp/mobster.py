"""The sampler `MOBSTER`: one Gaussian process over configurations and resources.

Theory: Klein, Tiao, Lienart, Archambeau and Seeger (2020), Model-based asynchronous hyperparameter and neural
architecture search. The losses of all rungs teach one model, which is asked at one resource.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prefect_tune.samplers.contract import Question, Suggestion
from prefect_tune.samplers.distinct import earlier
from prefect_tune.samplers.gp.caps import keep_highest
from prefect_tune.samplers.gp.encoding import Encoding
from prefect_tune.samplers.gp.evidence import Evidence, joint
from prefect_tune.samplers.gp.steps import View, check, identity, suggestion
from prefect_tune.samplers.settings import one_of, whole
from prefect_tune.trials import Config, generator

RESOURCES = ("bohb", "first", "final")


@dataclass(frozen=True, slots=True, kw_only=True)
class MOBSTER:
    """Proposes what a model of all learning curves expects to improve most; for schedules with rungs.

    Attributes:
        startup: trials with a loss at a rung before the model is asked; advice: at least workers + 2.
        candidates: the only configurations that may be proposed, e.g. the rows of a table; None for all of
            the space.
        resource: where configurations are compared: `bohb`, the largest level with at least `threshold`
            losses (without one the smallest level with losses); `first`, the first level; `final`, the last.
        threshold: losses that make a level count; `"dim"` for as many as the encoded space has dimensions.
        fantasies: samples of the losses of pending trials.
        draws: configurations drawn, of which the most promising starts the local search.
        cap: most observations that the model keeps; those of the trials that came furthest.
        pull_in: losses far above the median count as less far (see `evidence`).
        failed: what failed trials tell the model: `out`, nothing; `worst`, a loss as bad as the worst. Either
            way their configurations are not proposed again.

    Raises:
        UserError: a setting is out of its range.
    """

    startup: int = 6
    candidates: tuple[Config, ...] | None = None
    resource: str = "bohb"
    threshold: int | str = 3
    fantasies: int = 20
    draws: int = 250
    cap: int = 500
    pull_in: bool = True
    failed: str = "out"

    def __post_init__(self) -> None:
        if self.candidates is not None:
            object.__setattr__(self, "candidates", tuple(self.candidates))
        check("MOBSTER", self)
        one_of("MOBSTER", "resource", self.resource, RESOURCES)
        if self.threshold != "dim":
            whole("MOBSTER", "threshold", self.threshold, 1)

    def suggest(self, question: Question) -> Suggestion:
        """The next configuration, EXHAUSTED if all have been used."""

        def view() -> View:
            found = joint(earlier(question), question.levels, self.failed)
            level = self.level(question, found)
            kept = keep_highest(
                found.observations, self.cap, lambda: generator(question.seed, "subsample", question.index)
            )
            return View(Evidence(kept, found.pending), level, question.levels[-1])

        return suggestion(self, question, view)

    def level(self, question: Question, evidence: Evidence) -> int:
        """The resource at which configurations are compared."""
        if self.resource != "bohb":
            return question.levels[0 if self.resource == "first" else -1]
        threshold = self.threshold
        if isinstance(threshold, str):
            threshold = Encoding(question.space).dimensions
        return level_with(evidence, question.levels, threshold)

    def identity(self) -> dict[str, object]:
        """The settings, `{"sampler": "mobster", ...}`."""
        return identity("mobster", self, "resource", "threshold")


def level_with(evidence: Evidence, levels: Sequence[int], threshold: int) -> int:
    """The largest level with at least `threshold` losses, else the smallest with any, else the first."""
    found = [seen.level for seen in evidence.observations if math.isfinite(seen.loss)]
    enough = [level for level in levels if found.count(level) >= threshold]
    return max(enough, default=min(found, default=levels[0]))
