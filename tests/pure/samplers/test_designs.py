"""Grids and quasi-random designs (algorithm reference 5.6)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from prefect_tune.errors import SpaceError, UserError
from prefect_tune.samplers.contract import NoSuggestion
from prefect_tune.samplers.grid import Grid
from prefect_tune.samplers.qmc import Halton, LatinHypercube, Sobol
from prefect_tune.space import SearchSpace, choice, grid, loguniform, randint, uniform
from prefect_tune.trials import generator

MIXED = SearchSpace(
    {
        "z": uniform(0, 1),
        "a": choice([{"kind": "one", "w": uniform(0, 1)}, {"kind": "two"}]),
        "m": uniform(0, 1),
    }
)


@pytest.mark.parametrize(("sampler", "engine"), [(Sobol(), qmc.Sobol), (Halton(), qmc.Halton)])
def test_point_i_is_the_sequences_own(question, ended, sampler, engine):
    """Equal to one sequential draw, coordinates by sorted path, inactive leaves taking theirs as well."""
    rows = engine(4, scramble=True, rng=generator(3, "qmc")).random(8)
    paths = ["a", "a/0/w", "m", "z"]
    for index in (0, 1, 5, 7):  # asked in any order
        expected = MIXED.from_units(dict(zip(paths, rows[index], strict=True)))
        assert sampler.suggest(question(MIXED, [], index, seed=3)) == expected


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_sobol_is_balanced_at_powers_of_two(search, count):
    """Each of n equal slices of each leaf is met once."""
    space = SearchSpace({"x": uniform(0, 1), "y": uniform(0, 1), "z": uniform(0, 1)})
    records = search(Sobol(), space, lambda config: 0.0, count)
    for name in "xyz":
        assert sorted(int(item.config[name] * count) for item in records) == list(range(count))


def test_designs_map_u_by_the_leafs_own_rule(question):
    """A log-uniform leaf at u is low·(high/low)^u."""
    u = qmc.Sobol(1, scramble=True, rng=generator(0, "qmc")).random(1)[0, 0]
    value = Sobol().suggest(question(SearchSpace({"lr": loguniform(1e-4, 1)})))["lr"]
    assert value == pytest.approx(1e-4 ** (1 - u))


@pytest.mark.parametrize("sampler", [Sobol(), Halton(), LatinHypercube(8)])
def test_points_to_evaluate_take_no_point_of_the_design(question, sampler):
    """With two points before it, trial 2 has the design's point 0."""
    first = sampler.suggest(question(MIXED, [], 0))
    assert sampler.suggest(question(MIXED, [], 2, points=2)) == first
    assert sampler.suggest(question(MIXED, [], 2)) != first


@pytest.mark.parametrize("count", [1, 5, 12])
def test_latin_hypercube_meets_every_slice_once_and_ends(question, search, count):
    """n points, one in each of n slices of each leaf; then exhausted."""
    space = SearchSpace({"x": uniform(0, 1), "y": uniform(0, 1)})
    records = search(LatinHypercube(count), space, lambda config: 0.0, 99)
    assert len(records) == count
    for name in "xy":
        assert sorted(int(item.config[name] * count) for item in records) == list(range(count))
    assert (
        LatinHypercube(count).suggest(question(space, [], count + 1, points=2)) is not NoSuggestion.EXHAUSTED
    )


@pytest.mark.parametrize("sampler", [Sobol(), Halton(), LatinHypercube(8)])
def test_a_repetition_in_a_design_is_drawn_independently(question, record, sampler):
    """A finite leaf makes design points meet; the redraw is the space's own."""
    space = SearchSpace({"d": randint(1, 1000)})
    first = sampler.suggest(question(space, [], 3))
    assert sampler.suggest(question(space, [record(0, first, "running")], 3)) == space.draw(0, 3, 1)


def test_designs_cope_with_a_space_without_leaves(question):
    """Constants alone: there is no coordinate to fill."""
    assert Sobol().suggest(question(SearchSpace({"epochs": 3}))) == {"epochs": 3}


def test_grid_crosses_its_leaves_last_path_fastest(search):
    """The order of scikit-learn's ParameterGrid: keys sorted, the last varies fastest."""
    space = SearchSpace({"b": grid([1, 2, 3]), "a": grid(["u", "v"]), "epochs": 9})
    records = search(Grid(), space, lambda config: 0.0, 99)
    expected = [(a, b) for a in "uv" for b in (1, 2, 3)]
    assert [(item.config["a"], item.config["b"]) for item in records] == expected


def test_grid_comes_n_samples_times(search):
    """Rounds through the whole grid; other leaves are drawn anew for every trial."""
    pure = SearchSpace({"a": grid([1, 2])})
    assert [r.config["a"] for r in search(Grid(3), pure, lambda config: 0.0, 99)] == [1, 2] * 3
    mixed = SearchSpace({"a": grid([1, 2]), "x": uniform(0, 1)})
    records = search(Grid(2), mixed, lambda config: 0.0, 99)
    assert [r.config["a"] for r in records] == [1, 2, 1, 2]
    assert [r.config["x"] for r in records] == [mixed.draw(0, i)["x"] for i in range(4)]


def test_grid_starts_after_the_points_to_evaluate(question):
    """Two points come on top of the grid, not in place of its first two."""
    space = SearchSpace({"a": grid([1, 2]), "x": uniform(0, 1)})
    answers = [Grid().suggest(question(space, [], i, points=2)) for i in (2, 3, 4)]
    assert [answers[0]["a"], answers[1]["a"], answers[2]] == [1, 2, NoSuggestion.EXHAUSTED]


def test_grid_of_a_finite_space_is_every_configuration(search):
    """Conditional branches included, each once."""
    space = SearchSpace({"n": choice([{"k": "a", "w": randint(1, 3)}, {"k": "b"}]), "d": randint(1, 2)})
    records = search(Grid(), space, lambda config: 0.0, 99)
    seen = {(r.config["n"]["k"], r.config["n"].get("w"), r.config["d"]) for r in records}
    assert len(records) == len(seen) == space.size == 8


def test_grid_of_an_infinite_space_is_refused(question):
    """The message names the leaf that cannot be listed, and what to use."""
    with pytest.raises(SpaceError, match=r"x: uniform\(0.0, 1.0\) is not finite"):
        Grid().suggest(question(SearchSpace({"x": uniform(0, 1)})))
    with pytest.raises(SpaceError, match="configurations, more than 1000000; use"):
        Grid().suggest(question(SearchSpace({"x": randint(1, 2000), "y": randint(1, 2000)})))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LatinHypercube(0), "LatinHypercube: n must be an int of at least 1, got 0"),
        (lambda: LatinHypercube(2.5), "LatinHypercube: n must be an int of at least 1, got 2.5"),
        (lambda: Grid(True), "Grid: n_samples must be an int of at least 1, got True"),
    ],
)
def test_settings_are_checked_when_made(make, text):
    """Place, rule, value."""
    with pytest.raises(UserError, match=text):
        make()


def test_engines_are_fresh_at_every_question(question):
    """Asking twice, or for others in between, changes nothing."""
    first = Sobol().suggest(question(MIXED, [], 6))
    Sobol().suggest(question(MIXED, [], 2))
    assert Sobol().suggest(question(MIXED, [], 6)) == first
    assert np.isfinite(first["m"])
