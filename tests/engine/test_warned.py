"""Warnings of overlapping batches."""

from __future__ import annotations

import threading
import warnings

from prefect_tune.tasks.warned import caught_warnings


def test_overlapping_blocks_keep_apart_and_leave_nothing() -> None:
    """Two threads whose blocks overlap get their own warnings, and the process is as it was before."""
    before = (warnings.showwarning, list(warnings.filters))
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    seen: dict[str, list] = {}

    def first() -> None:
        with caught_warnings() as mine:
            first_is_in.set()
            assert second_is_in.wait(10)
            warnings.warn("one", UserWarning, stacklevel=1)
        seen["first"] = mine
        first_is_out.set()

    def second() -> None:
        assert first_is_in.wait(10)
        with caught_warnings() as mine:
            second_is_in.set()
            assert first_is_out.wait(10)
            warnings.warn("two", RuntimeWarning, stacklevel=1)
        seen["second"] = mine

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {"first": [("UserWarning", "one")], "second": [("RuntimeWarning", "two")]}
    assert (warnings.showwarning, list(warnings.filters)) == before
