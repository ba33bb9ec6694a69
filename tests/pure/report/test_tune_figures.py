"""The pictures of a search over an objective: what is drawn for which trial, and that nothing stops them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prefect_tune.errors import UserError
from prefect_tune.report.canvas import png
from prefect_tune.report.tune import plot_curves, plot_history, plot_importances, plot_parallel, plot_slices
from prefect_tune.report.tune.facts import tune_facts

sys.path.append(str(Path(__file__).parent))
from made_results import RESULTS, a_result, a_trial, astray, halved

PLOTS = (plot_history, plot_curves, plot_slices, plot_parallel, plot_importances)
BUSY = {"halved": halved(60), "astray": halved(60, change=astray), "running": halved(40, running=True)}
every_busy_result = pytest.mark.parametrize("result", BUSY.values(), ids=BUSY.keys())


def texts(figure) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def marks(axes) -> int:
    """Dots, carets, crosses and stars."""
    from matplotlib.collections import PathCollection

    return sum(len(found.get_offsets()) for found in axes.collections if isinstance(found, PathCollection))


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())
def test_every_plot_of_every_result_is_a_small_png_on_white(result):
    """Whatever the trials are, each function gives a figure, and it becomes a PNG of at most 150 kB."""
    for plot in PLOTS:
        image = png(plot(result))
        assert len(image) <= 150_000
        pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        assert pixels.shape[1] == 1094  # 7.6 inches at 144 dots
        assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()


def test_plots_of_500_trials_are_bounded():
    """The densest pictures are no larger."""
    result = halved(500, mode="max")
    assert all(len(png(plot(result))) <= 150_000 for plot in (plot_curves, plot_parallel))


@every_busy_result
def test_history_draws_every_trial_once(result):
    """A mark for each trial with a value and each failed one, inside the picture, and a star for the best."""
    facts = tune_facts(result)
    (axes,) = plot_history(result).axes
    assert marks(axes) == sum(trial.scored or trial.failed for trial in facts.trials) + 1
    low, high = axes.get_ylim()
    for found in axes.collections:
        y = np.asarray(found.get_offsets())[:, 1]
        assert ((low <= y) & (y <= high)).all()


@every_busy_result
def test_slices_draw_every_trial_that_has_the_parameter(result):
    """In each panel as many marks as trials with a value or a failure, and the star where the best has it."""
    facts = tune_facts(result)
    for name in ("lr", "net/kind", "net/width"):
        (axes,) = plot_slices(result, [name]).axes
        has = [t for t in facts.trials if name in t.params]
        star = int(facts.trials[facts.best].index in {trial.index for trial in has})
        assert marks(axes) == sum(trial.scored or trial.failed for trial in has) + star


@every_busy_result
def test_parallel_draws_every_trial(result):
    """A line for each trial, whether it has a value or not."""
    (axes,) = plot_parallel(result).axes
    drawn = [c for c in axes.collections if type(c).__name__ == "LineCollection" and len(c.get_segments())]
    assert sum(len(c.get_segments()) for c in drawn if len(c.get_segments()[0]) > 2) == len(result.trials)


@every_busy_result
def test_curves_draw_every_trial_with_a_value(result):
    """A curve for each, the best apart from the others; above each rung the number that came so far."""
    facts = tune_facts(result)
    figure = plot_curves(result)
    (axes,) = figure.axes
    ends = [c for c in axes.collections if type(c).__name__ == "LineCollection" and c.get_zorder() >= 2]
    assert sum(len(c.get_segments()) for c in ends) == sum(trial.scored for trial in facts.trials) - 1
    assert len(axes.lines) == 1
    first = sum(trial.scored for trial in facts.trials)
    assert f"{first:,} curves" in " ".join(texts(figure))


def test_history_says_what_it_cannot_show():
    """Values far astray are marked at the edge and counted; so are failures."""
    said = " ".join(texts(plot_history(BUSY["astray"])))
    assert "beyond the picture" in said
    assert "5 failed" in said


def test_the_line_of_the_best_follows_the_mode():
    """Downwards for min, upwards for max: the best value so far, at each trial."""
    trials = [a_trial(i, {"x": i}, [loss]) for i, loss in enumerate([3.0, 5.0, 2.0, 4.0])]
    for mode, best in (("min", [3, 3, 2, 2, 2]), ("max", [3, 5, 5, 5, 5])):
        (axes,) = plot_history(a_result(trials, mode=mode)).axes
        assert axes.lines[0].get_ydata().tolist() == best


def test_wide_positive_values_are_drawn_by_their_logarithm():
    """Losses from 1e-8 to 1 have marks at powers of ten."""
    trials = [a_trial(i, {"x": i}, [10.0**-i]) for i in range(9)]
    (axes,) = plot_history(a_result(trials)).axes
    assert "1e-08" in [label.get_text() for label in axes.get_yticklabels()]


def test_a_dollar_sign_is_no_formula(tmp_path):
    """Names and categories are drawn as written, also where the user saves the figure."""
    trials = [a_trial(i, {"$x_{": f"$\\frac{i}"}, [1.0 * i]) for i in range(3)]
    for plot in (plot_slices, plot_parallel):
        plot(a_result(trials)).savefig(tmp_path / "figure.png")


def test_unknown_parameters_are_named():
    """A parameter that no trial has is an error that names those there are."""
    with pytest.raises(UserError, match=r"'net/with'.*Did you mean 'net/width'.*dropout"):
        plot_slices(BUSY["halved"], ["net/with"])


def test_notebooks_show_figures():
    """A figure has the PNG that a notebook shows, without pyplot."""
    assert plot_history(BUSY["halved"])._repr_png_().startswith(b"\x89PNG")


def test_plots_ignore_the_users_settings():
    """A dark style and an automatic layout in the user's session change no byte."""
    import matplotlib
    import matplotlib.style

    result = halved(20)
    plots = (plot_history, plot_slices, plot_parallel)
    expected = [png(plot(result)) for plot in plots]
    chosen = dict(matplotlib.style.library["dark_background"]) | {"figure.constrained_layout.use": True}
    with matplotlib.rc_context(chosen):
        assert [png(plot(result)) for plot in plots] == expected


def test_plots_load_nothing_before_they_draw():
    """Importing the report loads no engine, scikit-learn, pandas or matplotlib; drawing, no pyplot."""
    script = (
        "import sys; import prefect_tune.report.pages\n"
        "from prefect_tune.report.tune import plot_history\n"
        "print(*sorted(sys.modules))\n"
        "from prefect_tune.tuning.result import TuneResult\n"
        "plot_history(TuneResult(())); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert not {"prefect", "dask", "distributed", "sklearn", "pandas", "matplotlib"} & set(first.split())
    assert second == "False"
