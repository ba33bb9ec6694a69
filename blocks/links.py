"""Where the pages and the logo of the blocks lie, for the cards in Prefect's UI."""

from __future__ import annotations

DOCUMENTATION = "https://prefect-tune.readthedocs.io/en/latest"
LOGO = f"{DOCUMENTATION}/images/logo.png"
PAGE = f"{DOCUMENTATION}/how-to/save-configuration-in-blocks"
