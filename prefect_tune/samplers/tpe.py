"""Tree-structured Parzen estimators: what good configurations have and the others have not.

Rule 1: every suggestion has a fresh Optuna sampler over a study rebuilt from the records, so it depends on
(seed, index, records) and nothing else.
Rule 2: the first configurations are drawn from the space, until `startup` trials are usable.
Rule 3: trials under way count as bad (constant liar), so that workers do not crowd at one place.
Theory: Bergstra, Bardenet, Bengio and Kégl, NeurIPS 2011; multivariate: Falkner et al., ICML 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_tune.samplers import by_rung
from prefect_tune.samplers.contract import Question, Sampler, Suggestion
from prefect_tune.samplers.distinct import distinct, earlier, starting, suggest_seed
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.quiet import no_experimental_warnings
from prefect_tune.samplers.settings import one_of, whole
from prefect_tune.samplers.study import Row, ask, book_of, rows_of
from prefect_tune.samplers.twins import Twin, twins_of

if TYPE_CHECKING:
    from optuna.samplers import TPESampler


@dataclass(frozen=True, slots=True, kw_only=True)
class TPE:
    """Optuna's TPE, fed from the search's own records.

    Attributes:
        startup: trials that must be usable before the model is asked. Advice: at least workers + 2.
        candidates: draws among which the most promising is taken.
        fidelity: None models all trials together, those with more resource first; `rung` only the highest
            level with enough losses, and draws a third from the space (as BOHB).
        min_losses: with `rung`: losses that a level needs; None is the number of leaves plus one.
        initial: draws the first configurations.
    """

    startup: int = 10
    candidates: int = 24
    fidelity: str | None = None
    min_losses: int | None = None
    initial: Sampler = field(default_factory=Random)

    def __post_init__(self) -> None:
        whole("TPE", "startup", self.startup, 0)
        whole("TPE", "candidates", self.candidates, 1)
        one_of("TPE", "fidelity", self.fidelity, (None, "rung"))
        if self.min_losses is not None:
            whole("TPE", "min_losses", self.min_losses, 1)

    def suggest(self, question: Question) -> Suggestion:
        """The configuration that the model likes best among its candidates."""
        if starting(question, self.startup):
            return self.initial.suggest(question)
        twins = twins_of(question.space)
        rows = self._rows(question, twins)
        if rows is None:
            return Random().suggest(question)
        return distinct(
            question,
            lambda attempt: ask(
                book_of(rows, twins, self._sampler(question, attempt)).study, question, twins, attempt
            ),
        )

    def _rows(self, question: Question, twins: Sequence[Twin]) -> list[Row] | None:
        """The study's trials; None if this configuration is to be drawn from the space."""
        if self.fidelity is None:
            return rows_of(question.space, twins, earlier(question))
        return by_rung.rows_of(question, twins, self.min_losses)

    def _sampler(self, question: Question, attempt: int) -> TPESampler:
        """A fresh sampler; every default that has changed between Optuna 4 and 5 is named."""
        from optuna.samplers import TPESampler

        with no_experimental_warnings():
            return TPESampler(
                seed=suggest_seed(question, attempt),
                n_startup_trials=0,
                multivariate=True,
                constant_liar=True,
                n_ei_candidates=self.candidates,
                group=question.space.conditional,
            )

    def identity(self) -> dict[str, object]:
        """The name and every setting."""
        return {
            "sampler": "tpe",
            "startup": int(self.startup),
            "candidates": int(self.candidates),
            "fidelity": self.fidelity,
            "min_losses": None if self.min_losses is None else int(self.min_losses),
            "initial": self.initial.identity(),
        }
