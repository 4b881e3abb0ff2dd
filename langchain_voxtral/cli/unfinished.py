"""What is kept of transcriptions that are not finished, so that the next run goes on."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from langchain_voxtral.audio_store import AudioFolder, ByteStore
from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.console import Report
from langchain_voxtral.cli.files import make_folder
from langchain_voxtral.user_cache import cache_dir

_ADVICE = "Name another folder with --store, or give --no-store."


class UnfinishedStore(ByteStore):
    """Texts of chunks in a folder, until the recording that they belong to is finished."""

    def __init__(self, folder: Path) -> None:
        self._files = AudioFolder(folder, "transcripts", _ADVICE)
        self._keys: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no earlier run has left anything."""
        return next(self.yield_keys(prefix="voxtral-"), None) is None

    def begin_recording(self) -> None:
        """Begin with the next recording; what was kept of the last one stays."""
        self._keys.clear()

    def end_recording(self) -> None:
        """Delete what was kept of a recording, whose text is written."""
        self._files.mdelete(sorted(self._keys))

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for those that are not there."""
        self._keys.update(keys)
        return self._files.mget(keys)

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write values."""
        self._keys.update(key for key, _ in key_value_pairs)
        self._files.mset(key_value_pairs)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove values."""
        self._files.mdelete(keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield all keys that begin so."""
        return self._files.yield_keys(prefix=prefix)


def default_folder() -> Path:
    """Return the folder of --store where none is given."""
    return cache_dir() / "transcripts"


def open_unfinished(arguments: argparse.Namespace, report: Report) -> UnfinishedStore | None:
    """Return the store of --store; None with --no-store, or without a place for it.

    Raises:
        UsageError: The folder that --store names cannot be used.
    """
    if arguments.no_store:
        return None
    folder = arguments.store or default_folder()
    try:
        make_folder(folder, "--store", 0o700)
    except UsageError as error:
        if arguments.store is not None:
            raise
        report(f"{error}: a run that is stopped will begin anew (--no-store says so).")
        return None
    return UnfinishedStore(folder)
