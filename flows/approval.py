"""Asking a person before the best model is made: the flow run pauses with a form until somebody answers.

Rule 1: while it waits nothing runs; workers hold nothing of the search, and every step is in the store.
Rule 2: who does not answer in time fails the run. A retry finds all steps, and asks again.
Rule 3: an approval holds for the question that it answered: if the run is lost after it, a retry that finds
the same candidates and scores takes it over. A refusal ends the run; a retry of that asks anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from pydantic import Field, create_model

from prefect_tune.errors import NotApproved, UserError
from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.halving_result import HalvingResult
from prefect_tune.model import Approval
from prefect_tune.report.markup import code, table
from prefect_tune.report.pages import Found
from prefect_tune.report.progress import Progress
from prefect_tune.report.text import params_text, score_text, seconds_text
from prefect_tune.report.tune.facts import tune_facts
from prefect_tune.results import SearchResult
from prefect_tune.tasks.api import others_can_reach
from prefect_tune.tuning.result import TuneResult

DEFAULT = 3600
"""Seconds to wait for a person, if nobody says how many."""
SHOWN = 20
"""Candidates to choose from."""
REFIT, END = "refit", "end without a model"
_LOOK_EVERY = 2  # seconds between two looks at the state of the paused run
# The server gives up on a pause so many seconds after us: our message says more than its own.
_GRACE = 300

Told = TypeVar("Told", bound=Found)


def patience_of(asked: Mapping[str, Any], *, refit: bool = True) -> int:
    """Seconds that a person has to answer, from a flow's parameters; 0: nobody is asked.

    Args:
        asked: parameters of a flow; `approve` is a flag or a number of seconds.
        refit: whether there is going to be a model to approve.

    Raises:
        UserError: it is neither, there will be no model, or nobody could reach the paused run.
    """
    given = asked.get("approve", False)
    if given is None or given is False:
        return 0
    if not isinstance(given, int) or given < 1:
        raise UserError(
            f"approve: give True to wait {DEFAULT:,} seconds for a person, or a whole number of seconds, at "
            f"least 1, got {given!r}."
        )
    if not refit:
        raise UserError(
            "approve: it asks before the best candidate is fitted on all rows, and this search fits none. "
            "Pass refit=True with an estimator, or leave approve out."
        )
    if not others_can_reach():
        raise UserError(
            "approve: there is no Prefect API where a person could answer; a temporary one ends "
            "with this program. Run `prefect server start`, set PREFECT_API_URL and run the search again."
        )
    return DEFAULT if given is True else given


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate whose model may be made.

    Attributes:
        row: in the result's table; the index of a trial.
        score: by which it was ranked.
        params: that are shown.
    """

    row: int
    score: float
    params: Mapping[str, Any]


def candidates_of(result: SearchResult, first: int = 0) -> list[Candidate]:
    """The candidates of a search from which a person may choose: the best one, then others by rank.

    Args:
        first: row of the table with which those begin that can be refitted.
    """
    best, table = result.best_index, result.cv_results
    if best is None:
        return []
    scores, ranks = table[f"mean_test_{result.metric}"], table[f"rank_test_{result.metric}"]
    others = [i for i in range(first, len(ranks)) if i != best and math.isfinite(scores[i])]
    rows = [best, *sorted(others, key=lambda i: (int(ranks[i]), i))][:SHOWN]
    return [Candidate(row=i, score=float(scores[i]), params=table["params"][i]) for i in rows]


def trials_of(result: TuneResult) -> list[Candidate]:
    """The trials from which a person may choose: the best one, then others by rank."""
    facts = tune_facts(result)
    if facts.best is None:
        return []
    rows = [facts.best, *(place for place in facts.order[: facts.ranked] if place != facts.best)]
    trials = [facts.trials[place] for place in rows[:SHOWN]]
    return [Candidate(row=t.index, score=t.value, params=t.params) for t in trials]


async def approved(
    result: Told, seconds: int, artifacts: SearchArtifacts, candidates: Sequence[Candidate]
) -> Told:
    """The result with what a person decided about its model; the flow run is paused until then.

    Without candidates nobody is asked.

    Args:
        result: without a model, as the artifacts show it meanwhile.
        seconds: to wait at most.
        artifacts: of the search.
        candidates: to choose from, the best first.

    Raises:
        NotApproved: nobody answered in time.
    """
    if not candidates:
        return result
    shown = result.standings() if isinstance(result, HalvingResult) else result
    await artifacts.publish(shown, figures=True, awaited=True)
    waits = Progress(name=result.name, total=1, done=1, message="waits for approval")
    await artifacts.update(waits)
    begun = time.perf_counter()
    answer = await _answer(_question(result, candidates), len(candidates), seconds)
    chosen = None if answer.decision == END else candidates[answer.candidate - 1]
    approval = Approval(
        row=chosen.row if chosen else None,
        place=answer.candidate if chosen else None,
        params=chosen.params if chosen else None,
        note=answer.note,
        seconds=time.perf_counter() - begun,
    )
    return dataclasses.replace(result, approval=approval)


def _question(result: Found, candidates: Sequence[Candidate]) -> str:
    """What the person reads above the form, as Markdown."""
    best, metric = candidates[0], code(result.metric or "score")
    params = f" with {code(params_text(best.params))}" if best.params else ""
    rows = [
        (str(place), score_text(c.score), code(params_text(c.params), cell=True))
        for place, c in enumerate(candidates, 1)
    ]
    return (
        f"{code(result.name)} found {metric} **{score_text(best.score)}**{params}. Shall this candidate be "
        "fitted on all rows, or another one?\n\n"
        + table(("candidate", metric.replace("|", r"\|"), "parameters"), rows, "rrl")
    )


def _form(question: str, count: int) -> Any:
    """The model of the answer, from which Prefect makes its form."""
    from prefect.input import RunInput

    decisions: Any = Literal["refit", "end without a model"]
    form = create_model(
        "Approval",
        __base__=RunInput,
        decision=(
            decisions,
            Field(REFIT, description="Fit the candidate on all rows, or end the search without a model."),
        ),
        candidate=(
            int,
            Field(1, ge=1, le=count, description="Its number in the table; 1 is the best one found."),
        ),
        note=(
            str,
            Field("", max_length=1000, description="Kept in the report: who decided so, and why."),
        ),
    )
    form._description = question
    return form


async def _answer(question: str, count: int, seconds: int) -> Any:
    """The form that a person filled in, now or for the same question in an earlier attempt of this run."""
    from prefect.flow_runs import apause_flow_run

    context = FlowRunContext.get()
    assert context is not None  # searches run inside of flow runs only
    assert context.flow_run is not None
    form, run = _form(question, count), context.flow_run.id
    about = f"approve-{hashlib.sha256(question.encode()).hexdigest()[:16]}"
    earlier = [given for given in await _given(form, run, f"paused-{about}") if given.decision == REFIT]
    if earlier:
        get_run_logger().info("the best candidate was approved in an earlier attempt of this run")
        return earlier[-1]
    key = f"{about}-{uuid.uuid4().hex[:8]}"  # Prefect fires a pause of one key once
    get_run_logger().info(
        "waits up to %s for a person to approve the best candidate: press Resume on this run's page, or from "
        "Python: prefect.flow_runs.resume_flow_run('%s', run_input={'decision': '%s', 'candidate': 1})",
        seconds_text(seconds),
        run,
        REFIT,
    )
    try:
        async with asyncio.timeout(seconds):
            return await apause_flow_run(
                wait_for_input=form, timeout=seconds + _GRACE, poll_interval=_LOOK_EVERY, key=key
            )
    except TimeoutError as error:
        if late := await _given(form, run, f"paused-{key}"):  # between the last look and now
            return late[-1]
        raise NotApproved(
            f"approve: nobody approved the best candidate within {seconds_text(seconds)}. All scores are in "
            "the store: retry this run or run the search again, which asks again without repeating any "
            "work; or give approve more seconds."
        ) from error


async def _given(form: Any, run: uuid.UUID, prefix: str) -> list[Any]:
    """The forms that were filled in under keys with that prefix, oldest first."""
    async with get_client() as client:
        found: Iterable[Any] = await client.filter_flow_run_input(
            run, key_prefix=prefix, limit=200, exclude_keys=set()
        )
    return [form(**item.decoded_value) for item in found if item.key.endswith("-response")]
