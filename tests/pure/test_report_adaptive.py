"""The report of adaptive searches: brackets, learning curves, what a resumed run had found."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from prefect_tune.history import RaceHistory, Scored, adaptive_table, history_entries, winning_row
from prefect_tune.races import draw_races
from prefect_tune.report.adaptive import (
    bracket_facts,
    learning_curves,
    resumed_text,
    rungs_text,
    size_text,
    spread_levels,
    work_shares,
)
from prefect_tune.report.curves import curves_figure
from prefect_tune.report.figures import cost_figure, score_figure
from prefect_tune.report.markdown import MAX_BYTES, report_markdown
from prefect_tune.report.tables import leaderboard_rows
from prefect_tune.report.text import counted
from prefect_tune.results import AdaptiveResult, Cost

NAN = float("nan")
NASTY = "a|b `c`\n# e <script>alert(1)</script> [x](y) $z$ \x1b[31mred"
SPACE = {"rate": [0.5**i for i in range(40)], "kind": ["l1", "l2", "elasticnet"]}
RED = (0xD5, 0x5E, 0x00)


def rising(row: int, level: int) -> float:
    """A made-up learning curve; later rows are better."""
    return 0.9 - 0.5 / (level + 1) + 0.0001 * row


def a_search(
    kind: str,
    score=rising,
    *,
    known=lambda row, level: False,
    rounds: int | None = None,
    splits: int = 1,
    metrics: tuple[str, ...] = ("score",),
    cost: Cost | None = None,
    resource: str = "partial_fit",
    **asked,
) -> AdaptiveResult:
    """What a search leaves whose candidates score so; with `rounds`, what it shows after so many."""
    drawn = draw_races(kind, {"parameters": SPACE, "random_state": 0, **asked}, 0)
    histories, elapsed = [], itertools.count()
    for race in drawn.races:
        history, names = RaceHistory(race, []), dict(zip(race.keys, race.rows, strict=True))
        for _ in itertools.count() if rounds is None else range(rounds):
            following = race.schedule.next_round(history.reports(metrics[0]))
            if not following:
                break
            for key, level in following.items():
                row, at = names[key], float(next(elapsed))
                scores = {m: (score(row, level) - i,) * splits for i, m in enumerate(metrics)}
                history.events.append(
                    Scored(row=row, level=level, scores=scores, fit_seconds=0.25, score_seconds=0.0,
                           elapsed=at, known=known(row, level))
                )  # fmt: skip
        histories.append(history)
    table = adaptive_table(histories, drawn.candidates, metrics, metrics[0])
    best = winning_row(histories, metrics[0]) if rounds is None else None
    entries = history_entries(histories, drawn.candidates, metrics[0])
    found = sum(entry["known"] for entry in entries) * splits
    return AdaptiveResult(
        name="demo", cv_results=table, best_index=best, metric=metrics[0], metrics=metrics, n_splits=splits,
        best_params=None if best is None else table["params"][best],
        best_score=None if best is None else float(table[f"mean_test_{metrics[0]}"][best]),
        cost=cost or Cost(unit="training call", calls=42, task_runs=7, seconds_run=2.0, seconds_saved=6.0),
        history=entries, metadata=dict(drawn.metadata), resource=resource,
        rounds_found=found if rounds is None else 0,
        rounds_run=len(entries) * splits - found if rounds is None else 0,
    )  # fmt: skip


def often_failing(row: int, level: int) -> float:
    return NAN if (row * 7 + level) % 5 == 0 else rising(row, level)


def nothing_yet(result: AdaptiveResult) -> AdaptiveResult:
    """The same search before its first score."""
    table = {name: column[:0] for name, column in result.cv_results.items()}
    return dataclasses.replace(result, cv_results=table, history=())


RESULTS = {
    "one candidate": a_search("incremental", n_initial_parameters=1, max_iter=10),
    "one score": a_search("incremental", n_initial_parameters=1, max_iter=1),
    "ten candidates": a_search("successive_halving", n_initial_parameters=10, n_initial_iter=2, max_iter=18),
    "hyperband 27": a_search("hyperband", max_iter=27),
    "six brackets": a_search("hyperband", max_iter=32, aggressiveness=2),
    "some fail": a_search("hyperband", often_failing, max_iter=27),
    "all fail": a_search("hyperband", lambda row, level: NAN, rounds=9, max_iter=9),
    "one diverges": a_search(
        "incremental", lambda row, level: -1e12 if row == 3 and level > 25 else rising(row, level),
        n_initial_parameters=6, max_iter=27,
    ),
    "equal scores": a_search("hyperband", lambda row, level: 1.0, max_iter=9),
    "running": a_search("hyperband", max_iter=27, rounds=2),
    "just begun": nothing_yet(a_search("hyperband", max_iter=27, rounds=1)),
    "three folds": a_search("hyperband", max_iter=9, splits=3, metrics=("auc", "f1")),
    "decay": a_search("inverse_decay", n_initial_parameters=30, max_iter=50),
    "a parameter grows": a_search(
        "successive_halving", n_initial_parameters=9, max_iter=900, resource="clf__n_estimators"
    ),
    "no plan": dataclasses.replace(a_search("hyperband", max_iter=9), metadata={}),
    "odd names": a_search(
        "hyperband", max_iter=9, parameters={NASTY: [f"{NASTY}{i}" for i in range(9)], "calls": [1, 2]}
    ),
}  # fmt: skip
every_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())


def pixels(png: bytes) -> np.ndarray:
    Image.open(io.BytesIO(png)).verify()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return abs(image - np.array(colour)).max(axis=2) < 24


def arrived_in_another_order(result: AdaptiveResult, seed: int) -> AdaptiveResult:
    """The same search with its history mixed; each candidate's own scores stay in order."""
    entries = list(result.history)
    random.Random(seed).shuffle(entries)
    return dataclasses.replace(
        result, history=tuple(sorted(entries, key=lambda entry: entry["partial_fit_calls"]))
    )


# Facts


def test_bracket_facts_of_hyperband_nine():
    """R = 9 and eta = 3, Table 1 of the Hyperband paper scaled down, worked by hand.

    Bracket 2: 9 at 1, 3 at 3, 1 at 9: 9 + 3 * 2 + 6 = 21 calls. Bracket 1: ceil(3 / 2 * 3) = 5 at 3, 1 at 9:
    15 + 6 = 21. Bracket 0: 3 at 9: 27.
    """
    facts = bracket_facts(a_search("hyperband", max_iter=9))
    assert [bracket.name for bracket in facts] == [2, 1, 0]
    assert [rungs_text(bracket.rungs) for bracket in facts] == [
        "9 at 1, 3 at 3, 1 at 9",
        "5 at 3, 1 at 9",
        "3 at 9",
    ]
    assert [bracket.planned for bracket in facts] == [bracket.done for bracket in facts] == [21, 21, 27]
    assert [bracket.scores for bracket in facts] == [13, 6, 3]
    # Later rows are better: row 8 of bracket 2 wins it with 0.9 - 0.5 / 10 + 0.0008.
    assert facts[0].best == pytest.approx(0.8508)
    assert facts[0].rungs[0].median == pytest.approx(0.65 + 0.0004)


def test_bracket_facts_of_a_search_that_runs():
    """Rungs that nobody has come to have a dash; what is done counts what was scored."""
    facts = bracket_facts(a_search("hyperband", max_iter=9, rounds=1))
    assert rungs_text(facts[0].rungs) == "9 at 1, – at 3, – at 9"
    assert [(bracket.planned, bracket.done) for bracket in facts] == [(21, 9), (21, 15), (27, 27)]


def test_bracket_facts_leave_out_what_failed():
    """A failed candidate counts as tried, not as trained; the next rungs do without it."""
    result = a_search("hyperband", lambda row, level: NAN if row == 0 else rising(row, level), max_iter=9)
    first = bracket_facts(result)[0]
    assert first.failed == 1
    assert first.rungs[0].size == 9
    assert (first.planned, first.done) == (21, 20)


def test_folds_multiply_the_work():
    """With three folds each training call and each score happens three times."""
    one, three = (bracket_facts(a_search("hyperband", max_iter=9, splits=n)) for n in (1, 3))
    assert [b.planned * 3 for b in one] == [b.planned for b in three]
    assert [b.scores * 3 for b in one] == [b.scores for b in three]


def test_learning_curves_stop_where_a_candidate_failed():
    """The finite scores make the curve; the failure is known by its units."""
    result = a_search(
        "incremental", lambda row, level: NAN if level == 3 and row == 0 else 0.5, n_initial_parameters=2,
        max_iter=4,
    )  # fmt: skip
    failed, whole = learning_curves(result)
    assert (failed.levels, failed.failed_at) == ((1, 2), 3)
    assert (whole.levels, whole.failed_at, whole.best) == ((1, 2, 3, 4), None, True)


def test_nobody_dropped_shows_scores_on_the_way():
    """An incremental search has one rung, the last; its facts show some of the scores before."""
    (facts,) = bracket_facts(a_search("incremental", n_initial_parameters=4, max_iter=100))
    assert facts.decisions == (100,)
    assert [rung.level for rung in facts.rungs] == [1, 2, 4, 8, 16, 32, 64, 100]


@given(levels=st.sets(st.integers(1, 5000), min_size=1), count=st.integers(2, 9))
def test_spread_levels_are_few_and_end_with_the_last(levels, count):
    """At most so many of the levels, rising, with the last; all of them where they are few."""
    chosen = spread_levels(levels, count)
    assert chosen == sorted(set(chosen) & levels)
    assert len(chosen) <= count
    assert chosen[-1] == max(levels)
    assert len(chosen) == len(levels) or len(levels) > count


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (lambda row, level: False, "22 rounds run, none known before."),
        (lambda row, level: level == 1, "Resumed: 9 of 22 rounds were known, 13 run."),
        (lambda row, level: row == 0, "Resumed: 1 of 22 rounds was known, 21 run."),
        (lambda row, level: True, "Resumed: all 22 rounds were known, none run."),
    ],
)
@pytest.mark.parametrize("rounds", [None, 99])
def test_a_resumed_run_says_how_many_rounds_it_found(share, text, rounds):
    """9 + 3 + 1, 5 + 1 and 3 scores are 22 rounds; a search that still runs counts them from its history."""
    assert resumed_text(a_search("hyperband", known=share, max_iter=9, rounds=rounds)) == text


def test_a_search_that_has_just_begun_says_nothing_of_rounds():
    """Before the first round there is nothing to say."""
    assert resumed_text(RESULTS["just begun"]) == ""


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("hyperband 27", "49 candidates in 4 brackets, up to 27 calls each"),
        ("ten candidates", "10 candidates, up to 18 calls each"),
        ("one score", "1 candidate, up to 1 call each"),
        ("three folds", "17 candidates in 3 brackets, up to 9 calls each, 3 folds"),
        ("a parameter grows", "9 candidates, up to 900 n_estimators each"),
    ],
)
def test_size_text(result, text):
    """Candidates, brackets, the most training and the folds, each only where there are several."""
    assert size_text(RESULTS[result]) == text


@pytest.mark.parametrize(("resource", "text"), [("epochs", "9 epochs"), ("n_samples", "9 rows")])
def test_size_text_names_the_resource(resource, text):
    """Epochs and rows are called so."""
    assert f"up to {text} each" in size_text(a_search("hyperband", max_iter=9, resource=resource))


def test_counted_keeps_the_names_of_parameters():
    """Nouns get a plural, parameters do not."""
    assert [counted(n, "call") for n in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
    assert [counted(2, name) for name in ("n_estimators", "max_depth")] == ["2 n_estimators", "2 max_depth"]


def test_work_shares():
    """Of 69 calls 42 ran, the others were known; what failed was not run. Other units: rounds."""
    assert work_shares(a_search("hyperband", max_iter=9)) == ("training call", 27, 42, 0)
    # Candidate 0 was to have one call.
    result = a_search("hyperband", lambda row, level: NAN if row == 0 else rising(row, level), max_iter=9)
    assert work_shares(result) == ("training call", 26, 42, 1)
    rows = a_search("hyperband", known=lambda row, level: level == 1, max_iter=9, resource="n_samples")
    assert work_shares(rows) == ("round", 9, 13, 0)


# Pictures


def test_curves_figure_of_500_candidates_is_bounded():
    """The densest picture: 500 candidates that are all scored 60 times."""
    chance = np.random.default_rng(0).normal(0, 0.02, size=(500, 60))
    one = a_search("incremental", n_initial_parameters=1, max_iter=1)
    history = [
        one.history[0] | {"model_id": row, "partial_fit_calls": level, "score": rising(row, level) + noise}
        for (row, i), noise in np.ndenumerate(chance)
        for level in [i + 1]
    ]
    table = dict(one.cv_results) | {"model_id": np.arange(500, dtype=object)}
    result = dataclasses.replace(one, cv_results=table, history=tuple(history), metadata={})
    assert len(learning_curves(result)) == 500
    assert len(curves_figure(result)) <= 150_000


def test_curves_figure_marks_failures():
    """Each failure is a dark cross: more of them, more dark pixels inside the panel."""

    def dark(failing: int) -> int:
        result = a_search(
            "incremental",
            lambda row, level: NAN if row < failing and level > 2 else row / 10,
            n_initial_parameters=5,
            max_iter=9,
        )
        inside = pixels(curves_figure(result))[60:-80, 110:-20]  # without title and tick labels
        return int(near(inside, (0x22, 0x22, 0x22)).sum())

    assert dark(0) == 0
    assert 0 < dark(1) < dark(3)


@pytest.mark.parametrize("seed", range(2))
def test_figure_and_page_do_not_depend_on_who_reported_first(seed):
    """Brackets that report in another order leave the same bytes."""
    result = a_search("hyperband", often_failing, max_iter=27)
    other = arrived_in_another_order(result, seed)
    assert other.history != result.history
    assert curves_figure(other) == curves_figure(result)
    assert report_markdown(other, figures=False) == report_markdown(result, figures=False)


def test_curves_figure_ignores_the_users_settings():
    """A dark style and an automatic layout in the user's session change no byte."""
    import matplotlib
    import matplotlib.style

    result = RESULTS["some fail"]
    expected = curves_figure(result)
    chosen = dict(matplotlib.style.library["dark_background"]) | {
        "figure.constrained_layout.use": True, "lines.linestyle": "--", "lines.marker": "o", "font.size": 20,
    }  # fmt: skip
    with matplotlib.rc_context(chosen):
        assert curves_figure(result) == expected


def falling(row: int, level: int) -> float:
    """Every candidate is worse the longer it is trained, so whoever is dropped at once ranks first."""
    return 0.9 - 0.1 * level + 0.001 * row


def test_score_figure_stars_the_best_where_it_is_not_the_first():
    """Three candidates, of which the one that goes on ends with the worst score: the star is on the right."""
    result = a_search("successive_halving", falling, n_initial_parameters=3, n_initial_iter=1, max_iter=3)
    assert result.cv_results["rank_test_score"][result.best_index] == 3
    upper = pixels(score_figure(result))[:300]
    assert np.flatnonzero(near(upper, RED).any(axis=0)).mean() > 800


def test_cost_figure_draws_training_to_scale():
    """69 calls = 27 known + 42 run, and 6 s saved of 8 s: the bars' areas say so."""
    image = pixels(cost_figure(a_search("hyperband", max_iter=9)))
    green, orange = (near(image, c).sum() for c in ((0, 0x9E, 0x73), (0xE6, 0x9F, 0)))
    assert green / (green + orange) == pytest.approx((27 / 69 + 6 / 8) / 2, abs=0.01)


# Rows


@every_result
def test_leaderboard_rows_are_strict_json(result):
    """Every cell is valid in strict JSON and all rows have the same columns, folds or none."""
    rows = leaderboard_rows(result)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert len({tuple(row) for row in rows}) <= 1
    assert all(("std" in row) == (result.n_splits > 1) for row in rows)


def test_leaderboard_rows_show_units_and_bracket():
    """How far a candidate came and in which bracket stand before its parameters."""
    row = leaderboard_rows(RESULTS["hyperband 27"])[0]
    assert list(row) == ["rank", "score", "calls", "bracket", "fit_seconds", "rate", "kind"]
    assert (row["calls"], row["bracket"]) == (27, 0)  # later rows are better, and bracket 0 has the last
    assert "bracket" not in leaderboard_rows(RESULTS["ten candidates"])[0]
    assert list(leaderboard_rows(RESULTS["three folds"])[0])[:5] == ["rank", "auc", "std", "f1", "calls"]
    assert "n_estimators" in leaderboard_rows(RESULTS["a parameter grows"])[0]


def test_leaderboard_rows_rename_a_parameter_called_like_a_column():
    """A parameter `calls` does not overwrite the calls."""
    row = leaderboard_rows(RESULTS["odd names"])[0]
    assert row["calls"] == 9
    assert row["param_calls"] in (1, 2)


# The page


def parse(text: str):
    return MarkdownIt("commonmark").enable("table").parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """All tables as rows of cells, as the parser sees them."""
    found: list[list[list[str]]] = []
    for token, following in itertools.pairwise(parse(text)):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(child.content for child in following.children))
    return found


def headings(text: str) -> list[str]:
    pairs = itertools.pairwise(parse(text))
    return ["".join(c.content for c in b.children) for a, b in pairs if a.type == "heading_open"]


def images(text: str) -> list[str]:
    inline = [child for token in parse(text) for child in token.children or ()]
    return [token.attrs["src"] for token in inline if token.type == "image"]


@every_result
def test_report_renders_as_tables_and_pictures(result):
    """A parser finds small PNGs on white, well-formed tables, and nothing of users' text as markup.

    The best candidate is a vermilion star in the learning curves; where none is chosen there is none.
    """
    text = report_markdown(result)
    drawn = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in images(text)]
    assert len(drawn) == (3 if result.history else 2)
    for png in drawn:
        assert len(png) <= 150_000
        image = pixels(png)
        assert image.shape[1] == 1094  # 7.6 inches at 144 dots
        assert (image[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    if result.history:
        assert (near(pixels(drawn[0]), RED).sum() > 40) == (result.best_index is not None)
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
    assert not {"html_block", "html_inline"} & {t.type for t in parse(text)}
    assert len(text.encode()) <= MAX_BYTES


def test_curves_figure_says_that_there_is_nothing_to_draw():
    """Before the first score the picture is a sentence."""
    assert pixels(curves_figure(RESULTS["just begun"])).shape[0] < 200


def test_report_of_hyperband_in_full():
    """Summary, brackets, curves, leaderboard, reuse and cost, in this order, with these numbers."""
    result = a_search("hyperband", known=lambda row, level: level == 1, max_iter=9)
    text = report_markdown(result, figures=False)
    assert headings(text) == [
        "demo", "Brackets", "Learning curves", "Leaderboard", "Reuse", "Cost", "How it was made",
    ]  # fmt: skip
    assert "**Best of 17 candidates in 3 brackets, up to 9 calls each**, test `score` **0.8516**" in text
    assert "Resumed: 9 of 22 rounds were known, 13 run." in text
    _, brackets, rungs, leaderboard, reuse, _ = tables(text)
    assert brackets == [
        ["bracket", "candidates", "rungs (at calls)", "calls", "scores", "known", "best"],
        ["2", "9", "9 at 1, 3 at 3, 1 at 9", "21 of 21", "13", "9", "0.8508"],
        ["1", "5", "5 at 3, 1 at 9", "21 of 21", "6", "0", "0.8513"],
        ["0", "3", "3 at 9", "27 of 27", "3", "0", "0.8516"],
    ]
    # 0.9 - 0.5 / 2 and 0.0001 for each row before; bracket 2 has rows 0 to 8.
    assert rungs[:2] == [
        ["bracket", "calls", "candidates", "median", "best"],
        ["2", "1", "9", "0.6504", "0.6508"],
    ]
    assert leaderboard[0][:5] == ["rank", "score", "calls", "bracket", "fit (s)"]
    assert dict(reuse[1:]) == {
        "rounds known from the store": "9",
        "rounds run": "13",
        "training calls planned": "69",
        "training calls known from the store": "27",
        "training calls run": "42",
        "failed scores": "0",
        "task runs": "7",
    }


def test_report_without_brackets_does_not_speak_of_them():
    """One race has no bracket column and no number of brackets."""
    text = report_markdown(RESULTS["ten candidates"], figures=False)
    assert "**Best of 10 candidates, up to 18 calls each**" in text
    assert "racket" not in text
    assert "Training" in headings(text)


def test_report_of_a_search_that_runs():
    """Without a best candidate yet, brackets, curves in numbers and the leaderboard are there."""
    text = report_markdown(RESULTS["running"], figures=False)
    assert "No best candidate yet (49 candidates in 4 brackets, up to 27 calls each)." in text
    assert "64 rounds run, none known before." in text  # 27 + 9, 12 + 4, 6 + 2 and 4
    assert ["27 at 1, 9 at 3, – at 9, – at 27"] in [row[2:3] for row in tables(text)[0]]
    assert {"Brackets", "Learning curves", "Leaderboard"} <= set(headings(text))


def test_report_says_why_the_best_is_not_the_first():
    """A best candidate that is not rank 1 is explained below the leaderboard, and only then."""
    falls = a_search("successive_halving", falling, n_initial_parameters=3, n_initial_iter=1, max_iter=3)
    assert "the best has rank 3" in report_markdown(falls, figures=False)
    assert "the best has rank" not in report_markdown(RESULTS["hyperband 27"], figures=False)


def test_report_shows_standard_deviations_only_over_folds():
    """One split has no spread, and its score is no mean."""
    three = report_markdown(RESULTS["three folds"], figures=False)
    one = report_markdown(RESULTS["hyperband 27"], figures=False)
    assert "mean test `auc`" in three
    assert "mean test" not in one
    assert [next(t for t in tables(p) if t[0][0] == "rank")[0][2] for p in (three, one)] == ["std", "calls"]


def test_report_survives_curves_that_cannot_be_drawn(monkeypatch, caplog):
    """A failing picture is left out and logged; its numbers are still there."""
    from prefect_tune.report import markdown as page_module

    def broken(result):
        raise RuntimeError("no font")

    monkeypatch.setattr(page_module, "curves_figure", broken)
    text = report_markdown(RESULTS["hyperband 27"])
    assert len(images(text)) == 2
    assert "Learning curves" in headings(text)
    assert "no font" in caplog.text


def test_report_of_a_large_search_is_bounded():
    """Ten brackets of a thousand candidates fit, the lists cut."""
    parameters = {NASTY * 9: list(range(600)), "b": ["v" * 100_000]}
    result = a_search("hyperband", max_iter=512, aggressiveness=2, parameters=parameters)
    text = report_markdown(result)
    assert len(images(text)) == 3
    assert len(text.encode()) <= MAX_BYTES
    assert "and 15 rungs more." in text  # 10 + 9 + … + 1 = 55, of which 40 are shown
