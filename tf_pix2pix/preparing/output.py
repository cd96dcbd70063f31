"""The folder that a command fills: never the input's, whole files only, and gone on with where it was stopped."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tf_pix2pix import files, images
from tf_pix2pix.datasets import RECORD, shards
from tf_pix2pix.errors import InputError, format_list


@dataclass(frozen=True)
class Job:
    """Files made of other files: make(targets) writes each whole or not at all (files.atomic_write)."""

    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    make: Callable[[tuple[Path, ...]], None]
    again: bool = False  # do it even if the targets are there


def check_apart(output: Path, folders: Sequence[Path], jobs: Sequence[Job]) -> None:
    """Raises InputError where the output folder is one of the input, inside it or around it, by whatever links."""
    real_output = output.resolve()
    for folder in folders:
        real = folder.resolve()
        if real_output == real or real in real_output.parents or real_output in real.parents:
            raise InputError(f"--output={output} and the input {folder} lie in each other; choose another folder")
    sources = [source for job in jobs for source in job.sources]
    real_folders = {folder.resolve() for folder in {source.parent for source in sources}}
    real_folders |= {source.resolve().parent for source in sources if source.is_symlink()}
    if meeting := [real for real in real_folders if real_output == real or real_output in real.parents]:
        raise InputError(f"--output={output} holds pictures of the input, in {meeting[0]}; choose another folder")
    for folder in {target.parent for job in jobs for target in job.targets}:
        if not folder.resolve().is_relative_to(real_output):
            raise InputError(f"{folder} is a link that leads out of --output={output}; choose another folder")


def carry_out(
    jobs: Sequence[Job],
    output: Path,
    *,
    record: dict[str, Any],  # the command and its settings, as JSON has them: the same record goes on
    overwrite: bool,  # do everything again that a command has put there
) -> None:
    """Does the jobs that are not done yet, by as many threads as there are cores, with a progress bar.

    A job is done when its targets are there and no older than its sources. What has been done stays when others fail.

    Raises:
      InputError: the folder has other things in it, or some jobs could not be done; up to 20 are named.
    """
    files.check_writable(output, "--output")
    if not overwrite:
        _check_resumable(output, jobs, record)
    elif _is_filled(output) and not _read_record(output):
        raise InputError(f"{output} was not made by this command, which replaces only its own; choose another --output")
    with files.locked(output, "writes to", "--output"):
        if overwrite:
            _clear(output)
        _write_record(output, record, finished=False)
        todo = [job for job in jobs if job.again or not _is_done(job)]
        if len(todo) < len(jobs):
            print(f"{len(jobs) - len(todo)} of {len(jobs)} were done before; --overwrite does them again")
        failed = _do_all(todo)
        if failed:
            raise InputError(
                f"{len(failed)} of {len(jobs)} could not be done: {format_list(failed, '; ')}. Mend or remove these, then "
                "the same command goes on"
            )
        _write_record(output, record, finished=True)


def _do_all(jobs: Sequence[Job]) -> list[str]:
    """What is wrong with the jobs that failed."""

    def attempt(job: Job) -> str | None:
        try:
            for target in job.targets:
                target.parent.mkdir(parents=True, exist_ok=True)
            job.make(job.targets)
        except InputError as error:
            return str(error)

    failed = []
    at_once = 64 * (os.cpu_count() or 1)  # enough for every thread, few enough to stop soon
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(jobs), unit="file", disable=None) as bar:
        for start in range(0, len(jobs), at_once):
            for error in pool.map(attempt, jobs[start : start + at_once]):
                bar.update()
                if error:
                    failed.append(error)
    return failed


def _is_done(job: Job) -> bool:
    if not all(target.exists() for target in job.targets):
        return False
    try:
        newest = max(source.stat().st_mtime_ns for source in job.sources)
    except OSError:  # the job will say it
        return False
    return newest <= min(target.stat().st_mtime_ns for target in job.targets)


def _check_resumable(output: Path, jobs: Sequence[Job], record: dict[str, Any]) -> None:
    """Raises InputError where the folder has anything in it but what this very command would make."""
    if not _is_filled(output):
        return
    ways_out = "choose another --output, or replace it with --overwrite"
    before = _read_record(output)
    if not before:
        raise InputError(f"{output} is not empty; choose another --output")
    if before != record:
        raise InputError(f"{output} was made by another command, that in {output / RECORD}; {ways_out}")
    planned = {target for job in jobs for target in job.targets}
    own = {RECORD, shards.INDEX}
    if strange := [path for path in _made(output) if path not in planned and path.name not in own]:
        raise InputError(
            f"{output} has files that the input, as it is now, would not give: {format_list(strange)}; {ways_out}"
        )


def _clear(output: Path) -> None:
    """Removes what was made before; stopped half-way, what is left counts as unfinished."""
    if before := _read_record(output):
        _write_record(output, before, finished=False)
    for path in _made(output):
        if path.name != RECORD:
            path.unlink()


def _is_filled(output: Path) -> bool:
    return output.is_dir() and any(not path.name.startswith(".") for path in output.iterdir())


def _made(output: Path) -> Iterator[Path]:
    """The files in the folder of the kinds that commands make; links to folders are not followed."""
    for folder, _, names in os.walk(output):
        for name in names:
            if name in (RECORD, shards.INDEX) or Path(name).suffix.lower() in (*images.EXTENSIONS, shards.EXTENSION):
                yield Path(folder, name)


def _read_record(output: Path) -> dict[str, Any]:
    """What made the folder; nothing where that was no command of ours."""
    try:
        before = dict(json.loads((output / RECORD).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
    before.pop("finished", None)
    return before if "command" in before else {}


def _write_record(output: Path, record: dict[str, Any], finished: bool) -> None:
    with files.atomic_write(output / RECORD) as beside:
        beside.write_text(json.dumps({**record, "finished": finished}, indent=2) + "\n")
