"""The sampler `GP`: expected improvement of a Gaussian process over configurations."""

from __future__ import annotations

from dataclasses import dataclass

from prefect_tune.samplers.contract import Question, Suggestion
from prefect_tune.samplers.distinct import earlier
from prefect_tune.samplers.gp.caps import keep_best
from prefect_tune.samplers.gp.evidence import Evidence, single
from prefect_tune.samplers.gp.steps import View, check, identity, suggestion
from prefect_tune.trials import Config, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class GP:
    """Proposes what a Gaussian process expects to improve on the best loss most.

    One loss counts per trial: the final one, else the one at the highest level it has reached. Under a
    schedule that stops trials early, `MOBSTER` makes more of the losses.

    Attributes:
        startup: trials with a result before the model is asked; advice: at least workers + 2.
        candidates: the only configurations that may be proposed, e.g. the rows of a table; None for all of
            the space.
        fantasies: samples of the losses of pending trials.
        draws: configurations drawn, of which the most promising starts the local search.
        cap: most observations that the model keeps; a quarter of them are the best.
        pull_in: losses far above the median count as less far (see `evidence`).
        failed: what failed trials tell the model: `out`, nothing; `worst`, a loss as bad as the worst. Either
            way their configurations are not proposed again.

    Raises:
        UserError: a setting is out of its range.
    """

    startup: int = 3
    candidates: tuple[Config, ...] | None = None
    fantasies: int = 20
    draws: int = 250
    cap: int = 500
    pull_in: bool = True
    failed: str = "out"

    def __post_init__(self) -> None:
        if self.candidates is not None:
            object.__setattr__(self, "candidates", tuple(self.candidates))
        check("GP", self)

    def suggest(self, question: Question) -> Suggestion:
        """The next configuration, EXHAUSTED if all have been used."""

        def view() -> View:
            found = single(earlier(question), question.levels[-1], self.failed)
            kept = keep_best(
                found.observations, self.cap, lambda: generator(question.seed, "subsample", question.index)
            )
            return View(Evidence(kept, found.pending), None, question.levels[-1])

        return suggestion(self, question, view)

    def identity(self) -> dict[str, object]:
        """The settings, `{"sampler": "gp", ...}`."""
        return identity("gp", self)
