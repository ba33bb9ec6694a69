"""What a sampler sees of a trial: its losses, and the resources it will report next.

Rule: reports that were late or ignored are not seen; nothing pending is seen of a trial that does not run.
"""

from __future__ import annotations

import math

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.ledger import Course
from prefect_tune.schedules.asynchronous.levels import Levels
from prefect_tune.trials import TrialState

RUNGS, ALL, RUNGS_AND_LAST = "rungs", "all", "rungs_and_last"


def checked_sight(name: str) -> str:
    """The name of what samplers see, checked."""
    if name not in (RUNGS, ALL, RUNGS_AND_LAST):
        rule = f"must be one of {RUNGS}, {ALL}, {RUNGS_AND_LAST}"
        raise ScheduleError("searcher_data", rule, name, "rungs is the default")
    return name


def seen_losses(course: Course, levels: Levels, searcher_data: str) -> dict[int, float]:
    """Finite losses by resource: of all reports, or those at levels, and maybe the last one.

    At levels: what was recorded there, and what was reported at rungs that the trial's bracket skips.
    """
    finite = {at: loss for at, (loss, _) in course.answers.items() if math.isfinite(loss)}
    if searcher_data == ALL:
        return finite
    places = levels.all
    seen = {places[place]: loss for place, loss in course.records.items()}
    seen |= {at: finite[at] for at in places[: course.place] if at in finite}
    if searcher_data == RUNGS_AND_LAST and course.at in finite and course.at != course.landed:
        seen[course.at] = finite[course.at]
    return dict(sorted(seen.items()))


def seen_pending(course: Course, searcher_data: str) -> tuple[int, ...]:
    """Resources under way: the next level only, or all up to it."""
    if course.state is not TrialState.RUNNING:
        return ()
    if searcher_data == RUNGS:
        return (course.until,)
    return tuple(range(course.at + 1, course.until + 1))
