"""Measures contestants in turns: each runs in its own process, and all do one repetition after another.

Separate processes keep the thread pools and allocators of TensorFlow and PyTorch apart. Turns spread the other load of
the machine evenly over the contestants. A waiting process blocks on its pipe and uses no CPU.
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

WARM_UPS = 3  # uncounted repetitions at the start
PAUSE = 0.05  # seconds between turns, until the threads of the previous process stop spinning
TIMEOUT = 3600  # seconds for one answer of a process


@dataclass(frozen=True)
class Work:
    """What a process repeats and reports."""

    repetition: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)  # results other than times


@dataclass(frozen=True)
class Contestant:
    """One row of a table. Among contestants of the same name, only the fastest in the warm-up goes on."""

    name: str
    make: Callable[..., Work]  # a function of contestants.py; the process calls it
    options: dict[str, Any]  # arguments of `make`
    imports: tuple[str, ...]  # modules imported before memory is first measured
    tuned: bool = False  # apply the process settings of tf_pix2pix's commands
    variant: str = ""  # tells contestants of the same name apart


@dataclass
class Measured:
    """The measurements of one contestant."""

    name: str
    variant: str = ""
    seconds: list[float] = field(default_factory=list)  # one value per repetition
    facts: dict[str, Any] = field(default_factory=dict)  # those of Work; imported_gb and peak_gb, the memory;
    # cpu_seconds of all threads, one value per repetition and warm-up
    failure: str | None = None  # the reason; `seconds` is empty then

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


@dataclass(frozen=True)
class _Failure:
    """Reports in one line why a process stopped."""

    reason: str


class _Worker:
    """The process of a contestant and its measurements so far."""

    def __init__(self, contestant: Contestant):
        self.measured = Measured(contestant.name, contestant.variant)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, contestant))
        self._process.start()
        theirs.close()  # so that the pipe closes when the process ends

    def wait_until_built(self) -> None:
        self.measured.facts.update(self._answer() or {})

    def repeat(self) -> float | None:
        """Runs one repetition. Returns its seconds, or None if the process has failed."""
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
            if not self._connection.poll(TIMEOUT):
                return self._fail(f"no answer within {TIMEOUT} s")
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
            return "process killed; the system does this when memory runs out"
        return f"process ended by {signal.Signals(-code).name}" if code and code < 0 else f"process exited with {code}"


def _work(connection, contestant: Contestant) -> None:
    """The main function of a process: builds the work, reports, and repeats it on request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    os.dup2(2, 1)  # stdout is for tables only
    try:
        work, facts = _build(contestant)
        connection.send(facts)
        cpu_seconds = []
        while connection.recv() == "repeat":
            began, cpu_began = time.perf_counter(), time.process_time()
            work.repetition()
            cpu_seconds.append(time.process_time() - cpu_began)
            connection.send(time.perf_counter() - began)
        connection.send({"peak_gb": memory_gb("VmHWM"), "cpu_seconds": cpu_seconds})
    except (EOFError, BrokenPipeError):  # the parent has ended
        return
    except Exception as error:
        connection.send(_Failure(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"))


def _build(contestant: Contestant) -> tuple[Work, dict[str, Any]]:
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
    """Resident memory of this process in GB, as Linux counts it: VmRSS (current) or VmHWM (peak)."""
    with open("/proc/self/status") as status:
        (kilobytes,) = (line.split()[1] for line in status if line.startswith(f"{kind}:"))
    return int(kilobytes) * 1024 / 1e9


def in_turns(
    contestants: Sequence[Contestant],
    repetitions: int,
    *,
    warm_ups: int = WARM_UPS,
) -> list[Measured]:
    """Measures all contestants, and the fastest of those that share a name. A failing one does not stop the others."""
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
            # Every other round is reversed, so that no contestant always follows the same one.
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
    """Runs one repetition of each contestant that has not failed. Returns the seconds."""
    seconds = {}
    for worker in workers:
        if not worker.measured.failure:
            time.sleep(PAUSE)
            if (value := worker.repeat()) is not None:
                seconds[worker] = value
    say(f"  {title}: {', '.join(f'{worker.measured.label} {value:.4g}' for worker, value in seconds.items())} s")
    return seconds


def _fastest_of_each_name(workers: list[_Worker], trials: list[dict[_Worker, float]]) -> list[_Worker]:
    """Keeps the worker with the best trial of each name and ends the others."""

    def best(worker):  # failed workers come last
        failed = worker.measured.failure is not None
        return failed, min((trial[worker] for trial in trials if worker in trial), default=0.0)

    kept: dict[str, _Worker] = {}
    for worker in sorted(workers, key=best):
        if kept.setdefault(worker.measured.name, worker) is not worker:
            worker.kill()
    return [worker for worker in workers if worker in kept.values()]


def once(contestant: Contestant) -> Measured:
    """Builds a contestant in its own process, without repetitions."""
    (measured,) = in_turns([contestant], 0, warm_ups=0)
    return measured


def say(line: str) -> None:
    """Prints progress to stderr."""
    print(line, file=sys.stderr, flush=True)
