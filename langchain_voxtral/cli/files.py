"""The files of a command: recordings that it reads, texts that it writes."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from langchain_core.documents.base import Blob

__all__ = ["STDIN", "Errand", "errands", "readable", "write"]

STDIN = "-"
"""What stands for stdin among the files of a command."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A recording, and where its text goes.

    Args:
        file: The recording, as it stands on the command line.
        target: The file to be written; None is stdout.
    """

    file: str
    target: Path | None

    @property
    def name(self) -> str:
        """What messages call the recording."""
        return "stdin" if self.file == STDIN else self.file


def errands(files: Sequence[str], folder: Path | None, suffix: str) -> list[Errand]:
    """Return what is to be done, one errand for each recording.

    Args:
        files: The recordings.
        folder: Where the texts go, each named after its recording; it is made. None is stdout.
        suffix: The end of the texts' names.

    Raises:
        ValueError: One is a folder, or its text's place is one; two would get in each other's way;
            or the folder cannot be made.
    """
    for file in files:
        if not file:
            raise ValueError("one of the names is empty: name a recording")
        if Path(file).is_dir():
            raise ValueError(
                f"{file} is a folder: name the recordings in it, {Path(file, '*.mp3')}"
            )
    if folder is None:
        return [Errand(file, None) for file in files]
    names = ["stdin" if file == STDIN else Path(file).stem for file in files]
    made = [Errand(file, folder / (name + suffix)) for file, name in zip(files, names, strict=True)]
    _check_targets(made)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return made


def _check_targets(made: Sequence[Errand]) -> None:
    # Some file systems take "A.txt" and "a.txt" for one.
    counts = Counter(str(one.target).casefold() for one in made)
    recordings = {Path(one.file).resolve() for one in made}
    for one in made:
        if (count := counts[str(one.target).casefold()]) > 1:
            raise ValueError(
                f"{count} of the recordings, {one.file} among them, would be written to "
                f"{one.target}: rename them, or use another -o DIR in a run of its own"
            )
        if one.target and one.target.is_dir():
            raise ValueError(f"{one.target} is a folder, and a text is to have this name")
        if one.target and one.target.resolve() in recordings:
            raise ValueError(f"{one.target} is one of the recordings and would be overwritten")


@contextmanager
def readable(errand: Errand) -> "Iterator[str | Blob]":
    """Yield a recording as parsers take it: stdin and pipes, which are read once, from a copy.

    Raises:
        ValueError: It is stdin, which is a terminal.
    """
    if errand.file == STDIN:
        if sys.stdin.isatty():
            raise ValueError("there is no recording on stdin: pipe one in")
        with _copied(sys.stdin.buffer, errand.name) as blob:
            yield blob
    elif _is_pipe(errand.file):
        with Path(errand.file).open("rb") as pipe, _copied(pipe, errand.name) as blob:
            yield blob
    else:
        yield errand.file


def _is_pipe(file: str) -> bool:
    with suppress(OSError):  # the parser will say what is wrong with it
        return Path(file).is_fifo()
    return False


@contextmanager
def _copied(source: BinaryIO, name: str) -> "Iterator[Blob]":
    from langchain_core.documents.base import Blob  # noqa: PLC0415 - takes a second

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "recording"
        with copy.open("wb") as file:
            shutil.copyfileobj(source, file)
        yield Blob(path=copy, metadata={"source": name})


def write(text: str, target: Path | None) -> None:
    """Write a text to stdout, or in UTF-8 to a file: whole or not at all.

    Args:
        text: The text.
        target: The file; None is stdout.

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
