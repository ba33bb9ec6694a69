"""Trials as a search keeps them: configuration, reports, where they stand, what they cost.

Rule: a report that came when the trial no longer ran is kept as late, and counts nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from prefect_tune.trials import Config, TrialState


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What a trial said at one resource.

    Attributes:
        resource: at which it was made.
        loss: smaller is better, whatever the metric's mode.
        metrics: name -> value, the search's own metric included.
        elapsed: seconds that the trial had trained.
        late: whether the trial no longer ran.
    """

    resource: int
    loss: float
    metrics: dict[str, float]
    elapsed: float = 0.0
    late: bool = False


@dataclass(slots=True)
class Trial:
    """One configuration and what became of it.

    Attributes:
        index: order of creation.
        key: digest of the configuration.
        config: the configuration.
        state: where it stands.
        bracket: of the schedule.
        parent: the trial whose checkpoint it started from (population based training).
        inherited: resource that this checkpoint had.
        reason: why it ended or waits, in words.
        error: exception and message of the last failure, on one line.
        fault: which kind of failure that was.
        trace: last lines of its traceback.
        reports: in the order in which they were accepted, late ones among them.
        resource: trained so far, the inherited included; what was trained twice counts once.
        trained, known: units that were trained for it, and units whose reports were in the store already.
        attempts: jobs that it has had.
        failures: jobs that have failed.
        seconds: of training.
        cost: as the objective states it, summed over attempts.
        checkpoints: resource -> key in the store.
        artefacts: name -> (resource, key in the store) of what reports brought along.
        trained: units trained by this search, those that the store knew not counted.
        known: units that the store knew.
        failures: how often a job of it has failed.
        complete_at: resource below which a report is a mean over fewer parts, and no value of the trial.
        fault: what kind of failure the last one was.
        trace: last lines of its traceback.
    """

    index: int
    key: str
    config: Config
    state: TrialState = TrialState.PENDING
    bracket: int = 0
    parent: int | None = None
    inherited: int = 0
    reason: str = ""
    error: str | None = None
    fault: str | None = None
    trace: str = ""
    reports: list[TrialReport] = field(default_factory=list)
    resource: int = 0
    artefacts: dict[str, tuple[int, str]] = field(default_factory=dict)
    trained: int = 0
    known: int = 0
    attempts: int = 0
    failures: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    checkpoints: dict[int, str] = field(default_factory=dict)
    complete_at: int = 0
    _best: float = field(default=math.inf, init=False, repr=False, compare=False)
    _read: int = field(default=0, init=False, repr=False, compare=False)
    _count: int = field(default=0, init=False, repr=False, compare=False)

    @property
    def id(self) -> str:
        """What tables call it: index and the start of the key."""
        return f"{self.index:05d}-{self.key[:8]}"

    @property
    def accepted(self) -> list[TrialReport]:
        """Reports that count, by rising resource."""
        return sorted((report for report in self.reports if not report.late), key=lambda r: r.resource)

    @property
    def last(self) -> TrialReport | None:
        """The report at the greatest resource."""
        return max((r for r in self.reports if not r.late), key=lambda r: r.resource, default=None)

    @property
    def evaluations(self) -> int:
        """How many reports count."""
        self._read_on()
        return self._count

    @property
    def best_loss(self) -> float | None:
        """The smallest finite loss that is a value of the trial, None without one."""
        self._read_on()
        return self._best if self._best < math.inf else None

    def _read_on(self) -> None:
        """Reports are only ever appended, so each is read once: budgets ask after every event."""
        for report in self.reports[self._read :]:
            if not report.late:
                self._count += 1
                counts = math.isfinite(report.loss) and report.resource >= self.complete_at
                self._best = min(self._best, report.loss if counts else math.inf)
        self._read = len(self.reports)
