"""From flow parameters to a search that is ready to run: everything is checked before a flow run exists."""

from __future__ import annotations

import importlib
import time
from typing import Any

from prefect_tune import allowed
from prefect_tune.errors import MissingDependency, UserError, did_you_mean
from prefect_tune.flows.approval import patience_of
from prefect_tune.flows.places import open_store, require_models
from prefect_tune.flows.saved import place_forms, with_data
from prefect_tune.flows.tuning.folds import (
    data_parameters,
    fold_objective,
    fold_schedule,
    folds_of,
    is_estimator,
    is_folds,
    metric_of,
    no_data,
    store_of,
)
from prefect_tune.flows.tuning.search import TuneSearch
from prefect_tune.identifier import Identifier
from prefect_tune.identity import encode as enc
from prefect_tune.request import portable, revive
from prefect_tune.search import check_picklable, context_frame
from prefect_tune.space import SearchSpace, resource_of
from prefect_tune.tasks.isolation.limits import bytes_of, seconds_of
from prefect_tune.tasks.objective.protocol import Limits
from prefect_tune.text import short
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.callbacks import callbacks_of
from prefect_tune.tuning.choices import sampler_of, schedule_of
from prefect_tune.tuning.keep import Keep
from prefect_tune.tuning.objective import Objective, inspect_objective
from prefect_tune.tuning.settings import TuneSettings

BUDGETS = (
    "n_trials",
    "max_trials_finished",
    "max_trials_completed",
    "max_evaluations",
    "max_total_resource",
    "max_time",
    "max_cost",
    "metric_threshold",
    "max_failures_total",
)


def ready_tune(kind: str, asked: dict[str, Any]) -> TuneSearch:
    """A search ready to run, from flow parameters in JSON form or live.

    Raises:
        UserError: for anything that cannot work; nothing has been submitted then.
    """
    started = time.perf_counter()
    store = open_store(asked.get("store"))
    asked = with_data(asked, store)
    space = _space(asked["space"], store)
    objective = _objective(asked, space, store)
    store = store_of(objective, store)
    identifier = Identifier()
    identity = objective.identity(identifier)
    if not objective.reports:
        _no_rungs(asked, objective)
    sampler = sampler_of(revive_choice(asked.get("sampler"), store) or _default_sampler(space))
    schedule = _schedule(asked, objective, space, store)
    mode = _mode(asked.get("mode"), objective)
    settings = TuneSettings(
        name=asked.get("name") or "tune",
        objective=enc.digest("tuned/v1", identity, context_frame()),
        space=space,
        sampler=sampler,
        schedule=schedule,
        budget=_budget(asked, space),
        points=tuple(_points(asked, space)),
        evaluated=tuple(_evaluated(asked, space, mode)),
        metric=metric_of(objective, asked),
        mode=mode,
        seed=_whole("seed", asked.get("seed", 0)),
        noisy=bool(asked.get("noisy")),
        max_failures=_whole("max_failures", asked.get("max_failures", 0)),
        keep=Keep(
            num_to_keep=asked.get("num_to_keep", 1),
            keep_in_search=asked.get("keep_in_search"),
            score=asked.get("checkpoint_score"),
            order=asked.get("checkpoint_order") or mode,
        ),
        whole=is_folds(objective),
    )
    refit = is_folds(objective) and asked.get("refit", True)
    if refit:
        require_models(store, "refit fits one: or pass refit=False")
    check_picklable(objective.function, "objective")
    return TuneSearch(
        settings=settings,
        objective=objective,
        identifier=identifier,
        store=store,
        scope=enc.digest("tune-scope/v1", identity).hex(),
        limits=_limits(asked),
        resources=_resources(asked.get("trial_resources")),
        max_concurrent=_positive("max_concurrent", asked.get("max_concurrent")),
        resume=asked.get("resume", True),
        callbacks=callbacks_of(revive(asked.get("callbacks"), store, "callbacks")),
        verbose=asked.get("verbose", 1),
        refit=refit,
        started=started,
        approve=patience_of(asked, refit=bool(refit)),
    )


def tune_parameters(asked: dict[str, Any], search: TuneSearch) -> dict[str, Any]:
    """`asked` as the flow run's parameters: plain JSON, with references to the store for what is live."""
    store = search.store
    special: dict[str, Any] = {
        "objective": _named(asked["objective"]) or portable(asked["objective"], store),
        "space": _space_form(search.settings.space) or portable(search.settings.space, store),
        **place_forms(asked, store),
        "callbacks": portable(asked.get("callbacks"), store) if asked.get("callbacks") else None,
        **data_parameters(asked, search.objective, store),
    }
    plain = {name: portable(value, store) for name, value in asked.items() if name not in special}
    return {**plain, **special}


# -- parts -------------------------------------------------------------------------------------------


def _objective(asked: dict[str, Any], space: SearchSpace, store: Any) -> Objective:
    given = asked["objective"]
    if isinstance(given, str):
        name = given.replace(":", ".")
        allowed.check_added(name, "objective")  # before its module is imported
        given = imported(given)
        allowed.check_function(given, name, "objective")
    else:
        given = revive(given, store, "objective")
    if is_estimator(given):
        return fold_objective(given, asked, space, store)
    no_data(asked)
    return inspect_objective(given, asked.get("resource") or "epoch")


def imported(name: str) -> Any:
    """The object called `module:name` or `module.name`.

    Raises:
        MissingDependency: no such module.
        UserError: the module has nothing of that name.
    """
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    if not module or not attribute:
        raise UserError(f"objective: give it as 'module:function', got {name!r}.")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"objective: there is no module {error.name!r} here; is its folder on the Python path of the "
            "process that runs the flow?"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(
                f"objective: there is no {attribute!r} in {module!r}.{did_you_mean(attribute, dir(found))}"
            )
        found = getattr(found, part)
    return found


def _named(given: Any) -> str | None:
    """The name under which an objective can be imported anywhere, None without one."""
    if isinstance(given, str):
        return given
    module, name = getattr(given, "__module__", None), getattr(given, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    try:
        return f"{module}:{name}" if imported(f"{module}:{name}") is given else None
    except UserError:
        return None


def _space(given: Any, store: Any) -> SearchSpace:
    if isinstance(given, dict) and set(given) == {"object"}:
        given = revive(given, store, "space")
    if isinstance(given, SearchSpace):
        return given
    return SearchSpace.from_json(given) if _is_plain(given) else SearchSpace(given)


def _is_plain(value: Any) -> bool:
    """Whether a space is in its JSON form: no live leaf anywhere."""
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (str, int, float, bool)


def _space_form(space: SearchSpace) -> dict[str, Any] | None:
    try:
        return space.to_json()
    except UserError:
        return None


def revive_choice(given: Any, store: Any) -> Any:
    """A sampler or schedule out of the store, if that is where it lies."""
    if isinstance(given, dict) and set(given) == {"object"}:
        return revive(given, store, "choice")
    return given


def _default_sampler(space: SearchSpace) -> str:
    return "grid" if space.grid_size is not None else "tpe"


def _schedule(asked: dict[str, Any], objective: Objective, space: SearchSpace, store: Any) -> Any:
    wish = revive_choice(asked.get("schedule"), store) or "fifo"
    most = folds_of(objective, asked) or _positive("max_resource", asked.get("max_resource"))
    if most is None and objective.reports:
        try:
            most = resource_of(space)
        except UserError:
            most = None
    if not objective.reports and most is None:
        most = 1
    return fold_schedule(objective, schedule_of(wish, most))


def _no_rungs(asked: dict[str, Any], objective: Objective) -> None:
    wish = asked.get("schedule")
    if wish not in (None, "fifo", "FIFO") and type(wish).__name__ != "FIFO":
        raise UserError(
            f"schedule: {objective.name}() returns one value, so {short(wish)} has nothing to decide; let it "
            "yield a report each epoch, or leave schedule= out."
        )


def _budget(asked: dict[str, Any], space: SearchSpace) -> Budget:
    given = {name: asked.get(name) for name in BUDGETS if asked.get(name) is not None}
    if "max_total_resource" in given:
        given["max_resource"] = given.pop("max_total_resource")
    for name, parameter in (("plateau", "plateau"), ("stop", "stop"), ("on_stop", "on_stop")):
        if asked.get(parameter) is not None:
            given[name] = asked[parameter]
    if not set(given) - {"on_stop", "max_failures_total"}:
        size = space.grid_size or space.size
        if size is None:
            raise UserError(
                "n_trials: the space is endless and nothing says when to stop; give n_trials=, max_time= or "
                "another budget."
            )
        given["n_trials"] = size
    return Budget(**given)


def _points(asked: dict[str, Any], space: SearchSpace) -> list[Any]:
    given = asked.get("points_to_evaluate")
    if given is None and space.grid_size is not None:
        given = []
    return space.points(given, seed=asked.get("seed", 0))


def _evaluated(asked: dict[str, Any], space: SearchSpace, mode: str) -> list[tuple[Any, float, int]]:
    found = []
    for place, entry in enumerate(asked.get("evaluated") or ()):
        try:
            config, value, *rest = entry
            loss = float(value) if mode == "min" else -float(value)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"evaluated[{place}]: give (configuration, value) or (configuration, value, resource), got "
                f"{short(entry)}."
            ) from error
        space.check(config)
        found.append((config, loss, rest[0] if rest else 1))
    return found


def _mode(mode: Any, objective: Objective) -> str:
    mode = ("max" if is_folds(objective) else "min") if mode is None else mode
    if mode not in ("min", "max"):
        raise UserError(f"mode: it is 'min' or 'max', got {mode!r}.")
    return mode


def _limits(asked: dict[str, Any]) -> Limits:
    return Limits(
        seconds=seconds_of("trial_seconds", asked.get("trial_seconds")),
        memory=bytes_of("trial_memory", asked.get("trial_memory")),
        checkpoint_every=_positive("checkpoint_every", asked.get("checkpoint_every")),
    )


def _resources(given: Any) -> dict[str, float]:
    """Dask resources of one trial."""
    found = dict(given or {})
    for name, amount in found.items():
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not amount > 0:
            raise UserError(f"trial_resources[{name!r}]: must be a number above 0, got {amount!r}.")
    return found


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"{name}: must be an int of at least 0, got {value!r}.")
    return value


def _positive(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name}: must be an int of at least 1, got {value!r}.")
    return value
