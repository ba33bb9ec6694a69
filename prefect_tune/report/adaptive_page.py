"""What the page of an adaptive search has besides: brackets, learning curves, reuse counted in training."""

from __future__ import annotations

from prefect_tune.report.adaptive import (
    BracketFacts,
    best_note,
    bracket_facts,
    has_brackets,
    resumed_text,
    reuse_rows,
    rungs_text,
    size_text,
    units,
)
from prefect_tune.report.markup import code, table
from prefect_tune.report.text import counted, score_text
from prefect_tune.results import AdaptiveResult

__all__ = ["notes", "resumed_text", "reuse", "sections", "size_text"]

_BRACKETS, _RUNGS = 20, 40
_CAPTION = (
    "One line for each candidate, thick if it was trained to the end of its bracket. Vertical lines are "
    "rungs, where candidates are compared; a cross is a failure."
)


def sections(result: AdaptiveResult, figure: bool) -> list[str]:
    """The sections on brackets and learning curves.

    Args:
        figure: whether the page has the picture `curves`.
    """
    facts = bracket_facts(result)
    return [_brackets(result, facts), _curves(result, facts, figure)]


def notes(result: AdaptiveResult) -> list[str]:
    """What is to be said below the leaderboard."""
    note = best_note(result)
    return [note] if note else []


def reuse(result: AdaptiveResult, figure: bool) -> str:
    """The section on what was known and what was run."""
    rows = [(name, f"{n:,}") for name, n in reuse_rows(result)]
    parts = ["## Reuse", table(("work", "number"), rows, "lr")]
    parts.append("_A round is the training of one candidate up to its next score._")
    return "\n\n".join([*parts, *(["![Training and seconds, spared and spent][cost]"] if figure else [])])


def _brackets(result: AdaptiveResult, facts: list[BracketFacts]) -> str:
    unit, several = units(result), has_brackets(result)
    header = [
        "candidates",
        f"rungs (at {unit})",
        unit,
        "scores",
        "known",
        "best",
    ]
    rows = [
        [
            f"{bracket.candidates:,}",
            rungs_text(bracket.rungs),
            f"{bracket.done:,} of {bracket.planned:,}",
            f"{bracket.scores:,}",
            f"{bracket.found:,}",
            score_text(bracket.best),
        ]
        for bracket in facts[:_BRACKETS]
    ]
    if several:
        header = ["bracket", *header]
        rows = [[_name(b), *row] for b, row in zip(facts, rows, strict=False)]
    align = ("l" if several else "") + "rl" + "r" * 4
    parts = ["## Brackets" if several else "## Training", table(header, rows, align)]
    if len(facts) > len(rows):
        parts.append(f"and {counted(len(facts) - len(rows), 'bracket')} more.")
    return "\n\n".join(parts)


def _curves(result: AdaptiveResult, facts: list[BracketFacts], figure: bool) -> str:
    """The picture, and the same in numbers: how the candidates of each rung scored."""
    several = has_brackets(result)
    reached = [(bracket, rung) for bracket in facts for rung in bracket.rungs if rung.size]
    if not reached:
        return ""
    rows = [
        [
            *([_name(bracket)] if several else []),
            f"{rung.level:,}",
            f"{rung.size:,}",
            score_text(rung.median),
            score_text(rung.best),
        ]
        for bracket, rung in reached[:_RUNGS]
    ]
    header = [*(["bracket"] if several else []), units(result), "candidates", "median", "best"]
    parts = ["## Learning curves"]
    parts += [f"![Learning curves][curves]\n\n{_CAPTION}"] if figure else []
    parts.append(table(header, rows, ("l" if several else "") + "rrrr"))
    if len(reached) > len(rows):
        parts.append(f"and {counted(len(reached) - len(rows), 'rung')} more.")
    return "\n\n".join(parts)


def _name(bracket: BracketFacts) -> str:
    return str(bracket.name) if isinstance(bracket.name, int) else code(str(bracket.name), cell=True)
