"""What a batch of steps did, as values small enough to travel."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass, field

import cloudpickle

from prefect_tune.store import Record

TAIL_LINES, TAIL_CHARACTERS = 12, 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLeaf:
    """A fit or a score that raised.

    Attributes:
        row, fold: the candidate and the fold.
        metric: the metric that failed; empty when the fit did.
        side: side of the failed score.
        cause: exception and message on one line.
        tail: last lines of the traceback.
        seconds: time spent until then.
    """

    row: int
    fold: int
    metric: str = ""
    side: str = ""
    cause: str = ""
    tail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class BatchOutcome:
    """What a batch did, small enough to travel in a task's state.

    Attributes:
        done: leaves that were evaluated, failed ones included.
        paused: (row, split) of a unit of training that was not done in time -> calls it has had, calls made
            for it here, and the seconds they took.
        records: the scores.
        failures: what raised.
        ran: family -> (count, seconds) of the steps that ran.
        reused: prefix steps found in the store.
        waited: steps and scores that another search computed at the same time, had from it.
        bytes_written: bytes added to the store.
        warnings: (class name, text) -> how often.
        model: key of the refitted model.
        trained, taken_over: units of the parameter that grows, trained here and had from earlier fits.
        seconds: of the whole batch.
    """

    done: list[tuple[int, int]] = field(default_factory=list)
    paused: dict[tuple[int, int], tuple[int, int, float]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    failures: list[FailedLeaf] = field(default_factory=list)
    ran: dict[str, tuple[int, float]] = field(default_factory=dict)
    reused: int = 0
    waited: int = 0
    bytes_written: int = 0
    warnings: dict[tuple[str, str], int] = field(default_factory=dict)
    model: str = ""
    trained: int = 0
    taken_over: int = 0
    seconds: float = 0.0

    def add(self, other: BatchOutcome) -> None:
        """Takes in what another part of the batch did, all but its seconds."""
        self.done += other.done
        self.paused |= other.paused
        self.records += other.records
        self.failures += other.failures
        for family, (count, seconds) in other.ran.items():
            before = self.ran.get(family, (0, 0.0))
            self.ran[family] = before[0] + count, before[1] + seconds
        for warning, count in other.warnings.items():
            self.warnings[warning] = self.warnings.get(warning, 0) + count
        self.reused += other.reused
        self.waited += other.waited
        self.bytes_written += other.bytes_written
        self.model = other.model or self.model
        self.trained += other.trained
        self.taken_over += other.taken_over


# What user code may raise at the expense of its candidate. An interrupt is not the user's Ctrl-C here: that
# goes to the driver, and no signal reaches the threads of a worker.
LEAVING = (SystemExit, KeyboardInterrupt)
OWN = (Exception, *LEAVING)


def cause_of(error: BaseException | None) -> str:
    """An error on one line: its type and message, capped."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def trace_of(error: BaseException | None) -> str:
    """The traceback of an error as Python prints it."""
    return "".join(traceback.format_exception(error))


def tail_of(trace: str) -> str:
    """The last lines of a traceback, capped."""
    return "\n".join(trace.strip().splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]


def travelling(error: BaseException | None) -> BaseException:
    """`error` if it can be pickled, else one of a built-in kind that says the same.

    An interrupt, too: raised on a worker it would end that worker.
    """
    if isinstance(error, KeyboardInterrupt):
        return RuntimeError(cause_of(error))
    try:
        pickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RuntimeError(cause_of(error))
    return error if error is not None else RuntimeError("the step failed without a cause")
