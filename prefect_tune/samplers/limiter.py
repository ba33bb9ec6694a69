"""A bound on how many trials run at a time, put around any sampler.

Rule 1: a trial that runs or has been handed out counts; a paused one does not; a retry does.
Rule 2: in batches of k, the sampler sees no result of a batch before all its trials have ended (or pause).
It applies on top of the workers: the smaller limit rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from prefect_tune.samplers.contract import NoSuggestion, Question, Sampler, Suggestion
from prefect_tune.samplers.distinct import earlier
from prefect_tune.samplers.settings import whole
from prefect_tune.trials import TrialRecord, TrialState

_BUSY = (TrialState.RUNNING, TrialState.PENDING)


@dataclass(frozen=True, slots=True)
class Limited:
    """Another sampler with at most `max_concurrent` trials under way.

    Attributes:
        sampler: that is asked.
        max_concurrent: trials that may run or be handed out at a time.
        batch: trials 0 to k-1 are the first batch, the next k the second, and so on. A batch begins when
            all trials before it have ended, and its results are told together, by rising index.
    """

    sampler: Sampler
    max_concurrent: int
    batch: bool = False

    def __post_init__(self) -> None:
        whole("Limited", "max_concurrent", self.max_concurrent, 1)

    @property
    def startup(self) -> int:
        """The sampler's own."""
        return self.sampler.startup

    def suggest(self, question: Question) -> Suggestion:
        """The sampler's answer; WAIT at the limit."""
        records = earlier(question)
        if sum(record.state in _BUSY for record in records) >= self.max_concurrent:
            return NoSuggestion.WAIT
        if self.batch:
            first = question.index - question.index % self.max_concurrent
            if any(record.index < first and record.state in _BUSY for record in records):
                return NoSuggestion.WAIT
            records = [
                withheld(record, question.levels[0]) if record.index >= first else record
                for record in records
            ]
        return self.sampler.suggest(replace(question, records=records))

    def identity(self) -> dict[str, object]:
        """The name, the limit, and the sampler's identity."""
        return {
            "sampler": "limited",
            "max_concurrent": int(self.max_concurrent),
            "batch": self.batch,
            "of": self.sampler.identity(),
        }


def withheld(record: TrialRecord, level: int) -> TrialRecord:
    """The record as it was when the trial was handed out, on its way to the lowest level."""
    return replace(record, state=TrialState.RUNNING, losses={}, pending=(level,), final=None)
