import threading
import time

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
    taken = []

    class Items(list):
        def __iter__(self):
            yield from map(lambda item: taken.append(item) or item, super().__iter__())

    results = threads.map_in_threads(str, Items(range(1000)), "testing")
    next(results)
    results.close()
    assert len(taken) <= 2 * threads.JOBS_AHEAD


def test_an_exception_ends_the_iteration_and_cancels_the_rest(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 1)
    done = []

    def function(item):
        if item == 0:
            raise ValueError("item 0")
        time.sleep(0.1)
        done.append(item)

    with pytest.raises(ValueError, match="item 0"):
        list(threads.map_in_threads(function, range(threads.JOBS_AHEAD), "testing"))
    assert len(done) < threads.JOBS_AHEAD - 3
