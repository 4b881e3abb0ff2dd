"""How far a transcription has come: a bar, a line, or the caller's own function."""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Progress", "Shown", "shown"]


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
    """Yield what to call with each step.

    Args:
        wanted: True for a bar on stderr (by tqdm if that is installed, else a line), False for
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


def _nothing(_: Progress) -> None:
    pass


def _someone_looks() -> bool:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")  # as that of a notebook has


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
            bars.append(tqdm(total=progress.total, desc=progress.source, unit="chunk"))
        bars[0].update(progress.done - bars[0].n)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()


def _line(progress: Progress) -> None:
    end = "\n" if progress.done == progress.total else ""
    sys.stderr.write(f"\r{progress.source}: {progress.done} of {progress.total} chunks{end}")
    sys.stderr.flush()
