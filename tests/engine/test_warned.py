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


def test_what_the_collector_finds_open_is_no_step_s_warning() -> None:
    """A file or socket left open elsewhere, found while a step runs, is not told as that step's."""
    with caught_warnings() as mine:
        warnings.warn("unclosed <socket.socket fd=90>", ResourceWarning, stacklevel=1)
        warnings.warn("seen", UserWarning, stacklevel=1)
    assert mine == [("UserWarning", "seen")]
