"""The forms in which blocks are made: what they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ui import CONTROLS, Ui, as_read, until

from prefect_tune.blocks import CsvData, DaskCluster, ParquetData, SearchSpec, SqlQuery, StepStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
KINDS = (StepStore, DaskCluster, ParquetData, CsvData, SqlQuery, SearchSpec)


def test_every_block_has_a_form(ui: Ui, environment: dict[str, str]) -> None:
    """Each field of each block has its title, its help and a control, and no picture is broken."""
    prefect = Path(sys.executable).with_name("prefect")
    command = [prefect, "block", "register", "-m", "prefect_tune.blocks"]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
    for kind in KINDS:
        ui.open(f"/blocks/catalog/{kind.get_block_type_slug()}/create", "Block Name")
        fields = kind.model_json_schema()["properties"].values()
        shown = ui.page.locator(".schema-form-fields > .schema-form-property")
        until(
            lambda shown=shown, fields=fields: shown.count() == len(fields), f"the fields of {kind.__name__}"
        )
        texts = [as_read(text) for text in shown.all_inner_texts()]
        for field in fields:
            (place,) = (i for i, text in enumerate(texts) if re.match(rf"{field['title']}\b", text))
            assert as_read(field["description"]).replace("`", "") in texts[place]
            assert shown.nth(place).locator(CONTROLS).count(), field["title"]
        assert all(ui.pictures())
        assert ui.problems == []
