"""The report: rows, pictures and the Markdown page, read back with parsers that are not ours."""

from __future__ import annotations

import base64
import io
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from scipy.stats import rankdata

from prefect_tune.report import markdown as page_module
from prefect_tune.report.figures import cost_figure, data_uri, score_figure
from prefect_tune.report.markdown import MAX_BYTES, code, fenced, report_markdown
from prefect_tune.report.parameters import MISSING, importance, important_parameters
from prefect_tune.report.progress import Progress
from prefect_tune.report.tables import leaderboard_rows
from prefect_tune.report.text import bytes_text, failure_groups, progress_text, seconds_text, value_text
from prefect_tune.results import Cost, Failure, SearchResult

COST = Cost(
    uses=300, distinct=210, known=90, run=120, task_runs=14, seconds_run=42.0, seconds_saved=126.0,
    wall_seconds=12.0, bytes_written=12_400_000,
)  # fmt: skip
NASTY = "a|b `c` ``d``\n# e <script>alert(1)</script> [x](y) $z$ \\| \x1b[31mred"


def a_result(params, scores, *, metrics=("score",), std=0.01, **fields) -> SearchResult:
    """A result whose first metric has these mean scores; each further metric is lower by one."""
    scores = np.asarray(scores, dtype=float)
    table = {"params": list(params), "mean_fit_time": np.full(len(scores), 0.25)}
    for i, metric in enumerate(metrics):
        order = np.where(np.isnan(scores), -np.inf, scores)
        table[f"mean_test_{metric}"] = scores - i
        table[f"std_test_{metric}"] = np.where(np.isnan(scores), np.nan, std)
        table[f"rank_test_{metric}"] = rankdata(-order, method="min").astype(np.int32)
    best = int(np.argmin(table[f"rank_test_{metrics[0]}"]))
    defaults = {
        "name": "demo",
        "best_index": best,
        "best_params": table["params"][best],
        "best_score": float(scores[best]),
        "cost": COST,
    }
    return SearchResult(
        cv_results=table, metric=metrics[0], metrics=tuple(metrics), n_splits=5, **(defaults | fields)
    )


def many(n: int) -> SearchResult:
    chance = np.random.default_rng(0)
    params = [
        {
            "rate": float(10 ** chance.uniform(-5, 0)),
            "depth": int(chance.integers(2, 14)),
            "kind": str(chance.choice(["gbtree", "dart", "a booster with a long name"])),
            "flag": bool(chance.integers(2)),
            "share": np.float64(chance.uniform()),
        }
        for _ in range(n)
    ]
    return a_result(params, [p["depth"] / 20 - abs(np.log10(p["rate"]) + 2) / 10 for p in params])


def with_nan(result: SearchResult) -> SearchResult:
    scores = result.cv_results["mean_test_score"].copy()
    scores[::3] = np.nan
    return a_result(result.cv_results["params"], scores)


RESULTS = {
    "one candidate": a_result([{}], [0.9]),
    "two candidates": a_result([{"C": 1}, {"C": 10}], [0.9, 0.8]),
    "twenty candidates": many(20),
    "a thousand candidates": many(1000),
    "some nan": with_nan(many(50)),
    "all failed": a_result([{"C": 1}, {"C": 2}], [np.nan, np.nan]),
    "one diverged": a_result([{"C": c} for c in range(1, 9)], [*np.linspace(0.5, 0.9, 7), -1e12]),
    "infinite": a_result([{"C": 1.0}, {"C": np.inf}, {"C": -np.inf}], [0.5, np.inf, -np.inf]),
    "equal scores": a_result([{"C": c} for c in (0, 1e-4, 1e-2, 10)], [1.0] * 4, std=0.0),
    "several metrics": a_result([{"C": c} for c in (1, 2, 3)], [0.1, 0.2, 0.3], metrics=("auc", "f1")),
    "conditional grid": a_result([{"k": "rbf", "g": 0.1}, {"k": "linear"}, {"k": None}], [0.1, 0.2, 0.3]),
    "many categories": a_result([{NASTY: f"${{{i}"} for i in range(30)], np.arange(30.0) * 1e6),
}  # fmt: skip
every_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())


def pixels(png: bytes) -> np.ndarray:
    Image.open(io.BytesIO(png)).verify()
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((abs(image - np.array(colour)).max(axis=2) < 24).sum())


# Pictures


@every_result
def test_figures_are_small_png_on_white(result):
    """Whatever the scores are, both pictures are valid PNGs of at most 150 kB on white ground."""
    for png in (score_figure(result), cost_figure(result)):
        assert len(png) <= 150_000
        image = pixels(png)
        assert image.shape[1] == 1094  # 7.6 inches at 144 dots
        assert (image[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()


@every_result
def test_score_figure_marks_the_best_unless_all_failed(result):
    """The best candidate is a vermilion star; where nothing has a score there is none."""
    scores = result.cv_results[f"mean_test_{result.metric}"]
    assert (near(pixels(score_figure(result)), (0xD5, 0x5E, 0x00)) > 40) == bool(np.isfinite(scores).any())


def test_cost_figure_draws_shares_to_scale():
    """300 uses = 90 shared + 90 known + 120 run, and 126 s saved of 168 s: the bars' areas say so."""
    image = pixels(cost_figure(a_result([{}], [1.0])))
    sky, green, orange = (near(image, c) for c in ((0x56, 0xB4, 0xE9), (0, 0x9E, 0x73), (0xE6, 0x9F, 0)))
    # Two bars of the same size, and squares in the legend: one of sky, two of the others.
    assert sky / (sky + green + orange) == pytest.approx(0.30 / 2, abs=0.01)
    assert green / (sky + green + orange) == pytest.approx((0.30 + 0.75) / 2, abs=0.01)


@pytest.mark.parametrize("setting", ["dark", "tex", "layout"])
def test_figures_ignore_the_users_settings(setting):
    """A dark style, TeX or an automatic layout in the user's session changes no byte."""
    import matplotlib
    import matplotlib.style

    chosen = {
        "dark": dict(matplotlib.style.library["dark_background"]),
        "tex": {"text.usetex": True, "savefig.dpi": 20, "savefig.transparent": True},
        "layout": {"figure.constrained_layout.use": True, "axes.grid": True, "figure.dpi": 30},
    }[setting]
    expected = score_figure(many(20)), cost_figure(many(20))
    with matplotlib.rc_context(chosen):
        assert (score_figure(many(20)), cost_figure(many(20))) == expected


def test_figures_leave_matplotlibs_global_state_alone():
    """Drawing neither imports pyplot nor changes a setting."""
    script = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from prefect_tune.report.figures import cost_figure\n"
        "from prefect_tune.results import SearchResult\n"
        "cost_figure(SearchResult(name='', cv_results={}, best_index=None, best_params=None, best_score=None,"
        " metric='score', metrics=('score',), n_splits=1))\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_report_modules_import_nothing_heavy():
    """Importing the report loads no engine, no scikit-learn, no pandas and no matplotlib."""
    script = "import sys, prefect_tune.report.markdown; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"prefect", "dask", "distributed", "sklearn", "pandas", "matplotlib"}
    assert not heavy & set(done.stdout.split())


def test_data_uri_names_the_kind():
    """PNG and SVG are told apart, and the bytes come back."""
    assert data_uri(b"\x89PNG\r\n") == "data:image/png;base64,iVBORw0K"
    assert data_uri(b"<svg/>").startswith("data:image/svg+xml;base64,")


# What matters


def test_importance_of_a_worked_example():
    """Ranks 1 2 | 3 4: between 4, within 1, total 5, so (4 - 1 * 1/2) / 5 = 0.7."""
    assert importance(["a", "a", "b", "b"], np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx(0.7)


def test_importance_does_not_reward_many_values():
    """A value of its own for every candidate explains nothing; nor does one value for all."""
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert importance(["a", "b", "c", "d"], scores) == 0
    assert importance(["a"] * 4, scores) == 0


def test_importance_depends_on_ranks_only():
    """One diverged candidate weighs no more than the worst."""
    values = ["a", "a", "b", "b", MISSING]
    tame, wild = np.array([1.0, 2, 3, 4, 9]), np.array([-1e300, 2, 3, 4, np.nan])
    assert importance(values, tame) == importance(values, wild)


def test_important_parameters_come_first():
    """Depth and rate make the score, so they precede the rest; rate is cut into bins."""
    names = [name for name, _, share in important_parameters(many(1000)) if share > 0.05]
    assert sorted(names) == ["depth", "rate"]


# Rows


@every_result
def test_leaderboard_rows_are_strict_json(result):
    """Every cell is valid in strict JSON and all rows have the same columns."""
    rows = leaderboard_rows(result)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert len({tuple(row) for row in rows}) == 1
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    assert len(rows) == min(50, len(result))


def test_leaderboard_rows_worked_example():
    """Not a number is the text nan, infinity is inf, a missing value is empty, a huge integer is text."""
    params = [{"C": np.float64(0.1), "w": None, "n": 2**60}, {"C": np.inf, "w": True, "n": 1}, {"C": 1}]
    huge = "1152921504606846976"
    rows = leaderboard_rows(a_result(params, [0.123456789, np.nan, 0.5]))
    assert rows == [
        {"rank": 1, "score": 0.5, "std": 0.01, "fit_seconds": 0.25, "C": 1, "w": "", "n": ""},
        {"rank": 2, "score": 0.123457, "std": 0.01, "fit_seconds": 0.25, "C": 0.1, "w": "None", "n": huge},
        {"rank": 3, "score": "nan", "std": "nan", "fit_seconds": 0.25, "C": "inf", "w": True, "n": 1},
    ]  # fmt: skip


def test_leaderboard_rows_rename_a_parameter_called_like_a_column():
    """A parameter `rank` does not overwrite the rank."""
    rows = leaderboard_rows(a_result([{"rank": 7}, {"rank": 8}], [0.1, 0.2]), limit=1)
    assert rows[0]["rank"] == 1
    assert rows[0]["param_rank"] == 8


def test_leaderboard_rows_show_all_metrics():
    """Further metrics stand beside the one that ranks."""
    row = leaderboard_rows(RESULTS["several metrics"])[0]
    assert (row["auc"], row["f1"]) == (0.3, -0.7)


# The page


def parse(text: str):
    return MarkdownIt("commonmark").enable("table").parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """All tables as rows of cells, as the parser sees them."""
    found: list[list[list[str]]] = []
    tokens = parse(text)
    for token, following in itertools.pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(child.content for child in following.children))
    return found


def headings(text: str) -> list[str]:
    tokens = parse(text)
    pairs = itertools.pairwise(tokens)
    return ["".join(c.content for c in b.children) for a, b in pairs if a.type == "heading_open"]


def images(text: str) -> list[str]:
    inline = [child for token in parse(text) for child in token.children or ()]
    return [token.attrs["src"] for token in inline if token.type == "image"]


@every_result
def test_report_renders_as_tables_and_pictures(result):
    """A Markdown parser finds two PNGs, and in each table as many cells in every row."""
    text = report_markdown(result)
    sources = images(text)
    assert len(sources) == 2
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        pixels(base64.b64decode(data))
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
    assert len(text.encode()) <= MAX_BYTES


def test_report_shows_best_leaderboard_reuse_and_cost():
    """The numbers of the result stand in the tables, under the headings, in this order."""
    text = report_markdown(many(20), figures=False)
    assert headings(text) == ["demo", "Leaderboard", "Reuse", "Cost", "How it was made"]
    best, leaderboard, reuse, cost = tables(text)
    assert [row[0] for row in best] == ["parameter", "rate", "depth", "kind", "flag", "share"]
    assert len(leaderboard) == 11
    assert leaderboard[0][:4] == ["rank", "score", "std", "fit (s)"]
    assert [row[1] for row in reuse[1:]] == ["300", "90", "210", "90", "120", "0", "14"]
    assert [row[1] for row in cost[1:]] == ["12.0 s", "42.0 s", "2 min 06 s", "12.4 MB"]
    assert not images(text)


def test_report_says_that_all_failed():
    """Without any score no candidate is called the best."""
    text = report_markdown(RESULTS["all failed"], figures=False)
    assert "No candidate has a score" in text
    assert "Best of" not in text


def test_report_groups_failures_by_cause():
    """Causes that differ in numbers are one group; the most frequent comes first, with one traceback."""
    failures = [failure(i, f"ValueError: C must be > 0, got -{i}", f"line {i}") for i in range(3)]
    failures.insert(0, failure(9, "MemoryError: ", "boom"))
    result = a_result([{}], [1.0], failures=tuple(failures))
    assert [len(group.failures) for group in failure_groups(result)] == [3, 1]
    text = report_markdown(result, figures=False)
    blocks = [token.content for token in parse(text) if token.type == "fence"]
    assert blocks == ["line 0\n", "boom\n"]
    assert "4 scores failed." in text
    assert "3 scores of candidates 0, 1, 2. First: candidate 0, fold 1" in text


def failure(candidate: int, cause: str, tail: str) -> Failure:
    return Failure(candidate=candidate, params="C=1", fold=1, cause=cause, tail=tail)


def test_report_lists_what_is_not_cacheable():
    """Place and reason stand in a table; the list is cut at twenty and says so."""
    found = tuple((f"params['f{i}']", "a lambda") for i in range(25))
    text = report_markdown(a_result([{}], [1.0], uncacheable=found), figures=False)
    listed = next(table for table in tables(text) if table[0] == ["where", "why"])
    assert listed[1] == ["params['f0']", "a lambda"]
    assert len(listed) == 21
    assert "and 5 more." in text


def test_report_keeps_user_text_from_being_markup():
    """Bars, backticks, line breaks and HTML of users make no cell, no heading and no element."""
    result = a_result(
        [{NASTY: NASTY}, {NASTY: "x"}], [1.0, 0.5], name=NASTY, uncacheable=((NASTY, NASTY),),
        failures=(failure(0, NASTY, f"```\n{NASTY}\n````\n# f"),),
    )  # fmt: skip
    text = report_markdown(result, figures=False)
    # Name, leaderboard, reuse, cost, failures, one cause, not cacheable, how it was made.
    assert len(headings(text)) == 8
    inline = [child.type for token in parse(text) for child in token.children or ()]
    assert not {"html_inline", "link_open"} & set(inline)
    assert not [token for token in parse(text) if token.type == "html_block"]
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
    assert "\x1b" not in text


def test_report_is_bounded():
    """However much users put in, the page stays below its limit and says what it left out."""
    long = {f"parameter_{i:03}" * 40: "v" * 100_000 for i in range(200)}
    failures = tuple(failure(i, f"{chr(97 + i % 26)}Error: {'é' * 5000}", "ü" * 50_000) for i in range(500))
    found = tuple(("w" * 5000, "y" * 5000) for _ in range(1000))
    result = a_result([long, {}], [1.0, 0.5], failures=failures, uncacheable=found, name="n" * 10_000)
    text = report_markdown(result)
    assert len(text.encode()) <= MAX_BYTES
    assert "and 150 parameters more." in text
    assert "and 16 more causes with" in text
    assert len([token for token in parse(text) if token.type == "fence"]) == 10


def test_report_survives_a_picture_that_cannot_be_drawn(monkeypatch, caplog):
    """A failing picture is left out and logged; the rest of the page is there."""

    def broken(result):
        raise RuntimeError("no font")

    monkeypatch.setattr(page_module, "score_figure", broken)
    text = report_markdown(many(3))
    assert len(images(text)) == 1
    assert "Leaderboard" in headings(text)
    assert "no font" in caplog.text


@given(text=st.text())
@settings(deadline=None)
def test_code_spans_hold_any_text(text):
    """Any text is one code span in one cell, with its visible characters in order."""
    source = f"| h | i |\n| - | - |\n| {code(text, cell=True)} | x |\n"
    cells = [token for token in parse(source) if token.type == "inline"]
    assert [cell.content for cell in (cells[0], cells[1], cells[3])] == ["h", "i", "x"]
    assert [child.type for child in cells[2].children] == ["code_inline"]
    if "\\" not in text and text.isprintable() and len(text) <= 200:
        assert cells[2].children[0].content.split() == text.split()


@given(text=st.text(alphabet=st.sampled_from("`~ab \n\t#>-")) | st.text())
@settings(deadline=None)
def test_fenced_blocks_hold_any_text(text):
    """Nothing in a traceback closes its block."""
    assert [token.type for token in parse(f"before\n\n{fenced(text)}\n\nafter")] == [
        "paragraph_open", "inline", "paragraph_close", "fence", "paragraph_open", "inline", "paragraph_close",
    ]  # fmt: skip


# Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.254, "0.25 s"), (12.34, "12.3 s"), (59.97, "1 min 00 s"), (192, "3 min 12 s"),
     (7500.0, "2 h 05 min"), (7, "7 s")],
)  # fmt: skip
def test_seconds_text(seconds, text):
    """Durations in the unit that reads best."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_400_000, "12.4 MB")]
)
def test_bytes_text(size, text):
    """Sizes in decimal units."""
    assert bytes_text(size) == text


def test_value_text_of_odd_values():
    """NumPy scalars read like plain ones; a failing repr and a line break do no harm."""

    class Broken:
        def __repr__(self):
            raise ValueError

    assert value_text(np.float64(0.1)) == "0.1"
    assert value_text(np.bool_(True)) == "True"
    assert value_text("a\n b") == "a b"
    assert value_text(Broken()) == "<Broken>"
    assert len(value_text("x" * 10_000)) == 60


def test_progress_text_names_what_is_known():
    """Steps, known ones, the best and what is waited for, in one line."""
    progress = Progress(
        name="demo",
        total=200,
        known=40,
        done=50,
        failed=2,
        best_score=0.9731,
        best_params="C=1",
        message="last 3",
    )
    assert progress_text(progress) == "90 of 200 steps · 40 known · best 0.9731 (C=1) · 2 failed · last 3"
