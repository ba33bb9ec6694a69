"""Pages of Prefect's UI in a browser, and what is to be said of them."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Value = TypeVar("Value")
_PATIENCE = 120.0  # seconds; a machine may be busy
PICTURES = os.environ.get("TUNE_SCREENSHOTS")
"""The folder for pictures of the documentation; none are made without it."""
CONTROLS = "textarea, input, .p-toggle, .p-button-group, .p-select"
"""What a field of a form is filled in with."""


def as_read(text: str) -> str:
    """A help text as a page shows it."""
    return " ".join(text.split())


def until(found: Callable[[], Value], what: str, patience: float = _PATIENCE) -> Value:
    """What `found` returns as soon as it is true."""
    deadline = time.monotonic() + patience
    while (value := found()) in (None, False, []):
        assert time.monotonic() < deadline, f"waited {patience:.0f} s for {what}"
        time.sleep(0.1)
    return value


class Api:
    """Prefect's API, asked as the UI asks it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30)

    def get(self, path: str) -> Any:
        """What the API answers."""
        return self._ask("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        """What the API answers."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, asked for again while the database is locked, as Prefect's own clients do."""

        def answer() -> httpx.Response | None:
            response = self._client.request(method, path, json=body)
            return None if response.status_code == 503 else response

        return until(answer, path).raise_for_status().json()

    def flow_run(self, run: str) -> dict[str, Any]:
        """A flow run."""
        return self.get(f"/flow_runs/{UUID(run)}")

    def task_runs(self, run: str) -> list[dict[str, Any]]:
        """The task runs of a flow run."""
        return self.post("/task_runs/filter", flow_runs={"id": {"any_": [run]}})

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        """The artifacts of a flow run by kind."""
        found = self.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
        return {artifact["key"].rpartition("-")[2]: artifact for artifact in found}


class Ui:
    """One page of the browser.

    Attributes:
        problems: what the browser complained of since the page was opened.
    """

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.problems: list[str] = []
        page.set_default_timeout(1000 * _PATIENCE)
        # The UI asks a service of its own for settings; tests talk to nobody but the server.
        page.route(lambda url: not url.startswith(home), lambda route: route.abort())
        self._later = False  # the server has said so: the database was locked
        page.on("response", self._answered)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._hear)

    def _answered(self, response: Any) -> None:
        self._later = self._later or response.status == 503

    def _hear(self, message: Any) -> None:
        place = message.location.get("url", "")
        # Prefect asks for icons that it has not. While the database is locked its server says "later", which
        # the UI tells once more, by the name of a class of its own.
        known = place.endswith("/favicon.ico") or "/ico/" in place or "503" in message.text
        known = known or (self._later and "/assets/" in place)
        if message.type == "error" and place.startswith(self.home) and not known:
            self.problems.append(f"{message.text} ({place})")

    def open(self, path: str, shows: str) -> Ui:
        """The page, once it shows a text."""
        self.problems.clear()
        self._later = False
        self.page.goto(f"{self.home}{path}")
        self.shows(shows)
        return self

    def shows(self, text: str) -> None:
        """Returns when the text is to be seen."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def tab(self, name: str, shows: str) -> None:
        """Goes to a tab of the page."""
        self.page.get_by_text(name, exact=True).filter(visible=True).first.click()
        self.shows(shows)

    def text(self) -> str:
        """All text of the page."""
        return self.page.inner_text("body")

    def prose(self) -> str:
        """The text without code, which may hold anything."""
        script = (
            "body => { const text = body.cloneNode(true);"
            "text.querySelectorAll('pre, code').forEach(code => code.remove()); return text.textContent }"
        )
        return self.page.locator("body").evaluate(script)

    def pictures(self) -> list[int]:
        """The widths of all pictures of the page, 0 for a broken one."""
        self.page.wait_for_function("[...document.images].every(image => image.complete)")
        return self.page.evaluate("[...document.images].map(image => image.naturalWidth)")

    def picture(self, name: str, height: int = 800) -> None:
        """Nothing; the page is in the documentation's folder of pictures, if pictures are wanted."""
        if not PICTURES:
            return
        self.page.set_viewport_size({"width": 1100, "height": height})
        self.page.mouse.move(0, 0)
        self.page.wait_for_timeout(1500)  # for animations; only when pictures are made
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        shot.quantize(128).save(Path(PICTURES) / f"ui-{name}.png", optimize=True)
        self.page.set_viewport_size({"width": 1280, "height": 900})


class Fields:
    """The fields of the form that a page shows."""

    def __init__(self, ui: Ui) -> None:
        self.ui = ui

    def field(self, name: str) -> Locator:
        """The part of the form that belongs to a parameter."""
        label = self.ui.page.locator(".schema-form-property__label").get_by_text(
            re.compile(rf"^{name}( \(Optional\))?$")
        )
        return self.ui.page.locator(".schema-form-property").filter(has=label)

    def choose(self, name: str, tab: str) -> Locator:
        """The field, with one of its tabs open."""
        field = self.field(name)
        field.locator(".p-button-group").get_by_role("button", name=tab, exact=True).click()
        return field

    def write_json(self, name: str, value: Any, tab: str | None = None) -> None:
        """Writes JSON into a field; a text as it is."""
        field = self.choose(name, tab) if tab else self.field(name)
        field.locator(".p-code-input textarea").fill(value if isinstance(value, str) else json.dumps(value))

    def write(self, name: str, value: str, tab: str | None = None) -> None:
        """Writes text or a number into a field."""
        field = self.choose(name, tab) if tab else self.field(name)
        field.locator("textarea, input[type=number], input[type=text]").first.fill(value)

    def pick(self, name: str, option: str, tab: str | None = None) -> None:
        """Picks an entry of a select."""
        field = self.choose(name, tab) if tab else self.field(name)
        # By the keyboard: a click of a driver presses and releases at once, which opens and closes the list.
        field.locator(".p-select-button__control").press("Space")
        self.ui.page.get_by_text(option, exact=True).filter(visible=True).last.click()

    def send(self) -> None:
        """Presses the button."""
        self.ui.page.get_by_role("button", name="Submit").click()


class Form(Fields):
    """The form of a deployment's custom run.

    Args:
        new: in the second of Prefect's two UIs.
    """

    def __init__(self, ui: Ui, deployment: str, *, new: bool = False) -> None:
        super().__init__(ui)
        ui.open(f"{'/v2' if new else ''}/deployments/deployment/{deployment}/run", "Parameters")
        ui.page.get_by_text("verbose").or_(ui.page.get_by_text("overrides")).first.wait_for()

    def submit(self) -> str:
        """The id of the flow run that was made."""

        def made() -> Any:
            with self.ui.page.expect_response(lambda response: "create_flow_run" in response.url) as answer:
                self.send()
            return None if answer.value.status == 503 else answer.value  # the database was locked: again

        response = until(made, "the flow run")
        assert response.ok, response.text()
        return response.json()["id"]
