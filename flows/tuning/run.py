"""A search over an objective from its question to its result: the order of events, on one screen."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from typing import Any

from prefect_tune.errors import UserError
from prefect_tune.flows.approval import approved, trials_of
from prefect_tune.flows.artifacts import SearchArtifacts
from prefect_tune.flows.display import TerminalDisplay
from prefect_tune.flows.noted import noted
from prefect_tune.flows.outage import Outage
from prefect_tune.flows.run import note_known, write_report
from prefect_tune.flows.tuning.diary import Diary
from prefect_tune.flows.tuning.end import result_of
from prefect_tune.flows.tuning.loop import Loop
from prefect_tune.flows.tuning.refit import refit_best
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.flows.tuning.spread import Spread
from prefect_tune.flows.tuning.story import Story
from prefect_tune.flows.tuning.watch import Watcher
from prefect_tune.tasks.cluster import ClusterLease
from prefect_tune.tasks.objective.folds import FoldObjective
from prefect_tune.tasks.objective.protocol import ObjectiveFile
from prefect_tune.tasks.published import write_published
from prefect_tune.tasks.runner import TuneTaskRunner
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.tuner import Tuner


async def run_tune(search: TuneSearch, lease: ClusterLease) -> TuneResult:
    """The result of `search`, run on the leased cluster inside the current flow run.

    Raises:
        ApiUnreachable: the API went away and did not come back; what was decided is in the journal.
    """
    async with Outage(search.store.root).watched():
        return await _run(search, lease)


async def _run(search: TuneSearch, lease: ClusterLease) -> TuneResult:
    settings, store, run_id = search.settings, search.store, uuid.uuid4().hex
    display, artifacts = TerminalDisplay(search.verbose), SearchArtifacts()
    await artifacts.start(search.name, lease, *_words(search))
    diary = await asyncio.to_thread(
        Diary.open, store, settings.key(), settings.space, fresh=not search.resume
    )
    watcher: Watcher | None = None
    try:
        file = await asyncio.to_thread(_publish, search, run_id)
        tuner = Tuner(dataclasses.replace(settings, max_concurrent=search.max_concurrent or lease.n_slots))
        diary.base = await asyncio.to_thread(lambda: tuner.replay(diary.events()))
        with TuneTaskRunner(address=lease.address, client_kwargs=lease.client_kwargs) as runner:
            _check_offers(search, runner)
            watcher = Watcher(search, display, artifacts, runner, file)
            if tuner.trials:
                await note_known(len(tuner.trials), len(tuner.trials), "trials")
            spread = Spread(search, file, runner, lease.n_slots)
            loop, story = Loop(search, tuner, file, runner, diary, watcher, spread), Story(search, tuner)
            async with noted(story.book, store, search.scope):
                await loop.run()
                result = result_of(search, loop)
                if search.approve:
                    result = await approved(result, search.approve, artifacts, trials_of(result))
                # The report is drawn here while a worker fits the best configuration on all rows.
                page, result = await asyncio.gather(
                    artifacts.finish(result), refit_best(search, result, runner, run_id)
                )
                story.result = result
        result = await asyncio.to_thread(write_report, result, page, store)
        await watcher.finish(result)
        display.close(result if search.verbose > 1 else None)
        return result
    except BaseException as error:
        if watcher is not None:
            watcher.interrupted(error)
        raise
    finally:
        display.close(None)
        diary.close()
        await asyncio.to_thread(store.drop_scratch, run_id)


def _words(search: TuneSearch) -> list[str]:
    """Names of its sampler and its schedule, as tags; a schedule that stops nobody is not worth one."""
    sampler, schedule = search.settings.sampler.identity(), search.settings.schedule.identity()
    names = [str(sampler.get("sampler", "")), str(schedule.get("schedule", ""))]
    return [name for name in names if name not in ("", "fifo")]


def _check_offers(search: TuneSearch, runner: TuneTaskRunner) -> None:
    """Nothing; some worker offers what a trial needs, or workers are still to come.

    Raises:
        UserError: none does, so that every trial would wait for ever.
    """
    workers = runner.client.scheduler_info(n_workers=-1)["workers"].values()
    wanted = search.resources
    if not wanted or not workers:
        return
    if not any(all(w["resources"].get(n, 0) >= amount for n, amount in wanted.items()) for w in workers):
        offered = sorted({name for worker in workers for name in worker["resources"]})
        raise UserError(
            f"trial_resources: no worker offers {dict(wanted)}; those of this cluster offer "
            f"{', '.join(offered) or 'none'}. Local workers get them by worker_resources=, others by "
            "`dask worker --resources`."
        )


def _publish(search: TuneSearch, run_id: str) -> ObjectiveFile:
    """Where workers find the objective."""
    store: Any = search.store
    folder = store.scratch(run_id)
    if isinstance(search.objective.function, FoldObjective):
        search.objective.function.folder = str(folder)
    digest = write_published(search.objective, path := folder / "objective.pickle", store)
    return ObjectiveFile(
        path=str(path), digest=digest, store=store, scope=search.scope, stop=str(folder / "stop")
    )
