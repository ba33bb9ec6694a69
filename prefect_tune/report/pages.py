"""What each kind of result looks like: its line, its rows, its page. The one place that tells them apart."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, TypeAlias

from prefect_tune.report.markdown import report_markdown
from prefect_tune.report.markup import code
from prefect_tune.report.tables import leaderboard_rows
from prefect_tune.report.text import counted, params_text, score_text, seconds_text
from prefect_tune.report.tune.facts import tune_facts
from prefect_tune.report.tune.page import tune_markdown
from prefect_tune.report.tune.rows import tune_rows
from prefect_tune.report.tune.words import tune_outcome
from prefect_tune.results import SearchResult
from prefect_tune.tuning.result import TuneResult

Found: TypeAlias = SearchResult | TuneResult
"""What a search may leave."""


@singledispatch
def outcome(result: Found) -> str:
    """A result in one line of Markdown, for lists of artifacts."""
    raise TypeError(f"outcome: a search leaves no {type(result).__name__}.")


@singledispatch
def rows(result: Found, limit: int = 50) -> list[dict[str, Any]]:
    """The leaderboard as rows of JSON values, best first."""
    raise TypeError(f"rows: a search leaves no {type(result).__name__}.")


@singledispatch
def page(result: Found, *, figures: bool = True) -> str:
    """The report as Markdown of bounded size.

    Args:
        result: of a search.
        figures: embed the pictures.
    """
    raise TypeError(f"page: a search leaves no {type(result).__name__}.")


rows.register(SearchResult, leaderboard_rows)
page.register(SearchResult, report_markdown)


@outcome.register
def _(result: SearchResult) -> str:
    size = f"{counted(len(result), 'candidate')} in {seconds_text(result.cost.wall_seconds)}"
    if result.best_params is None:
        return size
    params = f" ({code(params_text(result.best_params))})" if result.best_params else ""
    return f"best {score_text(result.best_score)}{params} of {size}"


@outcome.register
def _(result: TuneResult) -> str:
    return tune_outcome(tune_facts(result))


@rows.register
def _(result: TuneResult, limit: int = 50) -> list[dict[str, Any]]:
    return tune_rows(tune_facts(result), limit)


@page.register
def _(result: TuneResult, *, figures: bool = True) -> str:
    return tune_markdown(tune_facts(result), figures=figures)
