"""Recordings in a store, each under its hash, so that a message can name one without holding it.

Whoever writes messages can name only what was put in: an id is a hash and nothing else, its key is
made of it here, and what a store returns must have that hash.
"""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from langchain_core.stores import BaseStore
from pydantic import BeforeValidator

from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.user_cache import cache_dir

ByteStore = BaseStore[str, bytes]


def _check_store(store: object) -> object:
    if store == "cache" or isinstance(store, BaseStore):
        return store
    shown = repr(store) if isinstance(store, str) else type(store).__name__
    raise ValueError(
        "a store of recordings is a BaseStore of langchain_core.stores (LocalFileStore, "
        f"InMemoryByteStore, ...) or 'cache', not {shown}"
    )


AudioStore = Annotated[ByteStore | Literal["cache"], BeforeValidator(_check_store)]
"""Where recordings are; `"cache"` is a folder in the user's cache directory."""

_SCHEME = "sha256:"
_FILE_ID = re.compile(rf"{_SCHEME}[0-9a-f]{{64}}")
_KEY_PREFIX = "voxtral-audio-"
"""No transcript, which may be in the same store, has such a key."""


def file_id_of(data: bytes) -> str:
    """Return the id of a recording."""
    return f"{_SCHEME}{hashlib.sha256(data).hexdigest()}"


def is_file_id(text: str) -> bool:
    """Return whether a text is the id of a recording."""
    return _FILE_ID.fullmatch(text) is not None


def is_like_file_id(text: str) -> bool:
    """Return whether a text is meant as the id of a recording."""
    return text.lower().startswith(_SCHEME)


def to_key(file_id: str) -> str:
    """Return the key of a recording in a store; file stores take it as a name."""
    return f"{_KEY_PREFIX}{file_id.removeprefix(_SCHEME)}"


def open_store(store: AudioStore) -> ByteStore:
    """Return the store that is meant.

    Raises:
        VoxtralInvalidRequestError: It is none.
    """
    try:
        _check_store(store)
    except ValueError as error:
        raise VoxtralInvalidRequestError(f"store=: {error}.") from None
    return AudioFolder(cache_dir() / "audio") if store == "cache" else store


def read_recordings(store: AudioStore | None, places: Mapping[str, str]) -> dict[str, bytes]:
    """Return recordings by their ids.

    Args:
        store: Where they are.
        places: What is asked for, by id: where in the messages it is named, for errors.

    Raises:
        VoxtralInvalidRequestError: There is no store, or a recording is missing or damaged.
    """
    if not places:
        return {}
    opened = _require_store(store, places)
    return _check_entries(opened, places, opened.mget([*map(to_key, places)]))


async def aread_recordings(store: AudioStore | None, places: Mapping[str, str]) -> dict[str, bytes]:
    """Do what `read_recordings` does; neither reading nor checking blocks the event loop."""
    if not places:
        return {}
    opened = _require_store(store, places)
    entries = await opened.amget([*map(to_key, places)])  # in a thread, if only `mget` is its own
    return await asyncio.to_thread(_check_entries, opened, places, entries)


def _require_store(store: AudioStore | None, places: Mapping[str, str]) -> ByteStore:
    if store is not None:
        return open_store(store)
    file_id, place = next(iter(places.items()))
    raise VoxtralInvalidRequestError(
        f"{place}: the recording is named by its id ({file_id}), and there is no store to read it "
        "from: give the store that it was put into as audio_store=."
    )


def _check_entries(
    store: ByteStore, places: Mapping[str, str], entries: Iterable[object]
) -> dict[str, bytes]:
    found = [*entries]
    shown = store.folder if isinstance(store, AudioFolder) else type(store).__name__
    if len(found) != len(places):
        raise VoxtralInvalidRequestError(
            f"The store ({shown}) returned {len(found)} values for {len(places)} keys: its mget "
            "and amget must return one for each, None where there is none."
        )
    checked = {}
    for (file_id, place), entry in zip(places.items(), found, strict=True):
        if entry is None:
            raise VoxtralInvalidRequestError(
                f"{place}: the store ({shown}) has no recording {file_id}. {_PUT_AGAIN}"
            )
        # Some databases return a view of their bytes.
        data = bytes(entry) if isinstance(entry, bytes | bytearray | memoryview) else None
        if data is None or file_id_of(data) != file_id:
            raise VoxtralInvalidRequestError(
                f"{place}: what the store ({shown}) holds as {file_id} is another file, or is "
                f"damaged. {_PUT_AGAIN}"
            )
        checked[file_id] = data
    return checked


_PUT_AGAIN = (
    "Put it in again (audio_block(path, store=...) with the same store), or take its block out of "
    "the messages."
)


@dataclass(frozen=True)
class AudioFolder(ByteStore):
    """A store in a folder, which only the user can read. Nothing is deleted from it by itself.

    Args:
        folder: It need not exist.
        contents: What it holds, for errors.
        advice: What to do if it cannot be used.
    """

    folder: Path
    contents: str = "recordings"
    advice: str = "Name a folder of yours in VOXTRAL_CACHE, or give a store as audio_store=."

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, None for those that are not there."""
        with self._naming_errors():
            return [self._read(key) for key in keys]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write values, each at once as a whole."""
        with self._naming_errors():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for key, value in key_value_pairs:
                with tempfile.TemporaryDirectory(dir=self.folder) as own:
                    written = Path(own) / key
                    written.write_bytes(value)
                    written.chmod(0o600)
                    written.replace(self.folder / key)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove values."""
        with self._naming_errors():
            for key in keys:
                (self.folder / key).unlink(missing_ok=True)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield all keys that begin so."""
        for path in self.folder.glob("*"):
            if path.is_file() and path.name.startswith(prefix or ""):
                yield path.name

    def _read(self, key: str) -> bytes | None:
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise VoxtralAudioError(
                f"The {self.contents} in {self.folder} cannot be read or written: {reason}. "
                f"{self.advice}"
            ) from error
