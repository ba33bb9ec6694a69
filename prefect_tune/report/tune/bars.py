"""The picture of how much each parameter explains."""

from __future__ import annotations

from typing import Any

from prefect_tune.report.canvas import BLUE, INK, WIDTH, drawable, style
from prefect_tune.report.text import counted
from prefect_tune.report.tune.facts import TuneFacts
from prefect_tune.report.tune.importances import ENOUGH, Importances
from prefect_tune.report.tune.paper import finished, headline, panel, picture, words, x_label

_BARS = 12


def importance_figure(facts: TuneFacts, found: Importances) -> Any:
    """A bar for each parameter, as long as the share of the differences in rank that it explains.

    Where too little is known to say so, the figure says why.
    """
    if not found.known:
        return words(why_unknown(facts, found))
    shares = list(found.shares.items())[:_BARS]
    height, left = 0.21 * len(shares), min(2.4, 0.35 + 0.075 * max(min(30, len(name)) for name, _ in shares))
    figure = picture(height + 1.0)
    axes = panel(figure, left, 0.42, WIDTH - left - 0.45, height)
    places = range(0, -len(shares), -1)  # from the top
    axes.barh(places, [share for _, share in shares], color=BLUE, height=0.62, zorder=3)
    for place, (_, share) in zip(places, shares, strict=True):
        axes.annotate(
            f"{share:.0%}", (share, place), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=7.5, color=INK,
        )  # fmt: skip
    axes.set_xlim(0, max(0.2, *(share for _, share in shares)) * 1.05)
    axes.set_ylim(0.5 - len(shares), 0.5)
    style(axes)
    names = [drawable(name, 200) for name, _ in shares]
    axes.set_yticks(places, [name if len(name) <= 30 else "…" + name[-29:] for name in names])
    axes.set_xticks(ticks := [tick for tick in axes.get_xticks() if tick <= axes.get_xlim()[1]])
    axes.set_xticklabels([f"{tick:.0%}" for tick in ticks])
    axes.grid(False, axis="y")
    x_label(axes, "share that goes with the parameter, alone and with others")
    hidden = len(found.shares) - len(shares)
    grown = f"a random forest on {counted(found.trials, 'trial')}"
    learned = f"{grown} predicts {found.predicted:.0%} of the differences in rank"
    headline(figure, [learned, f"{counted(hidden, 'parameter')} not shown" if hidden else ""])
    return finished(figure)


def why_unknown(facts: TuneFacts, found: Importances) -> str:
    """One sentence: why nothing is said of importances."""
    if not facts.varied:
        return "No parameter varies."
    if found.trials < ENOUGH:
        return f"Importances need {ENOUGH} trials with a value; there are {found.trials}."
    share = max(0.0, found.predicted)
    return (
        f"Importances are not known: parameters predict only {share:.0%} of the differences between "
        f"{counted(found.trials, 'trial')}."
    )
