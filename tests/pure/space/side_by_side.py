"""Draws of another library beside ours: same types, same values, same probabilities."""

from __future__ import annotations

from collections import Counter
from typing import Any

from scipy.stats import chisquare, ks_2samp

UNLIKELY = 1e-4
"""A p-value below it is a difference; seeds are fixed, so a test passes always or never."""
POINTS = 10_000


def ours(domain: Any) -> list[Any]:
    """Values of a domain at evenly spaced u."""
    return [domain.value((index + 0.5) / POINTS) for index in range(POINTS)]


def agree(domain: Any, theirs: list[Any], *, near: bool = False) -> None:
    """Nothing, if their draws look like draws of our domain.

    Discrete values are compared one by one (with `near`, up to rounding in the last places), others by their
    distribution function.
    """
    mine = ours(domain)
    assert {type(value) for value in mine} == {type(value) for value in theirs}
    if near:
        mine, theirs = ([float(f"{value:.9g}") for value in values] for values in (mine, theirs))
    if len(set(theirs)) < len(theirs) / 4:
        shares, counts = Counter(mine), Counter(theirs)
        assert all(value in shares or domain.contains(value) for value in counts)
        expected = {value: count / POINTS * len(theirs) for value, count in shares.items()}
        assert not {value for value, count in expected.items() if count > 20} - set(counts)
        # The test wants five expected draws of each value: rare ones count together.
        often = [value for value, count in expected.items() if count >= 5]
        rest = sum(expected.values()) - sum(expected[value] for value in often)
        observed = [counts[value] for value in often]
        wanted = [expected[value] for value in often]
        if rest > 1e-9:
            observed, wanted = [*observed, len(theirs) - sum(observed)], [*wanted, rest]
        if len(observed) > 1:
            assert chisquare(observed, wanted).pvalue > UNLIKELY
    else:
        assert min(mine) <= min(theirs) or domain.contains(min(theirs))
        assert all(map(domain.contains, theirs))
        assert ks_2samp(mine, theirs).pvalue > UNLIKELY
