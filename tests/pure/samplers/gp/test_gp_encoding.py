"""Configurations in the unit cube (algorithm reference 5.4): positions, widths, and the way back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from prefect_tune.samplers.gp.encoding import Encoding
from prefect_tune.space import (
    SearchSpace,
    choice,
    derived,
    finrange,
    grid,
    logfinrange,
    lognormal,
    logordinal,
    lograndint,
    loguniform,
    normal,
    ordinal,
    qlognormal,
    qlograndint,
    qloguniform,
    qnormal,
    qrandint,
    quniform,
    randint,
    reverseloguniform,
    truncnormal,
    uniform,
)


def shown(value):
    """The value as the name of a test: the same in every process, so without the address of an object."""
    return value.dist.name if hasattr(value, "dist") else repr(value)


def place(domain, value):
    """The coordinates of one value."""
    return Encoding(SearchSpace({"x": domain})).encode({"x": value}).tolist()


@pytest.mark.parametrize(
    ("domain", "value", "position"),
    [
        (uniform(-5, 15), 0.0, 0.25),
        (loguniform(1e-4, 1), 0.01, 0.5),
        (reverseloguniform(0.0, 0.99), 0.9, 0.5),
        (randint(2, 5), 3, 1.5 / 4),
        (lograndint(1, 100), 10, math.log(10 / 0.5) / math.log(100.5 / 0.5)),
        (lograndint(1, 100, rounding="closed"), 10, 0.5),
        (lograndint(1, 99, rounding="floor"), 10, 0.5),
        (normal(3, 2), 3.0, 0.5),
        (normal(3, 2), 5.0, stats.norm.cdf(1)),
        (lognormal(0, 2), math.exp(2), stats.norm.cdf(1)),
        (truncnormal(0, 1, -1, 1), 0.0, 0.5),
        (quniform(0, 1, 0.1), 0.3, 3.5 / 11),
        (qloguniform(1, 4, 1), 2.0, 1.5 / 4),
        (qrandint(0, 10, 5), 5, 1.5 / 3),
        (qlograndint(2, 8, 2), 4, 1.5 / 4),
        (ordinal(["s", "m", "l"]), "m", 0.5),
        (ordinal([1, 10, 1000]), 10, 0.5),
        (logordinal([1, 10, 1000]), 1000, 2.5 / 3),
        (finrange(0, 1, 5), 0.25, 1.5 / 5),
        (logfinrange(1, 100, 3), logfinrange(1, 100, 3).values[1], 0.5),
        (choice(["a", "b"]), "b", 0.75),
        (stats.expon(), math.log(2), 0.5),
    ],
    ids=shown,
)
def test_positions_of_the_reference(domain, value, position):
    """Each domain's one coordinate, by the reference's formula."""
    assert place(domain, value) == pytest.approx([position], abs=1e-9)


@pytest.mark.parametrize(
    ("domain", "value", "row"),
    [
        (choice(["a", "b", "c"]), "b", [0, 1, 0]),
        (choice([1, True, 1.0]), True, [0, 1, 0]),
        (grid(["u", "v", "w"]), "w", [0, 0, 1]),
        (choice(["only"]), "only", []),
        (uniform(2, 2), 2.0, []),
        (randint(7, 7), 7, []),
    ],
    ids=shown,
)
def test_three_options_have_a_dimension_each_and_one_has_none(domain, value, row):
    """One-hot from three options on; what cannot vary has no dimension."""
    assert place(domain, value) == row


DISCRETE = [
    randint(-3, 40),
    lograndint(1, 300),
    lograndint(1, 300, rounding="closed"),
    lograndint(1, 300, rounding="floor"),
    qrandint(-6, 60, 6),
    qlograndint(4, 64, 4),
    quniform(-1, 2, 0.1),
    qloguniform(1, 50, 1),
    ordinal([3, "b", None, 2.5]),
    ordinal([1, 2, 8, 100]),
    logordinal([1, 2, 8, 100]),
    finrange(-1, 1, 9),
    finrange(1, 9, 9, cast_int=True),
    logfinrange(1, 256, 9),
    choice(["a", "b"]),
    choice([1, True, 1.0, "x"]),
    choice([0, 1, 2], weights=[1, 0, 3]),
    grid([1, 2, 3]),
]


@pytest.mark.parametrize("domain", DISCRETE, ids=shown)
def test_every_discrete_value_comes_back_exactly(domain):
    """decode(encode(v)) is v, with its type, for every value of a finite domain."""
    space = SearchSpace({"x": domain})
    encoding = Encoding(space)
    for config in space.every():
        row = encoding.encode(config)
        assert np.all((row >= 0) & (row <= 1))
        back = encoding.decode(row)
        assert (back, type(back["x"])) == (config, type(config["x"]))


@pytest.mark.parametrize(
    "domain",
    [
        uniform(-5, 15),
        loguniform(1e-8, 10),
        reverseloguniform(0.1, 0.9999),
        normal(-3, 2),
        lognormal(1, 2),
        truncnormal(0, 1, 2, 5),
        qnormal(0, 10, 0.5),
        qlognormal(0, 2, 1),
        quniform(0, 100_000, 1),
        stats.gamma(2.0),
        stats.poisson(4.0),
    ],
    ids=shown,
)
def test_drawn_values_come_back(domain):
    """decode(encode(v)) is v up to rounding for floats, exactly for steps, whatever is drawn."""
    space = SearchSpace({"x": domain})
    encoding = Encoding(space)
    for index in range(200):
        config = space.draw(0, index)
        back = encoding.decode(encoding.encode(config))
        assert back["x"] == pytest.approx(config["x"], rel=1e-9, abs=1e-9)
        if "q" in repr(domain) or isinstance(config["x"], int):
            assert back == config


NESTED = SearchSpace(
    {
        "net": choice(
            [
                {
                    "kind": "mlp",
                    "width": randint(1, 9),
                    "act": choice([{"a": uniform(0, 1)}, "relu", "tanh"]),
                },
                {"kind": "cnn", "size": choice(["s", "l"])},
            ]
        ),
        "lr": loguniform(1e-4, 1),
        "epochs": 50,
        "twice": derived(lambda config: 2 * config["epochs"]),
    }
)


def test_a_nested_space_has_every_leaf_in_the_cube():
    """Coordinates by rising path: lr, net, its option 0's act (three), its a, its width, option 1's size."""
    encoding = Encoding(NESTED)
    assert [leaf.path for leaf in NESTED.leaves] == [
        "lr",
        "net",
        "net/0/act",
        "net/0/act/0/a",
        "net/0/width",
        "net/1/size",
    ]
    assert encoding.dimensions == 1 + 1 + 3 + 1 + 1 + 1


def test_inactive_leaves_stand_at_their_default():
    """Of a cnn, the mlp's coordinates are those of its defaults, and the other way round."""
    encoding = Encoding(NESTED)
    cnn = {"net": {"kind": "cnn", "size": "l"}, "lr": 0.01, "epochs": 50, "twice": 100}
    assert encoding.encode(cnn) == pytest.approx([0.5, 0.75, 1, 0, 0, 0.5, 0.5, 0.75])
    mlp = {"net": {"kind": "mlp", "width": 9, "act": "tanh"}, "lr": 1.0, "epochs": 50, "twice": 100}
    assert encoding.encode(mlp) == pytest.approx([1, 0.25, 0, 0, 1, 0.5, 8.5 / 9, 0.25])


def test_nested_configurations_come_back():
    """Only leaves of the chosen options are in what comes back, constants and derived values as ever."""
    encoding = Encoding(NESTED)
    for index in range(100):
        config = NESTED.draw(1, index)
        back = encoding.decode(encoding.encode(config))
        assert back.pop("lr") == pytest.approx(config.pop("lr"))
        if isinstance(config["net"].get("act"), dict):
            assert back["net"]["act"].pop("a") == pytest.approx(config["net"]["act"].pop("a"))
        assert back == config
        NESTED.check(NESTED.draw(1, index))


def test_any_point_of_the_cube_is_a_configuration():
    """A local search ends anywhere in the cube, also on its faces: what is decoded is in the space."""
    encoding, rng = Encoding(NESTED), np.random.default_rng(0)
    for _ in range(50):
        NESTED.check(encoding.decode(np.clip(rng.random(encoding.dimensions) * 1.4 - 0.2, 0, 1)))


def test_draws_are_those_of_the_space():
    """The values at given u are the space's own, and the point is their encoding."""
    encoding, rng = Encoding(NESTED), np.random.default_rng(0)
    paths = [leaf.path for leaf in NESTED.leaves]
    for units in rng.random((50, len(paths))).tolist():
        values, row = encoding.draw(units)
        config = NESTED.assemble(values)
        assert config == NESTED.from_units(dict(zip(paths, units, strict=True)))
        assert row.tolist() == encoding.encode(config).tolist()


class Dice:
    """A law that can only be drawn from."""

    def rvs(self, random_state=None):
        return int(random_state.integers(1, 7))


def test_what_no_model_can_place_is_taken_from_elsewhere():
    """A law without a distribution function has no dimension; the configuration given has its value."""
    space = SearchSpace({"dice": Dice(), "x": uniform(0, 1)})
    encoding = Encoding(space)
    assert encoding.dimensions == 1
    assert encoding.decode(np.array([0.25]), like={"dice": 4, "x": 0.5}) == {"dice": 4, "x": 0.25}


def test_options_without_weight_are_not_proposed():
    """An option that is never drawn does not come out of a point either."""
    space = SearchSpace({"x": choice(["a", "b", "c"], weights=[1, 0, 1])})
    assert Encoding(space).decode(np.array([0.1, 0.9, 0.2])) == {"x": "c"}
