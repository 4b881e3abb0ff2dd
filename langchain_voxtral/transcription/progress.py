"""How far a transcription has come: a bar, lines, or the caller's own function."""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

__all__ = ["Progress", "Shown", "printable", "shown"]

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s [{elapsed}<{remaining}]"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the transcription of one recording has come.

    Args:
        source: What the recording is called.
        done: Chunks that are through, those from the store and those marked as failed included.
        total: Chunks that there are.
        seconds: Seconds of the recording that are through.
        duration: Seconds that there are.
    """

    source: str
    done: int
    total: int
    seconds: float
    duration: float


Shown = Callable[[Progress], object]


@contextmanager
def shown(wanted: bool | Shown | None) -> Iterator[Shown]:  # noqa: FBT001 - the setting as it was given
    """Yield what to call before the first step, and with each.

    Args:
        wanted: True for a bar on stderr (by tqdm if that is installed, else lines), False for
            nothing, None for a bar only where someone looks: in a terminal or a notebook. Or a
            function, which is called itself.
    """
    if callable(wanted):
        yield wanted
    elif wanted or (wanted is None and _someone_looks()):
        with _bar() as bar:
            yield bar
    else:
        yield _nothing


def printable(line: str) -> str:
    r"""Return a line with its control characters spelt out, so that no terminal obeys them.

    Example:
        ```python
        from langchain_voxtral.transcription.progress import printable

        assert printable("\N{ESCAPE}[1mtalk.mp3") == r"\x1b[1mtalk.mp3"
        ```
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _nothing(_: Progress) -> None:
    pass


def _someone_looks() -> bool:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    # A process without a console has no stderr; the shell of a notebook has a kernel.
    return (sys.stderr is not None and sys.stderr.isatty()) or hasattr(shell, "kernel")


@contextmanager
def _bar() -> Iterator[Shown]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of widgets that a notebook lacks; text does as well
            tqdm = importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        yield _line
        return
    bars: list[Any] = []

    def update(progress: Progress) -> None:
        if not bars:
            name = _name(progress)
            bars.append(tqdm(total=progress.duration, desc=name, unit="s", bar_format=_BAR))
        bars[0].update(progress.seconds - bars[0].n)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()


def _line(progress: Progress) -> None:
    """Write a line of its own, for recordings in other threads write theirs."""
    if sys.stderr is not None:
        sys.stderr.write(
            f"{_name(progress)}: {progress.seconds:.0f} of {progress.duration:.0f} s\n"
        )


def _name(progress: Progress) -> str:
    return printable(PurePath(progress.source).name or progress.source)
