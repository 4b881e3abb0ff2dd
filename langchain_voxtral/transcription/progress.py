"""Progress of a transcription: a bar, lines, or the caller's own function."""

import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TextIO

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s [{elapsed}<{remaining}]"
_BAR_WITHOUT_TOTAL = "{desc}: {n:.0f} s [{elapsed}]"
_TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the transcription of one recording has come.

    The totals are estimated from the length that the file states. They are None if it states
    none, and exact in the last report.

    Args:
        source: The recording's name.
        done: Chunks that are finished, including those from the store and those that failed.
        total: Chunks of the recording.
        seconds: Seconds of audio that are finished.
        duration: Seconds of the recording.
    """

    source: str
    done: int
    total: int | None
    seconds: float
    duration: float | None


ProgressCallback = Callable[[Progress], object]


@contextmanager
def progress_reporter(
    progress: bool | ProgressCallback | None,  # noqa: FBT001 - the setting as it was given
    *,
    is_beside_text: bool = False,
) -> Iterator[ProgressCallback]:
    """Yield the function to call before the first chunk and after each.

    Args:
        progress: True for a bar on stderr, or in the output of a notebook's cell (lines without
            tqdm), False for nothing, None for a bar in terminals and notebooks only; or the
            function itself.
        is_beside_text: Whether the text is shown as it comes: a bar would stand in between.
    """
    if is_beside_text and progress is None:
        progress = False
    if callable(progress):
        yield progress
    elif _has_bar(progress):
        with _bar() as bar:
            yield bar
    else:
        yield lambda _: None


def prepare_progress(progress: bool | ProgressCallback | None) -> None:  # noqa: FBT001 - the setting as it was given
    """Import what `progress_reporter` needs from the disk: in a thread, where a loop runs."""
    if _has_bar(progress):
        _import_tqdm()


def _has_bar(progress: bool | ProgressCallback | None) -> bool:  # noqa: FBT001 - the same
    return not callable(progress) and (progress or (progress is None and _is_interactive()))


def escape_control_characters(line: str) -> str:
    """Return a line with its control characters escaped, so that no terminal obeys them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _is_interactive() -> bool:
    # A process without a console has no stderr.
    return (sys.stderr is not None and sys.stderr.isatty()) or _is_notebook()


def _is_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython else None, "kernel")


def _output() -> TextIO | None:
    """Return where progress is shown: a notebook shows stderr as if something had failed."""
    return sys.stdout if _is_notebook() else sys.stderr


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    tqdm = _import_tqdm()
    if tqdm is None:
        yield _print_line
        return
    bars: list[Any] = []
    with ExitStack() as stack:

        def update(progress: Progress) -> None:
            total = progress.duration
            if not bars:
                layout = _BAR_WITHOUT_TOTAL if total is None else _BAR
                name, output = _file_name(progress), _output()
                bar = tqdm(total=total, desc=name, unit="s", bar_format=layout, file=output)
                bars.append(stack.enter_context(closing(bar)))
                if output is not None and output.isatty():  # in a file each tick would be a line
                    stack.enter_context(_ticking(bar))
            bars[0].total = total
            bars[0].update(progress.seconds - bars[0].n)

        yield update


@contextmanager
def _ticking(bar: Any) -> Iterator[None]:
    """Draw the bar's clock anew while a chunk takes its time; tqdm itself waits for the next."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(_TICK_SECONDS):
            bar.refresh()

    thread = threading.Thread(target=tick, name="voxtral-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _import_tqdm() -> Any:
    """Return the class of bars; None without tqdm."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm warns if a notebook has no widgets
            return importlib.import_module("tqdm.auto").tqdm
    except ImportError:
        return None


def _print_line(progress: Progress) -> None:
    """Write a whole line at once: other threads may write theirs."""
    if (output := _output()) is not None:
        of_all = "" if progress.duration is None else f" of {progress.duration:.0f}"
        output.write(f"{_file_name(progress)}: {progress.seconds:.0f}{of_all} s\n")


def _file_name(progress: Progress) -> str:
    return escape_control_characters(PurePath(progress.source).name or progress.source)
