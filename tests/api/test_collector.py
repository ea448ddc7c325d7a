"""Objects of open streams are frozen for the garbage collector until most streams have ended."""

import gc
from contextlib import ExitStack

import pytest

from api import collector
from api.collector import Streams


@pytest.fixture
def streams(monkeypatch):
    monkeypatch.setattr(collector, "EVERY", 10)
    gc.unfreeze()
    yield Streams()
    gc.freeze()  # as before (tests/conftest.py)


def test_the_collector_passes_over_what_many_streams_hold(streams):
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(streams.one_more())
        assert gc.get_freeze_count() == 0
        stack.enter_context(streams.one_more())
        assert gc.get_freeze_count() > 0
    assert (streams.open, gc.get_freeze_count()) == (0, 0)


def test_it_looks_again_only_when_most_have_left(streams):
    with ExitStack() as half:
        for _ in range(10):
            half.enter_context(streams.one_more())
        with ExitStack() as others:
            for _ in range(10):
                others.enter_context(streams.one_more())
        # Ten of twenty streams are still open: not yet.
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
