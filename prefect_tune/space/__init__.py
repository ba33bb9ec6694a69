"""Search spaces: what may be tried. Leaves with their domains, nested, conditional, and plain constants."""

from prefect_tune.space.adapters import adapt, hyperopt_points
from prefect_tune.space.categories import Choice, Grid, Ordinal
from prefect_tune.space.domain import Domain
from prefect_tune.space.faults import Fault, SpaceFaults
from prefect_tune.space.finite import FinRange
from prefect_tune.space.floats import Float
from prefect_tune.space.integers import Integer
from prefect_tune.space.make import (
    choice,
    constant,
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
    weighted,
)
from prefect_tune.space.normals import Normal
from prefect_tune.space.resource import resource_of
from prefect_tune.space.special import Constant, Derived, Distribution
from prefect_tune.space.tree import Leaf, SearchSpace
from prefect_tune.space.weighted import Weighted

__all__ = [
    "Choice",
    "Constant",
    "Derived",
    "Distribution",
    "Domain",
    "Fault",
    "FinRange",
    "Float",
    "Grid",
    "Integer",
    "Leaf",
    "Normal",
    "Ordinal",
    "SearchSpace",
    "SpaceFaults",
    "Weighted",
    "adapt",
    "choice",
    "constant",
    "derived",
    "finrange",
    "grid",
    "hyperopt_points",
    "logfinrange",
    "lognormal",
    "logordinal",
    "lograndint",
    "loguniform",
    "normal",
    "ordinal",
    "qlognormal",
    "qlograndint",
    "qloguniform",
    "qnormal",
    "qrandint",
    "quniform",
    "randint",
    "resource_of",
    "reverseloguniform",
    "truncnormal",
    "uniform",
    "weighted",
]
