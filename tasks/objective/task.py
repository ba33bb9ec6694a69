"""The Prefect task that runs one stretch of a trial, up to the next rung.

Rule 1: whatever the objective does is the outcome; the task run shows `Failed` for a trial that fails, but
its data is the outcome all the same.
Rule 2: a failed trial is one line for people, in the state and in the log. Prefect logs what a task raises
with our own stack, so the state is returned, not raised.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any

from blake3 import blake3
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from prefect_tune.tasks.objective.cell import run_in_cell
from prefect_tune.tasks.objective.protocol import Ask, ObjectiveFile
from prefect_tune.text import short
from prefect_tune.tuning.jobs import Fault, JobOutcome, Reported


class TrialFailed(Exception):
    """A job failed; the outcome says how. Its text is one line, for people; Prefect logs text and repr."""

    def __init__(self, outcome: JobOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        cause = short(self.outcome.cause or str(self.outcome.fault), 200)
        what = "Its traceback" if self.outcome.tail else "More"
        return f"trial {self.outcome.trial} failed: {cause} ({what} is in the report, under Failures.)"

    def __repr__(self) -> str:
        return f"TrialFailed(trial {self.outcome.trial})"


def _never(task: Any, task_run: Any, state: State) -> bool:
    """False: no retry is granted. Where none may be asked for, Prefect logs a failure twice, with a stack."""
    return False


@task(
    name="trial",
    task_run_name="{label}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_condition_fn=_never,
)
def run_trial(label: str, order: bytes) -> State:
    """The outcome of a job, as the data of a Completed state; of a Failed one the data is `TrialFailed`.

    Args:
        label: name of the task run.
        order: the pickled `Ask`. Bytes, since Prefect and Dask look into containers and take them apart.
    """
    ask: Ask = pickle.loads(order)
    worker = _worker()
    outcome = run_in_cell(ask, _teller(ask, worker), worker.state.nthreads if worker is not None else 1)
    if outcome.fault is Fault.LOST:
        return Completed(name="Stopped", message=outcome.cause, data=outcome)
    if outcome.fault is not None:
        failed = TrialFailed(outcome)
        return Failed(message=str(failed), data=failed)
    if outcome.known and not outcome.trained:
        return Completed(name="Cached", message=f"{outcome.known} units were in the store", data=outcome)
    return Completed(data=outcome)


def order(ask: Ask) -> bytes:
    """A job, as the parameter of its task run."""
    return pickle.dumps(ask)


def _worker() -> Any:
    """The Dask worker that runs this task, None outside of one."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def topic(file: ObjectiveFile) -> str:
    """Where workers tell of the reports of one run while its jobs run: a topic of Dask events."""
    return f"prefect-tune-{blake3(file.path.encode()).hexdigest()[:16]}"


def _teller(ask: Ask, worker: Any) -> Callable[[Reported], None]:
    """Tells the driver of reports as they come; a report that is not heard is in the outcome all the same."""
    name = topic(ask.file)

    def tell(report: Reported) -> None:
        if worker is not None:
            with contextlib.suppress(Exception):
                worker.log_event(name, [ask.job.trial, report.resource, dict(report.metrics)])

    return tell
