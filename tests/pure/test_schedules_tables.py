"""The plans of all schedules, against tables worked out beforehand and against dask-ml where it is right."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest

from prefect_tune.schedules import (
    Bracket,
    Incremental,
    InverseDecay,
    ceil_div,
    halving_iterations,
    hyperband,
    hyperband_metadata,
    ilog,
    keep_ceiling,
    keep_count,
    min_resources_exhaust,
    n_candidates_exhaust,
    plan_bracket,
    rhe,
    smallest_resources,
)

# max_resource, eta, models, calls, scores, brackets as name:(candidates, first resource, calls)
HYPERBAND = """
1    3  1    1     1    0:(1,1,1)
9    2  22   102   35   3:(8,1,20) 2:(6,2,22) 1:(4,4,24) 0:(4,9,36)
9    3  17   69    22   2:(9,1,21) 1:(5,3,21) 0:(3,9,27)
15   3  17   101   22   2:(9,1,21) 1:(5,5,35) 0:(3,15,45)
16   2  43   278   72   4:(16,1,48) 3:(10,2,46) 2:(7,4,48) 1:(5,8,56) 0:(5,16,80)
16   4  25   124   31   2:(16,1,40) 1:(6,4,36) 0:(3,16,48)
20   3  17   144   22   2:(9,2,42) 1:(5,6,42) 0:(3,20,60)
27   3  49   357   69   3:(27,1,81) 2:(12,3,78) 1:(6,9,90) 0:(4,27,108)
30   3  49   379   69   3:(27,1,81) 2:(12,3,78) 1:(6,10,100) 0:(4,30,120)
30   4  25   193   31   2:(16,1,40) 1:(6,7,63) 0:(3,30,90)
50   3  49   571   69   3:(27,1,81) 2:(12,5,130) 1:(6,16,160) 0:(4,50,200)
81   3  143  1581  206  4:(81,1,297) 3:(34,3,276) 2:(15,9,279) 1:(8,27,324) 0:(5,81,405)
81   4  98   1057  127  3:(64,1,208) 2:(22,5,245) 1:(8,20,280) 0:(4,81,324)
94   3  143  1725  206  4:(81,1,297) 3:(34,3,276) 2:(15,10,310) 1:(8,31,372) 0:(5,94,470)
94   4  98   1151  127  3:(64,1,208) 2:(22,5,245) 1:(8,23,322) 0:(4,94,376)
100  3  143  1810  206  4:(81,1,297) 3:(34,3,276) 2:(15,11,341) 1:(8,33,396) 0:(5,100,500)
100  4  98   1252  127  3:(64,1,208) 2:(22,6,294) 1:(8,25,350) 0:(4,100,400)
125  5  173  1765  213  3:(125,1,425) 2:(34,5,390) 1:(10,25,450) 0:(4,125,500)
200  3  143  3712  206  4:(81,2,594) 3:(34,7,644) 2:(15,22,682) 1:(8,66,792) 0:(5,200,1000)
256  4  378  5232  498  4:(256,1,1024) 3:(80,4,992) 2:(27,16,912) 1:(10,64,1024) 0:(5,256,1280)
299  4  378  5721  498  4:(256,1,1024) 3:(80,4,992) 2:(27,18,1026) 1:(10,74,1184) 0:(5,299,1495)
300  4  378  5742  498  4:(256,1,1024) 3:(80,4,992) 2:(27,18,1026) 1:(10,75,1200) 0:(5,300,1500)
243  3  415  6831  611  5:(243,1,1053) 4:(98,3,990) 3:(41,9,981) 2:(18,27,1134) 1:(9,81,1215) 0:(6,243,1458)
729  3  1214 27120 1806 6:(729,1,3645) 5:(284,3,3486) 4:(114,9,3492) 3:(48,27,3456) 2:(21,81,3807) \
1:(11,243,4131) 0:(7,729,5103)
1000 10 1158 14910 1285 3:(1000,1,3700) 2:(134,10,3410) 1:(20,100,3800) 0:(4,1000,4000)
"""


def hyperband_rows() -> list[tuple]:
    """The rows of the table above, as numbers."""
    rows = []
    for line in HYPERBAND.strip().replace("\\\n", "").splitlines():
        *numbers, cells = line.split(maxsplit=5)
        brackets = [tuple(map(int, re.findall(r"\d+", cell))) for cell in cells.split()]
        rows.append((*map(int, numbers), brackets))
    return rows


def rungs(bracket: Bracket) -> list[tuple[int, int]]:
    """A bracket as pairs (candidates, resource)."""
    return list(zip(bracket.sizes, bracket.resources, strict=True))


@pytest.mark.parametrize(("cap", "eta", "models", "calls", "scores", "brackets"), hyperband_rows())
def test_hyperband_has_the_brackets_of_the_table(cap, eta, models, calls, scores, brackets):
    """Candidates, first resource and calls of every bracket, and the sums over them."""
    planned = hyperband(cap, eta=eta)
    assert [(b.name, b.size, b.resources[0], b.calls) for b in planned] == brackets
    assert sum(b.size for b in planned) == models
    assert sum(b.calls for b in planned) == calls
    assert sum(b.scores for b in planned) == scores


def test_hyperband_rungs_of_the_textbook_case():
    """The rungs of 81 calls and factor 3, bracket by bracket."""
    assert [rungs(bracket) for bracket in hyperband(81)] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_hyperband_decisions_of_the_documented_search():
    """94 calls with factor 4 are compared at these calls; metadata lists the passive bracket first."""
    metadata = hyperband_metadata(hyperband(94, eta=4))
    assert metadata == {
        "n_models": 98,
        "partial_fit_calls": 1151,
        "brackets": [
            {"bracket": 0, "n_models": 4, "partial_fit_calls": 376, "decisions": [94]},
            {"bracket": 1, "n_models": 8, "partial_fit_calls": 322, "decisions": [23, 92]},
            {"bracket": 2, "n_models": 22, "partial_fit_calls": 245, "decisions": [5, 20, 80]},
            {"bracket": 3, "n_models": 64, "partial_fit_calls": 208, "decisions": [1, 4, 16, 64]},
        ],
    }


def test_hyperband_takes_a_decimal_factor_exactly():
    """3.5 is 7/2, and sizes are floors of n / η^i, not floors of floors."""
    planned = hyperband(253, eta=3.5)
    assert planned == hyperband(253, eta=Fraction(7, 2))
    assert sum(b.size for b in planned) == 240
    assert sum(b.calls for b in planned) == 4534
    assert sum(b.scores for b in planned) == 328


def test_hyperband_never_overshoots_where_dask_ml_does():
    """dask-ml runs 110 and 7323 calls here, and trains models to 16 and 729."""
    for cap, eta, calls in ((9, 2, 102), (244, 3, 6837)):
        planned = hyperband(cap, eta=eta)
        assert sum(b.calls for b in planned) == calls
        assert max(b.resources[-1] for b in planned) == cap


def test_hyperband_from_an_explicit_list():
    """The five brackets of a published scaling experiment; each is halved alone, under the cap."""
    planned = hyperband(243, brackets=[(5, 243), (81, 3), (34, 9), (15, 27), (8, 81)])
    assert [(b.name, b.size, b.resources[0], b.calls) for b in planned] == [
        (4, 81, 3, 891),
        (3, 34, 9, 828),
        (2, 15, 27, 837),
        (1, 8, 81, 972),
        (0, 5, 243, 1215),
    ]
    assert sum(b.calls for b in planned) == 4743
    assert sum(b.scores for b in planned) == 206
    assert rungs(hyperband(20, brackets=[(10, 9)])[0]) == [(10, 9), (3, 20)]


@pytest.mark.parametrize(
    ("option", "sizes", "counts"),
    [
        (
            "jmlr",
            [(81, 27, 9, 3, 1), (34, 11, 3, 1), (15, 5, 1), (8, 2), (5,)],
            [(17, 69), (49, 357), (143, 1581)],
        ),
        (
            "jmlr-table",
            [(81, 27, 9, 3, 1), (27, 9, 3, 1), (9, 3, 1), (6, 2), (5,)],
            [(15, 63), (46, 342), (128, 1404)],
        ),
        (
            "upward",
            [(81, 27, 9, 3, 1), (34, 12, 4, 2), (15, 5, 2), (8, 3), (5,)],
            [(17, 75), (49, 375), (143, 1767)],
        ),
    ],
)
def test_bracket_sizes_of_the_literature(option, sizes, counts):
    """Sizes at 81 calls and factor 3; candidates and calls at 9, 27 and 81."""
    assert [b.sizes for b in hyperband(81, bracket_sizes=option)] == sizes
    planned = [hyperband(cap, bracket_sizes=option) for cap in (9, 27, 81)]
    assert [(sum(b.size for b in p), sum(b.calls for b in p)) for p in planned] == counts


def test_upward_counts_its_rungs_from_the_lowest():
    """Rungs 2, 6, 18, … below 200, then 200 itself; each further bracket skips one."""
    planned = hyperband(200, bracket_sizes="upward", min_resource=2)
    assert rungs(planned[0]) == [(243, 2), (81, 6), (27, 18), (9, 54), (3, 162), (1, 200)]
    assert [b.resources for b in planned[3:]] == [(54, 162, 200), (162, 200), (200,)]
    assert [b.name for b in planned] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("eta", [2.1, 2.5, 3.3, "7/3", 4.9, 6.6])
def test_every_variant_is_a_bracket_for_every_decimal_factor(eta):
    """Resources rise strictly up to the cap and sizes fall, whatever rounds where."""
    eta = Fraction(eta) if isinstance(eta, str) else eta
    for cap in range(1, 120):
        for option in ("jmlr", "jmlr-table", "upward"):
            for bracket in hyperband(cap, eta=eta, bracket_sizes=option):  # Bracket checks its own shape
                assert bracket.resources[-1] <= cap
                assert sum(bracket.sizes) == bracket.scores


@pytest.mark.parametrize(
    ("size", "first", "eta", "calls", "last"),
    [
        (9, 2, 3, 42, 18),
        (9, 3, 3, 63, 27),
        (22, 2, 3, 96, 18),
        (22, 3, 3, 144, 27),
        (10, 5, 3, 110, 45),
        (10, 9, 3, 198, 81),
        (20, 4, 3, 176, 36),
        (10, 10, 2, 230, 80),
        (2, 4, 3, 8, 4),
        (1, 5, 3, 5, 5),
    ],
)
def test_plan_bracket_without_a_cap(size, first, eta, calls, last):
    """Halving alone ends with one candidate, or before there would be none."""
    bracket = plan_bracket(size, min_resource=first, eta=eta)
    assert (bracket.calls, bracket.resources[-1]) == (calls, last)


def test_plan_bracket_clips_at_the_cap():
    """The first rung at the cap is the last, with as many candidates as are left."""
    bracket = plan_bracket(10, min_resource=9, max_resource=20)
    assert (rungs(bracket), bracket.calls) == ([(10, 9), (3, 20)], 123)
    bracket = plan_bracket(100, min_resource=1, max_resource=50)
    assert rungs(bracket) == [(100, 1), (33, 3), (11, 9), (3, 27), (1, 50)]
    assert bracket.calls == 309


def test_plan_bracket_finds_its_first_rung():
    """⌊max / η^ilog(n)⌋, at least 1: 81 // 27 for 30 candidates, 1 for 1000 of them."""
    assert plan_bracket(30, max_resource=81).resources == (3, 9, 27, 81)
    assert plan_bracket(1000, max_resource=81).resources == (1, 3, 9, 27, 81)


def test_refit_calls_count_every_rung_from_nothing():
    """9·1 + 3·3 + 1·9, against 9·1 + 3·2 + 1·6 for training that goes on."""
    bracket = plan_bracket(9, min_resource=1)
    assert (bracket.refit_calls, bracket.calls) == (27, 21)


@pytest.mark.parametrize(
    ("initial", "decay", "calls", "last"),
    [
        (10, 1, 12, 2),
        (20, 1, 34, 5),
        (50, 1, 120, 15),
        (100, 1, 301, 32),
        (10, 0.5, 34, 10),
        (20, 0.5, 164, 43),
        (100, 0.5, 1631, 100),
        (100, 2, 112, 4),
        (20, 2, 20, 1),
        (5, 1, 5, 1),
    ],
)
def test_inverse_decay_has_the_calls_of_the_table(initial, decay, calls, last):
    """Calls of all candidates, and of the longest trained."""
    bracket = InverseDecay(initial, decay, max_resource=100).bracket
    assert (bracket.calls, bracket.resources[-1]) == (calls, last)
    assert InverseDecay(initial, float(decay), max_resource=100).bracket == bracket


def decayed(initial: int, decay: float, cap: int) -> list[tuple[int, int]]:
    """Rungs of an inverse decay, searched one time step after the other."""

    def count(time: int) -> int:
        if decay == int(decay):
            return initial // (1 + time) ** int(decay)
        return math.floor(initial / (1 + time) ** decay + 1e-12)

    found, calls = [(initial, 1)], 1
    while calls < cap and count(calls + 1) > 0:
        time = calls + 2
        while count(time) == count(calls + 1):
            time += 1
        kept = max(1, count(time))
        if kept == 1:
            break
        calls = min(cap, time - 1)
        found.append((kept, calls))
    return found


@pytest.mark.parametrize("decay", [0.3, 0.5, 0.9, 1, 1.5, 2, 7])
def test_inverse_decay_equals_a_search_step_by_step(decay):
    """Bisection, and the shortcut beyond the cap, change nothing."""
    for initial in (1, 2, 3, 10, 37, 120):
        for cap in (1, 2, 3, 7, 50):
            assert rungs(InverseDecay(initial, decay, cap).bracket) == decayed(initial, decay, cap)


def test_inverse_decay_survives_extreme_rates():
    """Nobody falls within the cap at a tiny rate; everybody at once at a huge one."""
    assert rungs(InverseDecay(1000, 1e-9, 50).bracket) == [(1000, 1), (998, 50)]
    assert rungs(InverseDecay(1000, 1e300, 50).bracket) == [(1000, 1)]


@pytest.mark.parametrize(("per_score", "scores"), [(1, 1000), (7, 150), (100, 10), (1000, 10)])
def test_incremental_scores_on_the_way_and_never_overshoots(per_score, scores):
    """10 candidates × 100 calls: dask-ml makes 1060 calls at 7 per score."""
    plan = Incremental(100, fits_per_score=per_score).plan(10)
    assert (plan.partial_fit_calls, plan.scores, plan.decisions) == (1000, scores, (100,))


@pytest.mark.parametrize(
    ("size", "first", "most", "factor", "iterations"),
    [
        (60, 20, 1000, 3, [(60, 20), (20, 60), (7, 180), (3, 540)]),
        (60, 37, 1000, 3, [(60, 37), (20, 111), (7, 333), (3, 999)]),
        (60, 20, 200, 3, [(60, 20), (20, 60), (7, 180)]),
        (6, 20, 1000, 2, [(6, 20), (3, 40), (2, 80)]),
        (6, 250, 1000, 2, [(6, 250), (3, 500), (2, 1000)]),
        (50, 10, 1000, 2, [(50, 10), (25, 20), (13, 40), (7, 80), (4, 160), (2, 320)]),
        (100, 40, 1000, 2, [(100, 40), (50, 80), (25, 160), (13, 320), (7, 640)]),
        (1, 5, 5, 3, [(1, 5)]),
    ],
)
def test_halving_iterations_of_the_table(size, first, most, factor, iterations):
    """Candidates round up, resources double, the last iteration is the last the resources pay for."""
    planned = halving_iterations(size, first, most, factor)
    assert [(rung.size, rung.resource) for rung in planned] == iterations


def test_halving_iterations_aggressive():
    """The first resource is repeated until one iteration of `factor` remains at the end."""
    planned = halving_iterations(60, 20, 200, 3, aggressive=True)
    assert [(rung.size, rung.resource) for rung in planned] == [(60, 20), (20, 20), (7, 60), (3, 180)]
    assert keep_ceiling(planned[-1].size, 3) == 1
    assert halving_iterations(60, 20, 1000, 3, aggressive=True) == halving_iterations(60, 20, 1000, 3)


def test_halving_iterations_are_not_lost_to_a_float_logarithm():
    """243 = 3⁵ and 1000 = 10³ give six and four iterations; log(243, 3) is 4.99…"""
    assert len(halving_iterations(243, 1, 243, 3)) == 6
    assert len(halving_iterations(1000, 1, 1000, 10)) == 4
    assert len(halving_iterations(5000, 1, 243, 3)) == 6


@pytest.mark.parametrize(
    ("size", "smallest", "most", "factor", "first"),
    [(60, 20, 1000, 3, 37), (6, 20, 1000, 2, 250), (100, 40, 1000, 2, 40), (1, 1, 10, 3, 10)],
)
def test_min_resources_exhaust(size, smallest, most, factor, first):
    """Begin with the most that still reaches the last iteration, never below the smallest."""
    assert min_resources_exhaust(size, smallest, most, factor) == first


def test_smallest_resources_and_exhausted_candidates():
    """Two samples per fold and class; as many candidates as the data pays for."""
    assert smallest_resources("n_samples", n_splits=5) == 10
    assert smallest_resources("n_samples", n_splits=5, n_classes=3) == 30
    assert smallest_resources("n_estimators", n_splits=5, n_classes=3) == 1
    assert n_candidates_exhaust(20, 1999) == 99


def test_halving_iterations_equal_scikit_learn_s():
    """Side by side with the library's own search, where its logarithm is right."""
    from sklearn.dummy import DummyClassifier
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    y = [0, 1] * 50
    grid = {"random_state": list(range(20))}
    for min_resources, aggressive in (("exhaust", False), ("smallest", False), (30, True)):
        search = HalvingGridSearchCV(
            DummyClassifier(),
            grid,
            cv=2,
            factor=2,
            min_resources=min_resources,
            aggressive_elimination=aggressive,
        ).fit([[0]] * 100, y)
        first = search.min_resources_
        if min_resources == "exhaust":
            assert (
                min_resources_exhaust(20, smallest_resources("n_samples", n_splits=2, n_classes=2), 100, 2)
                == first
            )
        planned = halving_iterations(20, first, 100, 2, aggressive)
        assert [rung.size for rung in planned] == search.n_candidates_
        assert [rung.resource for rung in planned] == search.n_resources_


def test_exact_arithmetic_at_the_edges():
    """Powers are exact, halves go to the even number, counts are floors or ceilings by name."""
    assert [ilog(3**k, 3) for k in range(40)] == list(range(40))
    assert [ilog(3**k - 1, 3) for k in range(1, 40)] == list(range(39))
    assert ilog(253, Fraction(7, 2)) == 4  # 3.5⁴ = 150.06, 3.5⁵ = 525.2
    assert [rhe(Fraction(k, 2)) for k in (1, 3, 5, 7)] == [0, 2, 2, 4]
    assert [keep_count(34, 3, level) for level in range(5)] == [34, 11, 3, 1, 0]
    assert (keep_ceiling(34, 3), ceil_div(Fraction(7, 2), 2)) == (12, 2)


def dask_ml_cases() -> list[tuple[int, int]]:
    """A spread of settings for which dask-ml's float formulas are known to be right."""
    wrong = {3: {243, 729}, 7: {49, 98, 147, 196, 294}, 9: {729}, 10: {1000}}
    caps = {*range(1, 30), *range(30, 1001, 53), 81, 94, 125, 256, 299, 512, 625, 1000}
    return [
        (cap, eta)
        for eta in (2, 3, 4, 5, 6, 7, 8, 9, 10)
        for cap in sorted(caps)
        if cap not in wrong.get(eta, ()) and not (eta == 7 and cap >= 343)
    ]


def test_hyperband_equals_dask_ml_where_that_is_right():
    """Candidates and calls of each bracket, and each bracket's first rung."""
    name = "dask_ml.model_selection._hyperband"
    peer = pytest.importorskip(
        name, reason="dask-ml is not installed, or not importable", exc_type=ImportError
    )
    for cap, eta in dask_ml_cases():
        planned = hyperband_metadata(hyperband(cap, eta=eta))
        theirs = sorted(peer._hyperband_paper_alg(cap, eta=eta), key=lambda bracket: bracket["bracket"])
        assert [(b["bracket"], b["n_models"], b["partial_fit_calls"]) for b in planned["brackets"]] == [
            (b["bracket"], b["n_models"], b["partial_fit_calls"]) for b in theirs
        ], (cap, eta)
        firsts = {b.name: (b.size, b.resources[0]) for b in hyperband(cap, eta=eta)}
        assert firsts == peer._get_hyperband_params(cap, eta=eta), (cap, eta)
