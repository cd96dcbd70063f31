"""Contestants in turns: each in a process of its own, all asked one after the other for one repetition.

So the thread pools and allocators of TensorFlow and PyTorch do not disturb one another, and what the machine does
besides is shared by all. A process that is not asked waits for its pipe and uses no processor.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

WARM_UPS = 3  # repetitions before those that count
PAUSE = 0.05  # seconds between turns, in which the threads of the one before stop spinning
LIMIT = 3600  # seconds that one answer may take


@dataclass(frozen=True)
class Work:
    """What a process was built for."""

    repetition: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)  # what else there is to tell


@dataclass(frozen=True)
class Contestant:
    """One line of a table. Of several with the same name only the fastest is kept after the warm-up."""

    name: str
    make: Callable[..., Work]  # one of contestants.py, called in the process
    options: dict[str, Any]  # of `make`
    imports: tuple[str, ...]  # modules loaded before memory is looked at for the first time
    tuned: bool = False  # the process is prepared as tf_pix2pix' commands prepare theirs
    variant: str = ""  # what it differs in from others of its name


@dataclass
class Measured:
    """What was measured of a contestant."""

    name: str
    variant: str = ""
    seconds: list[float] = field(default_factory=list)  # of each repetition
    facts: dict[str, Any] = field(
        default_factory=dict
    )  # its Work's; imported_gb, peak_gb: memory after imports, at most
    failure: str | None = None  # why it did not get to the end; it has no seconds then

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class _Failure:
    """Why a process cannot go on, in one line."""

    reason: str


class _Worker:
    """The process of a contestant, and what is known of it so far."""

    def __init__(self, contestant: Contestant):
        self.measured = Measured(contestant.name, contestant.variant)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, contestant))
        self._process.start()
        theirs.close()  # so that its death is the end of the pipe

    def wait_until_built(self) -> None:
        self.measured.facts.update(self._answer() or {})

    def repeat(self) -> float | None:
        """Seconds of one repetition; None where the process has failed, then or before."""
        return self._ask("repeat")

    def finish(self) -> None:
        """Ends the process."""
        self.measured.facts.update(self._ask("finish") or {})
        self._process.join(60)
        self.kill()

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, request: str):
        if self.measured.failure:
            return None
        try:
            self._connection.send(request)
        except OSError:
            return self._fail(self._cause_of_death())
        return self._answer()

    def _answer(self):
        try:
            if not self._connection.poll(LIMIT):
                return self._fail(f"no answer within {LIMIT} s")
            answer = self._connection.recv()
        except (EOFError, OSError):
            return self._fail(self._cause_of_death())
        return self._fail(answer.reason) if isinstance(answer, _Failure) else answer

    def _fail(self, reason: str) -> None:
        self.measured.failure, self.measured.seconds = reason, []
        say(f"  {self.measured.label} failed: {reason}")
        self.kill()

    def _cause_of_death(self) -> str:
        self._process.join(60)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return "its process was killed, by the system if memory ran out"
        return f"its process died of {signal.Signals(-code).name}" if code and code < 0 else f"it ended with {code}"


def _work(connection, contestant: Contestant) -> None:
    """The life of a process: builds, says so, and repeats as often as it is asked to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this one
    os.dup2(2, 1)  # the standard output is for tables
    try:
        work, facts = _built(contestant)
        connection.send(facts)
        while connection.recv() == "repeat":
            began = time.perf_counter()
            work.repetition()
            connection.send(time.perf_counter() - began)
        connection.send({"peak_gb": memory_gb("VmHWM")})
    except (EOFError, BrokenPipeError):  # the parent has gone
        return
    except Exception as error:
        connection.send(_Failure(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"))


def _built(contestant: Contestant) -> tuple[Work, dict[str, Any]]:
    from tf_pix2pix.cli import command
    from tf_pix2pix.cpu.settings import tune_process

    if contestant.tuned:
        tune_process()
    with command.start_up_notes_hidden():
        for module in contestant.imports:
            importlib.import_module(module)
    imported_gb = memory_gb("VmRSS")
    work = contestant.make(**contestant.options)
    return work, {**work.facts, "imported_gb": imported_gb}


def memory_gb(kind: str) -> float:
    """Resident memory of this process, in GB, as Linux counts it: VmRSS, now, or VmHWM, the most that it was."""
    with open("/proc/self/status") as status:
        (kilobytes,) = (line.split()[1] for line in status if line.startswith(f"{kind}:"))
    return int(kilobytes) * 1024 / 1e9


def in_turns(
    contestants: Sequence[Contestant],
    repetitions: int,
    *,
    warm_ups: int = WARM_UPS,
) -> list[Measured]:
    """Runs the contestants against each other; of each name one is measured. One that fails leaves the others alone."""
    workers: list[_Worker] = []
    try:
        for contestant in contestants:
            workers.append(_Worker(contestant))
        say(f"  starting {', '.join(worker.measured.label for worker in workers)}")
        for worker in workers:
            worker.wait_until_built()
        trials = [_round(workers, f"warm-up {number}") for number in range(1, warm_ups + 1)]
        workers = _fastest_of_each_name(workers, trials)
        for number in range(repetitions):
            # There and back, so that none comes always after the same other one.
            order = workers if number % 2 == 0 else workers[::-1]
            for worker, seconds in _round(order, f"{number + 1} of {repetitions}").items():
                worker.measured.seconds.append(seconds)
        for worker in workers:
            worker.finish()
        return [worker.measured for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def _round(workers: Sequence[_Worker], title: str) -> dict[_Worker, float]:
    """Seconds of one repetition of each that has not failed."""
    seconds = {}
    for worker in workers:
        if not worker.measured.failure:
            time.sleep(PAUSE)
            if (value := worker.repeat()) is not None:
                seconds[worker] = value
    say(f"  {title}: {', '.join(f'{worker.measured.label} {value:.4g}' for worker, value in seconds.items())} s")
    return seconds


def _fastest_of_each_name(workers: list[_Worker], trials: list[dict[_Worker, float]]) -> list[_Worker]:
    """By the best of the trials; the others are ended."""

    def best(worker):  # one that failed is the slowest
        failed = worker.measured.failure is not None
        return failed, min((trial[worker] for trial in trials if worker in trial), default=0.0)

    kept: dict[str, _Worker] = {}
    for worker in sorted(workers, key=best):
        if kept.setdefault(worker.measured.name, worker) is not worker:
            worker.kill()
    return [worker for worker in workers if worker in kept.values()]


def once(contestant: Contestant) -> Measured:
    """What needs building only, in a process of its own."""
    (measured,) = in_turns([contestant], 0, warm_ups=0)
    return measured


def say(line: str) -> None:
    """Progress goes to stderr."""
    print(line, file=sys.stderr, flush=True)
