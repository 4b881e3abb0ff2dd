"""Files of the command `transcribe`: recordings that it reads, texts that it writes."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.transcription.progress import escape_control_characters

_STDIN = "-"
"""Names stdin among the files of a command."""


@dataclass(frozen=True, slots=True)
class TranscribeTask:
    """A recording, as it stands on the command line, and the file to write; None is stdout."""

    file: str
    target: Path | None

    @property
    def name(self) -> str:
        """What messages call the recording."""
        return "stdin" if self.file == _STDIN else self.file

    def title(self, *, is_first: bool) -> str:
        """Return what goes before the text among others on stdout, as `head` has it."""
        if self.target is not None:
            return ""
        line = f"==> {escape_control_characters(self.name)} <==\n"
        return line if is_first else f"\n{line}"


def plan_outputs(files: Sequence[str], folder: Path | None, suffix: str) -> list[TranscribeTask]:
    """Return a task for each recording, and make the folder of the texts.

    Args:
        files: The recordings.
        folder: Where the texts go, each named after its recording; None is stdout.
        suffix: The end of the texts' names.

    Raises:
        UsageError: A recording or the place of a text is a folder, two texts would have the same
            place, or the folder cannot be made or written.
    """
    for file in files:
        if not file:
            raise UsageError("one of the names is empty: name a recording")
        if Path(file).is_dir():
            raise UsageError(
                f"{file} is a folder: name the recordings in it, {Path(file, '*.mp3')}"
            )
    if folder is None:
        return [TranscribeTask(file, None) for file in files]
    stems = ["stdin" if file == _STDIN else Path(file).stem for file in files]
    tasks = [
        TranscribeTask(file, folder / (stem + suffix))
        for file, stem in zip(files, stems, strict=True)
    ]
    _check_targets(tasks)
    make_folder(folder, "-o")
    return tasks


def make_folder(folder: Path, flag: str, mode: int = 0o777) -> None:
    """Make a folder, if it is not there.

    Raises:
        UsageError: It cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{flag}: the folder {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{flag}: nothing can be written to the folder {folder}")


def _check_targets(tasks: Sequence[TranscribeTask]) -> None:
    # Some file systems take "A.txt" and "a.txt" for one.
    counts = Counter(str(task.target).casefold() for task in tasks)
    recordings = {Path(task.file).resolve() for task in tasks}
    for task in tasks:
        if (count := counts[str(task.target).casefold()]) > 1:
            raise UsageError(
                f"{count} of the recordings, {task.file} among them, would be written to "
                f"{task.target}: rename them, or use another -o DIR in a run of its own"
            )
        if task.target and task.target.is_dir():
            raise UsageError(f"{task.target} is a folder, and a text is to have this name")
        if task.target and task.target.resolve() in recordings:
            raise UsageError(f"{task.target} is one of the recordings and would be overwritten")


def open_recording(task: TranscribeTask) -> AudioSource:
    """Return the bytes of a recording; stdin and pipes, which are read once, are copied.

    Raises:
        UsageError: It is stdin, which is closed or a terminal.
        VoxtralError: It is a URL, or a pipe that cannot be read.
    """
    from langchain_voxtral.transcription.source import (  # noqa: PLC0415 - takes a second
        open_source,
    )

    if task.file != _STDIN:
        return open_source(task.file)[0]
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("there is no recording on stdin: pipe one in")
    return AudioSource(sys.stdin.buffer, name=task.name)


def check_readable(task: TranscribeTask) -> str | None:
    """Return what is wrong with the file of a recording, None if it can be read."""
    if task.file == _STDIN or "://" in task.file:
        return None
    path = Path(task.file)
    try:
        if stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for who writes to it
            path.open("rb").close()
    except OSError as error:
        return f"{task.file} cannot be read: {error.strerror}."
    return None


def write_text(text: str, target: Path | None) -> None:
    """Write a text to stdout, or in UTF-8 to a file: completely or not at all.

    Raises:
        ValueError: The file cannot be written.
    """
    if target is None:
        print(text, end="", flush=True)
        return
    part = target.with_name(target.name + ".part")
    try:
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}") from error
