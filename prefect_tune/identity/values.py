"""Encoders of the rarer value types, one function per type.

Rule: each names its type in a tag of its own, so nothing merges with text or numbers; whatever has state
that cannot be listed (a custom time zone, a shuffled generator of unknown kind) is refused.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import random
import re
import sys
import uuid
import zoneinfo
from typing import Any

import numpy as np

from prefect_tune.identity.code import class_identity
from prefect_tune.identity.distributions import home_of
from prefect_tune.identity.encode import Encoder, Walk, frame, kwargs_frame, python_value


def find_encoder(kind: type, value: Any) -> Encoder | None:
    """The encoder of that exact type, or None."""
    known = _BY_TYPE.get(kind)
    if known is not None:
        return known
    if isinstance(value, np.generic):
        return _numpy_scalar
    if isinstance(value, np.dtype):
        return _dtype
    if isinstance(value, enum.Enum):
        return _enum
    home = kind.__module__.partition(".")[0]
    if home == "pandas":
        return _pandas_encoder(kind, value)
    if kind.__module__ == "scipy.stats._distn_infrastructure" and kind.__name__ in _FROZEN:
        return _frozen_distribution
    return None


def _numpy_scalar(value: np.generic, walk: Walk) -> bytes:
    plain = python_value(value)
    if not isinstance(plain, np.generic):
        return walk.child(plain)
    if value.dtype.kind in "mM":
        return walk.record("npdatetime", value.dtype.str, int(value.astype(np.int64)))
    raise walk.refuse(f"numpy {value.dtype} has no Python value of its kind")


def _dtype(value: np.dtype, walk: Walk) -> bytes:
    from prefect_tune.identity.arrays import dtype_frame

    return dtype_frame(value, walk.root)


def _nested(value: Any, walk: Walk) -> bytes:
    """The frame of a state made of dicts with text keys; their order does not count."""
    if type(value) is dict:
        return kwargs_frame({name: _nested(item, walk) for name, item in value.items()})
    return walk.child(value)


def _random_state(value: np.random.RandomState, walk: Walk) -> bytes:
    return frame("random-state", _nested(value.get_state(legacy=False), walk))


def _generator(value: np.random.Generator, walk: Walk) -> bytes:
    bits = value.bit_generator
    seeds = getattr(bits, "seed_seq", None)
    if type(seeds) is not np.random.SeedSequence:
        raise walk.refuse("a Generator whose seed sequence is of unknown kind")
    # The sequence counts too: `spawn` makes children of it.
    return frame("generator", _nested(bits.state, walk) + _seed_sequence(seeds, walk))


def _seed_sequence(value: np.random.SeedSequence, walk: Walk) -> bytes:
    return frame("seed-sequence", _nested(dict(value.state), walk))


def _python_random(value: random.Random, walk: Walk) -> bytes:
    return walk.record("random", value.getstate())


def _zone(zone: Any, walk: Walk) -> Any:
    """An encodable stand-in for a time zone."""
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return ("fixed", str(zone), zone.utcoffset(None).total_seconds())
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return ("zone", zone.key)
    raise walk.refuse(f"time zone of type {type(zone).__qualname__}")


def _datetime(value: datetime.datetime, walk: Walk) -> bytes:
    naive = value.replace(tzinfo=None)
    return walk.record("datetime", naive.isoformat(), value.fold, _zone(value.tzinfo, walk))


def _time(value: datetime.time, walk: Walk) -> bytes:
    naive = value.replace(tzinfo=None)
    return walk.record("time", naive.isoformat(), value.fold, _zone(value.tzinfo, walk))


def _date(value: datetime.date, walk: Walk) -> bytes:
    return walk.record("date", value.isoformat())


def _timedelta(value: datetime.timedelta, walk: Walk) -> bytes:
    return walk.record("timedelta", value.days, value.seconds, value.microseconds)


def _timezone(value: Any, walk: Walk) -> bytes:
    return walk.record("timezone", _zone(value, walk))


def _decimal(value: decimal.Decimal, walk: Walk) -> bytes:
    return walk.record("decimal", value.as_tuple().sign, value.as_tuple().digits, value.as_tuple().exponent)


def _fraction(value: fractions.Fraction, walk: Walk) -> bytes:
    return walk.record("fraction", value.numerator, value.denominator)


def _path(value: pathlib.PurePath, walk: Walk) -> bytes:
    """A path is a text; the content of its file enters only where data is ingested."""
    return walk.record("path", type(value).__name__.removeprefix("Pure"), str(value))


def _enum(value: enum.Enum, walk: Walk) -> bytes:
    name = value._name_ if not isinstance(value, enum.Flag) else int(value.value)
    return walk.record("enum", class_identity(type(value)), name)


def _slice(value: slice, walk: Walk) -> bytes:
    return walk.record("slice", value.start, value.stop, value.step)


def _range(value: range, walk: Walk) -> bytes:
    return walk.record("range", value.start, value.stop, value.step)


def _pattern(value: re.Pattern, walk: Walk) -> bytes:
    return walk.record("pattern", value.pattern, value.flags)


def _partial(value: functools.partial, walk: Walk) -> bytes:
    parts = walk.child(value.func, ".func") + walk.child(value.args, ".args")
    return frame("partial", parts + walk.kwargs(value.keywords) + walk.kwargs(vars(value)))


def _ufunc(value: np.ufunc, walk: Walk) -> bytes:
    """A ufunc found under its name in numpy or scipy.special; one made by the user is refused."""
    for name in ("numpy", "scipy.special"):
        home = home_of(name)
        if home is not None and getattr(sys.modules[name], value.__name__, None) is value:
            return walk.record("ufunc", home, name, value.__name__)
    raise walk.refuse(f"ufunc {value.__name__} is neither numpy's nor scipy's")


_FROZEN = frozenset({"rv_continuous_frozen", "rv_discrete_frozen"})


def _frozen_distribution(value: Any, walk: Walk) -> bytes:
    """A scipy distribution with its arguments.

    Its own random state is left out: every draw is given an explicit generator.
    """
    import scipy.stats

    law: Any = value.dist
    known: Any = getattr(scipy.stats, law.name, None)
    if type(known) is not type(law):
        raise walk.refuse(f"distribution {law.name} is not one of scipy's own")
    shape = (class_identity(type(law)), law.name, law.a, law.b, law.badvalue)
    parts = walk.child(shape) + walk.child(tuple(value.args), ".args") + walk.kwargs(value.kwds)
    return frame("distribution", parts)


def _pandas_encoder(kind: type, value: Any) -> Encoder | None:
    import pandas as pd

    if value is pd.NaT or value is pd.NA:
        return lambda missing, walk: frame("pandas-missing", type(missing).__name__.encode())
    if kind is pd.Timestamp:
        return lambda stamp, walk: walk.record(
            "timestamp",
            stamp.asm8.dtype.str,
            int(stamp.asm8.astype(np.int64)),
            _zone(stamp.tz, walk),
            stamp.fold,
        )
    if kind is pd.Timedelta:
        return lambda span, walk: walk.record(
            "pandas-timedelta", span.asm8.dtype.str, int(span.asm8.astype(np.int64))
        )
    if kind is pd.Interval:
        return lambda span, walk: walk.record("interval", span.left, span.right, span.closed)
    if isinstance(value, pd.api.extensions.ExtensionDtype):
        from prefect_tune.identity.frames import dtype_of

        return lambda dtype, walk: dtype_of(dtype, walk.root)
    return None


_BY_TYPE: dict[type, Encoder] = {
    np.random.RandomState: _random_state,
    np.random.Generator: _generator,
    np.random.SeedSequence: _seed_sequence,
    random.Random: _python_random,
    datetime.datetime: _datetime,
    datetime.date: _date,
    datetime.time: _time,
    datetime.timedelta: _timedelta,
    datetime.timezone: _timezone,
    zoneinfo.ZoneInfo: _timezone,
    decimal.Decimal: _decimal,
    fractions.Fraction: _fraction,
    uuid.UUID: lambda value, walk: walk.record("uuid", value.hex),
    pathlib.PosixPath: _path,
    pathlib.WindowsPath: _path,
    pathlib.PurePosixPath: _path,
    pathlib.PureWindowsPath: _path,
    slice: _slice,
    range: _range,
    re.Pattern: _pattern,
    functools.partial: _partial,
    np.ufunc: _ufunc,
}
