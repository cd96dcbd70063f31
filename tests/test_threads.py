import threading

import pytest

from tf_pix2pix import threads


def test_results_come_in_order_from_several_threads(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    together = threading.Barrier(2, timeout=10)

    def function(item):
        if item < 2:  # the first two run at once, the first one longer
            together.wait()
        return 10 * item

    assert list(threads.map_in_threads(function, range(100), "testing")) == [10 * item for item in range(100)]
    assert list(threads.map_in_threads(function, [], "testing")) == []


def test_few_items_are_started_ahead(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    started = []
    results = threads.map_in_threads(started.append, range(1000), "testing")
    next(results)
    results.close()
    assert len(started) <= 2 * threads.JOBS_AHEAD


def test_an_exception_ends_the_iteration_and_cancels_the_rest():
    done = []

    def function(item):
        if item == 3:
            raise ValueError("item 3")
        done.append(item)
        return item

    results = threads.map_in_threads(function, range(10_000), "testing")
    with pytest.raises(ValueError, match="item 3"):
        for item in results:
            assert item < 3
    assert len(done) < 10_000
