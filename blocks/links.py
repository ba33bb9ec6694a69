"""The logo and the page of the blocks' cards in Prefect's UI: none, so that no link is dead.

Prefect takes web addresses only (no `data:` picture, no path), and the documentation has no
address that will last. Without them its UI shows a picture of its own and no link.
"""

from __future__ import annotations

LOGO: str | None = None
PAGE: str | None = None
