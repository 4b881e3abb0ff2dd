"""Recordings in stores: keys, and the folder in the user's cache directory."""

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.stores import InMemoryByteStore

from langchain_voxtral.audio_store import (
    AudioFolder,
    file_id_of,
    is_file_id,
    open_store,
    read_recordings,
    to_key,
)
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
KEY = f"voxtral-audio-{HASH}"


def test_a_recording_has_the_key_of_its_hash() -> None:
    assert file_id_of(b"test") == f"sha256:{HASH}"
    assert to_key(f"sha256:{HASH}") == KEY


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (f"sha256:{HASH}", True),
        (f"sha256:{HASH}\n", False),
        (f"sha256:{HASH.upper()}", False),
        (f"sha256:{HASH[1:]}", False),
        (f"sha256:{HASH}0", False),
        (f"sha256:../{HASH[3:]}", False),
        (f"SHA256:{HASH}", False),
        (HASH, False),
        (KEY, False),
    ],
)
def test_an_id_is_a_hash_and_nothing_else(text: str, *, is_one: bool) -> None:
    assert is_file_id(text) is is_one


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_what_a_store_returns_may_be_a_view_of_bytes(view: type) -> None:
    store = InMemoryByteStore()
    store.mset([(KEY, view(b"test"))])
    [data] = read_recordings(store, {f"sha256:{HASH}": "x"}).values()
    assert type(data) is bytes
    assert data == b"test"


@pytest.mark.parametrize("values", [[], [b"test", None]])
def test_a_store_that_returns_fewer_or_more_values_than_keys_is_named(
    values: list[bytes | None],
) -> None:
    class Filtering(InMemoryByteStore):
        def mget(self, keys: Sequence[str]) -> list[bytes | None]:
            return values[: len(keys) + 1]

    with pytest.raises(VoxtralInvalidRequestError) as raised:
        read_recordings(Filtering(), {f"sha256:{HASH}": "x"})
    assert str(raised.value) == (
        f"The store (Filtering) returned {len(values)} values for 1 keys: its mget and amget must "
        "return one for each, None where there is none."
    )


@pytest.mark.parametrize(
    ("store", "shown"), [("~/recordings", "'~/recordings'"), ({}, "dict"), (Path(), "PosixPath")]
)
def test_what_is_no_store_is_refused(store: object, shown: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        open_store(store)  # type: ignore[arg-type]
    assert str(raised.value) == (
        "store=: a store of recordings is a BaseStore of langchain_core.stores (LocalFileStore, "
        f"InMemoryByteStore, ...) or 'cache', not {shown}."
    )


def test_the_cache_is_a_folder_beside_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path))
    assert open_store("cache") == AudioFolder(tmp_path / "audio")
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        read_recordings("cache", {f"sha256:{HASH}": "here"})
    assert str(raised.value).startswith(
        f"here: the store ({tmp_path / 'audio'}) has no recording sha256:{HASH}. Put it in again "
    )


def test_a_folder_keeps_replaces_and_removes_what_is_put_in(tmp_path: Path) -> None:
    store = AudioFolder(tmp_path / "new" / "audio")
    assert store.mget(["a"]) == [None]
    assert list(store.yield_keys()) == []
    store.mset([("a", b"1"), ("b", b"2")])
    store.mset([("a", b"3")])
    assert store.mget(["a", "x", "b"]) == [b"3", None, b"2"]
    assert sorted(store.yield_keys()) == ["a", "b"]
    assert list(store.yield_keys(prefix="a")) == ["a"]
    store.mdelete(["a", "x"])
    assert list(store.yield_keys()) == ["b"]


def test_only_the_user_can_read_the_folder(tmp_path: Path) -> None:
    store = AudioFolder(tmp_path / "audio")
    store.mset([(KEY, b"test")])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (store.folder, store.folder / KEY)]
    assert modes == [0o700, 0o600]


def test_a_write_that_fails_leaves_the_earlier_entry_and_nothing_else(tmp_path: Path) -> None:
    store = AudioFolder(tmp_path)
    store.mset([(KEY, b"test")])
    with pytest.raises(TypeError):
        store.mset([(KEY, 7)])  # type: ignore[list-item]
    assert store.mget([KEY]) == [b"test"]
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = AudioFolder(tmp_path / "file")
    for use in (lambda: store.mget([KEY]), lambda: store.mset([(KEY, b"test")])):
        with pytest.raises(VoxtralAudioError) as raised:
            use()
        assert str(raised.value).startswith(
            f"The recordings in {tmp_path / 'file'} cannot be read or written: "
        )
        assert str(raised.value).endswith(
            ". Name a folder of yours in VOXTRAL_CACHE, or give a store as audio_store=."
        )
