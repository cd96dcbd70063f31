"""The output folder of a command: apart from the input, resumable, with complete files only."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_pix2pix import files, images
from tf_pix2pix.datasets import RECORD, shards
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.threads import map_in_threads


@dataclass(frozen=True)
class Job:
    """Files made from other files.

    Attributes:
      sources: the files that are read.
      targets: the files that are written.
      make: called with the targets; writes each of them atomically.
      again: run the job even if the targets exist.
    """

    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    make: Callable[[tuple[Path, ...]], None]
    again: bool = False


def check_apart(output: Path, folders: Sequence[Path], jobs: Sequence[Job]) -> None:
    """Raises InputError if the output folder is, contains or lies in an input folder, also by links."""
    real_output = output.resolve()
    for folder in folders:
        real = folder.resolve()
        if real_output == real or real in real_output.parents or real_output in real.parents:
            raise InputError(f"--output={output}: overlaps with the input {folder}; choose another folder")
    sources = [source for job in jobs for source in job.sources]
    real_folders = {folder.resolve() for folder in {source.parent for source in sources}}
    real_folders |= {source.resolve().parent for source in sources if source.is_symlink()}
    if overlaps := [real for real in real_folders if real_output == real or real_output in real.parents]:
        raise InputError(f"--output={output}: contains images of the input in {overlaps[0]}; choose another folder")
    for folder in {target.parent for job in jobs for target in job.targets}:
        if not folder.resolve().is_relative_to(real_output):
            raise InputError(f"--output={output}: the link {folder} leads out of it; choose another folder")


def run_jobs(
    jobs: Sequence[Job],
    output: Path,
    *,
    record: dict[str, Any],  # the command and its settings in JSON types; only the same record resumes
    overwrite: bool,  # start again, in place of the files of an earlier command
) -> None:
    """Runs the jobs that are not done yet on all cores, with a progress bar.

    A job is done if its targets exist and are no older than its sources. If some jobs fail, the results of the others
    stay.

    Raises:
      InputError: the folder contains other files, or some jobs failed; up to 20 are named.
    """
    files.check_writable(output, "--output")
    if not overwrite:
        _check_resumable(output, jobs, record)
    elif _has_files(output) and not _read_record(output):
        raise InputError(
            f"--output={output}: not made by pix2pix prepare, so --overwrite is refused; choose another folder"
        )
    with files.locked(output, "writes to", "--output"):
        if overwrite:
            _clear(output)
        _write_record(output, record, finished=False)
        todo = [job for job in jobs if job.again or not _is_done(job)]
        if len(todo) < len(jobs):
            print(f"{len(jobs) - len(todo)} of {len(jobs)} were done before; --overwrite repeats them")
        if failed := [error for error in map_in_threads(_attempt, todo, "writing", "file") if error]:
            advice = "repair or remove these files and run the same command again to finish"
            raise InputError(f"{len(failed)} of {len(jobs)} failed: {format_list(failed, '; ')}; {advice}")
        _write_record(output, record, finished=True)


def _attempt(job: Job) -> str | None:
    """Runs a job and returns its error, if any."""
    try:
        for target in job.targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        job.make(job.targets)
        return None
    except InputError as error:
        return str(error)


def _is_done(job: Job) -> bool:
    if not all(target.exists() for target in job.targets):
        return False
    try:
        newest = max(source.stat().st_mtime_ns for source in job.sources)
    except OSError:  # the job reports it
        return False
    return newest <= min(target.stat().st_mtime_ns for target in job.targets)


def _check_resumable(output: Path, jobs: Sequence[Job], record: dict[str, Any]) -> None:
    """Raises InputError if the folder contains anything that this command would not make."""
    if not _has_files(output):
        return
    advice = "choose another folder, or replace its files with --overwrite"
    before = _read_record(output)
    if not before:
        raise InputError(f"--output={output}: not empty; choose another folder")
    if before != record:
        raise InputError(f"--output={output}: made by another command, see {output / RECORD}; {advice}")
    planned = {target for job in jobs for target in job.targets}
    own = {RECORD, shards.INDEX}
    if others := [path for path in _made_files(output) if path not in planned and path.name not in own]:
        raise InputError(
            f"--output={output}: contains {format_list(others)}, which this input does not produce; {advice}"
        )


def _clear(output: Path) -> None:
    """Removes the files of an earlier command; if this is interrupted, the folder counts as unfinished."""
    if before := _read_record(output):
        _write_record(output, before, finished=False)
    for path in _made_files(output):
        if path.name != RECORD:
            path.unlink()


def _has_files(output: Path) -> bool:
    return output.is_dir() and any(not path.name.startswith(".") for path in output.iterdir())


def _made_files(output: Path) -> Iterator[Path]:
    """The files in the folder of the kinds that commands make; links to folders are not followed."""
    for folder, _, names in os.walk(output):
        for name in names:
            if name in (RECORD, shards.INDEX) or Path(name).suffix.lower() in (*images.EXTENSIONS, shards.EXTENSION):
                yield Path(folder, name)


def _read_record(output: Path) -> dict[str, Any]:
    """The record of the command that made the folder; empty if none of these commands did."""
    try:
        before = dict(json.loads((output / RECORD).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
    before.pop("finished", None)
    return before if "command" in before else {}


def _write_record(output: Path, record: dict[str, Any], finished: bool) -> None:
    with files.atomic_write(output / RECORD) as partial:
        partial.write_text(json.dumps({**record, "finished": finished}, indent=2) + "\n")
