"""How parameters that take many kinds of things look in the run form: JSON schemas, and nothing for Python.

Rule 1: what is live, an estimator or an array, cannot be typed into a form; its JSON form, path or name can.
To a type checker these parameters are what they were.
Rule 2: a choice between kinds becomes tabs, so each kind has a title. A search space is JSON without a type:
of an object or a list, one of Prefect's two UIs shows tabs without an editor until there is a value.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from prefect_tune.tuning.choices import SAMPLERS, SCHEDULES


def _kind(title: str, kind: str, **rules: Any) -> dict[str, Any]:
    return {"title": title, "type": kind, **rules}


def _tabs(*kinds: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(kinds)})


_NONE = {"type": "null"}
_JSON = _kind("JSON", "object")
_COUNT = _kind("number", "integer")

AtLeastOne = Annotated[int, Field(ge=1)]
Factor = Annotated[float, Field(gt=1)]
FactorOfTwo = Annotated[float, Field(ge=2)]
FromZero = Annotated[int, Field(ge=0)]
Verbosity = Annotated[int, WithJsonSchema({"type": "integer", "enum": [0, 1, 2]})]

Estimator = Annotated[Any, WithJsonSchema({"type": "object"})]
Objective = Annotated[Any, _tabs(_kind("function", "string"), _kind("estimator", "object"))]
Space = Any
Data = Annotated[Any, _tabs(_kind("path or block", "string"), _kind("reference", "object"))]
OptionalData = Annotated[Any, _tabs(_kind("path or block", "string"), _kind("reference", "object"), _NONE)]
Target = Annotated[Any, _tabs(_kind("column", "string"), _kind("reference", "object"), _NONE)]
Validation = Annotated[
    Any,
    _tabs(_kind("block", "string"), _kind("pair", "array", items={}), _kind("reference", "object"), _NONE),
]

Scoring = Annotated[
    Any,
    _tabs(_kind("name", "string"), _kind("names", "array", items={"type": "string"}), _JSON, _NONE),
]
Folds = Annotated[Any, _tabs(_kind("folds", "integer"), _kind("splitter", "object"), _NONE)]
Refit = Annotated[Any, _tabs(_kind("yes or no", "boolean"), _kind("by metric", "string"), _JSON)]
ErrorScore = Annotated[Any, _tabs(_kind("score", "number"), _kind("stop", "string", enum=["raise"]), _NONE)]
Approve = Annotated[bool | int, _tabs(_kind("yes or no", "boolean"), _kind("seconds to wait", "integer"))]
Seed = Annotated[Any, _tabs(_kind("seed", "integer"), _JSON, _NONE)]
Arguments = Annotated[Any, _tabs(_JSON, _NONE)]
Resources = Arguments

Cluster = Annotated[Any, _tabs(_kind("address or block", "string"), _JSON, _NONE)]
Store = Annotated[Any, _tabs(_kind("place or block", "string"), _NONE)]

HowMany = Annotated[Any, _tabs(_COUNT, _kind("all of a grid", "string", enum=["grid"]))]
Patience = Annotated[Any, _tabs(_kind("on or off", "boolean"), _kind("units", "integer"))]
Brackets = Annotated[Any, _tabs(_kind("list", "array", items={"type": "array", "items": {}}), _NONE)]
BracketSizes = Annotated[str, WithJsonSchema({"type": "string", "enum": ["jmlr", "jmlr-table", "upward"]})]
Columns = Annotated[Any, _tabs(_kind("names", "array", items={"type": "string"}), _NONE)]
KeptCheckpoints = Annotated[Any, _tabs(_COUNT, _JSON, _NONE)]

Pool = Annotated[int | str, _tabs(_COUNT, _kind("rule", "string", enum=["exhaust"]))]
MaxResources = Annotated[int | str, _tabs(_COUNT, _kind("rule", "string", enum=["auto"]))]
MinResources = Annotated[int | str, _tabs(_COUNT, _kind("rule", "string", enum=["smallest", "exhaust"]))]

Sampler = Annotated[Any, _tabs(_kind("name", "string", enum=list(SAMPLERS)), _JSON, _NONE)]
Schedule = Annotated[Any, _tabs(_kind("name", "string", enum=list(SCHEDULES)), _JSON, _NONE)]
Order = Annotated[str | None, _tabs(_kind("order", "string", enum=["min", "max"]), _NONE)]
OnStop = Annotated[str | None, _tabs(_kind("what", "string", enum=["cancel", "drain"]), _NONE)]
Plateau = Annotated[Any, _tabs(_kind("on or off", "boolean"), _JSON, _NONE)]
Memory = Annotated[Any, _tabs(_kind("text", "string"), _kind("bytes", "integer"), _NONE)]
