"""Runs of transcription: in parallel, failing, killed and begun again, within a budget."""

import asyncio
import pickle
import threading
import weakref
from collections.abc import Generator
from contextlib import aclosing
from dataclasses import astuple
from typing import Any

import httpx
import pytest
import recordings
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr
from replies import json_reply
from scripted_server import Gate, Reply, ScriptedServer
from unit_tests.spoken import BOUNDS, KEY, LONG, MODEL, PARSES, SHORT, form_of, heard, parser_of

from langchain_voxtral import VoxtralTranscriptionLoader, VoxtralTranscriptionParser
from langchain_voxtral.audio.errors import VoxtralAudioError
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)
from langchain_voxtral.transcribing.order import ain_order, in_order
from langchain_voxtral.transcribing.progress import Progress

BUSY = json_reply({"error": {"message": "Model busy, retry later"}}, status=429)
WHERE = "chunk 2 of 3 \\(9.8 s to 19.9 s\\)"
SOUND = LONG[44:]
"""What the chunks are pieces of, one after the other."""


def place_of(sound: bytes) -> int:
    """Return which chunk this is, by its sound."""
    starts = [round(start * 32_000) for start, _ in BOUNDS]
    return starts.index(SOUND.index(sound[44:]))


# Order and parallel work


@pytest.mark.parametrize("way", PARSES)
def test_chunks_are_asked_for_at_once_and_come_back_in_order(way: str) -> None:
    gates = [Gate(), Gate(), Gate()]
    bodies = [heard(text).body or b"" for text in "ABC"]
    script = [Reply(steps=(gate, body)) for gate, body in zip(gates, bodies, strict=True)]
    with ScriptedServer(*script) as server:

        def answer_the_last_first() -> None:
            server.await_requests(3)
            for gate in reversed(gates):
                gate.open()

        answering = threading.Thread(target=answer_the_last_first)
        answering.start()
        made = PARSES[way](parser_of(server, chunk_seconds=11, mode="chunk"), LONG)
        answering.join()
    came = [place_of(form_of(seen)[1][3]) for seen in server.requests]
    assert sorted(came) == [0, 1, 2]
    assert [one.page_content for one in made] == ["ABC"[came.index(place)] for place in range(3)]


class Thing:
    """Something whose end can be seen."""

    def __init__(self, number: int) -> None:
        self.number = number


def things(count: int, most_alive: list[int]) -> Generator[Thing]:
    """Yield things, and note how many are alive whenever one more was made."""
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    for number in range(count):
        thing = Thing(number)
        alive.add(thing)
        most_alive.append(len(alive))
        yield thing
        del thing


def test_no_more_things_are_alive_than_are_worked_on_and_one() -> None:
    most_alive: list[int] = []
    barrier = threading.Barrier(3)

    def work(thing: Thing) -> int:
        barrier.wait(10)
        return thing.number

    assert [*in_order(things(12, most_alive), work, 3)] == [*range(12)]
    assert max(most_alive) <= 4


async def test_no_more_things_are_alive_on_the_event_loop_either() -> None:
    most_alive: list[int] = []
    barrier = asyncio.Barrier(3)

    async def work(thing: Thing) -> int:
        async with asyncio.timeout(10):
            await barrier.wait()
        return thing.number

    results = ain_order(things(12, most_alive), work, 3)
    assert [result async for result in results] == [*range(12)]
    assert max(most_alive) <= 4


def test_after_a_failure_nothing_is_begun_and_what_is_under_way_ends() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            failed.set()
            raise ValueError("one")
        assert failed.wait(10)
        return number

    results = in_order((number for number in range(100)), work, 2)
    assert next(results) == 0
    with pytest.raises(ValueError, match="one"):
        next(results)
    assert begun == [0, 1]


async def test_what_is_under_way_is_cancelled_when_the_caller_leaves() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(number: int) -> int:
        if number == 0:
            await begun.wait()
            return 0
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return number

    async with aclosing(ain_order((number for number in range(3)), work, 2)) as results:
        assert await anext(results) == 0
    assert cancelled.is_set()


# Failures


@pytest.mark.parametrize("way", PARSES)
def test_a_failed_chunk_raises_and_the_error_says_which(way: str) -> None:
    with (
        ScriptedServer(heard("A"), BUSY, default=heard("C")) as server,
        pytest.raises(VoxtralRateLimitError, match=WHERE) as caught,
    ):
        PARSES[way](parser_of(server, chunk_seconds=11, max_concurrency=1), LONG)
    assert caught.value.status_code == 429
    assert len(server.requests) == 2


@pytest.mark.parametrize("way", PARSES)
@pytest.mark.parametrize("mode", ["chunk", "segment"])
def test_a_failed_chunk_is_marked_if_asked_for(mode: str, way: str) -> None:
    settings: dict[str, Any] = {"mode": mode, "max_concurrency": 1, "on_error": "mark"}
    with ScriptedServer(heard("A"), BUSY, heard("C")) as server:
        made = PARSES[way](parser_of(server, chunk_seconds=11, **settings), LONG)
    assert [one.page_content for one in made] == ["A", "", "C"]
    assert ["error" in one.metadata for one in made] == [False, True, False]
    failed = made[1].metadata
    assert (failed["start"], failed["end"], failed["chunk"]) == (*BOUNDS[1], 1)
    assert failed["error_type"] == "VoxtralRateLimitError"
    assert "chunk 2 of 3" in failed["error"]


@pytest.mark.parametrize("mode", ["document", "srt", "vtt"])
def test_the_document_of_a_whole_recording_tells_of_failed_chunks(mode: str) -> None:
    with ScriptedServer(heard("A"), BUSY, heard("C")) as server:
        [made] = parser_of(
            server, chunk_seconds=11, max_concurrency=1, on_error="mark", mode=mode
        ).parse(LONG)
    assert "A" in made.page_content
    assert "C" in made.page_content
    assert made.metadata["failed_chunks"] == 1
    assert "chunk 2 of 3 (9.8 s to 19.9 s)" in made.metadata["error"]


@pytest.mark.parametrize("way", PARSES)
def test_a_key_that_is_refused_is_never_marked(way: str) -> None:
    refusal = json_reply({"detail": "User is not authorized to access this resource"}, status=401)
    with (
        ScriptedServer(default=refusal) as server,
        pytest.raises(VoxtralAuthenticationError) as caught,
    ):
        PARSES[way](parser_of(server, on_error="mark"), SHORT)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("way", PARSES)
def test_a_recording_that_cannot_be_decoded_raises_or_is_marked(way: str) -> None:
    with ScriptedServer() as server:
        with pytest.raises(VoxtralAudioError, match="no recording of a known kind"):
            PARSES[way](parser_of(server), b"Dear diary, ...")
        [made] = PARSES[way](parser_of(server, on_error="mark"), b"Dear diary, ...")
    assert made.page_content == ""
    assert made.metadata["error_type"] == "VoxtralAudioError"
    assert server.requests == []


def test_damage_at_the_end_is_told_before_anything_is_sent() -> None:
    flac = recordings.encoded("flac", recordings.noise(30.0))
    with ScriptedServer() as server, pytest.raises(VoxtralAudioError):
        parser_of(server, chunk_seconds=11).parse(flac[: len(flac) * 2 // 3])
    assert server.requests == []


def test_audio_that_the_server_cannot_read_is_not_sent_again() -> None:
    with (
        ScriptedServer(default=json_reply({"detail": "inference error"}, status=500)) as server,
        pytest.raises(VoxtralInvalidRequestError, match="cannot read the audio"),
    ):
        parser_of(server, max_retries=2).parse(SHORT)
    assert len(server.requests) == 1


# The store


@pytest.mark.parametrize("way", PARSES)
def test_a_killed_run_pays_only_for_what_is_missing(way: str) -> None:
    store = InMemoryByteStore()
    settings: dict[str, Any] = {"chunk_seconds": 11, "max_concurrency": 1, "store": store}
    with ScriptedServer(heard("A"), heard("B"), BUSY, heard("C")) as server:
        parser = parser_of(server, mode="chunk", **settings)
        with pytest.raises(VoxtralRateLimitError):
            PARSES[way](parser, LONG)
        assert astuple(parser.estimate(LONG)) == (pytest.approx(10.15), 1, 376, None)
        made = PARSES[way](parser, LONG)
        again = PARSES[way](parser, LONG)
    assert [place_of(form_of(seen)[1][3]) for seen in server.requests] == [0, 1, 2, 2]
    assert [one.page_content for one in made] == ["A", "B", "C"]
    assert [one.metadata["chunks_from_store"] for one in made] == [1, 1, 0]
    assert [one.metadata["chunks_from_store"] for one in again] == [1, 1, 1]
    for one in (*made, *again):
        del one.metadata["chunks_from_store"]
    assert made == again


def test_the_store_is_asked_by_content_and_settings() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=heard("x")) as server:
        for settings in ({}, {"language": "en"}, {"prompt": "p"}, {"model": "a/b"}, {}):
            parser_of(server, store=store, **settings).parse(SHORT)
        parser_of(server, store=store).parse(LONG)
    assert len(server.requests) == 5


def test_a_damaged_entry_is_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(heard("A"), heard("B")) as server:
        parser = parser_of(server, store=store)
        parser.parse(SHORT)
        keys = [*store.yield_keys()]
        store.mset([(key, (store.mget([key])[0] or b"")[:-5]) for key in keys])
        [made] = parser.parse(SHORT)
    assert made.page_content == "B"
    assert [*store.yield_keys()] == keys
    assert caplog.text.count("is damaged; it is made anew") == 2


def test_what_the_store_has_needs_no_key_and_no_server() -> None:
    store = InMemoryByteStore()
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json={"text": "A"}))
    with httpx.Client(transport=answers) as client:
        VoxtralTranscriptionParser(api_key=SecretStr(KEY), http_client=client, store=store).parse(
            SHORT
        )
    [made] = VoxtralTranscriptionParser(store=store).parse(SHORT)
    assert made.page_content == "A"


def test_keys_suit_file_stores() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(heard("A")) as server:
        parser_of(server, store=store).parse(SHORT)
    assert all(key.replace("-", "").isalnum() for key in store.yield_keys())


# Money


def test_an_estimate_needs_no_key_and_sends_nothing() -> None:
    parser = VoxtralTranscriptionParser(chunk_seconds=11)
    assert astuple(parser.estimate(LONG)) == pytest.approx((30.0, 3, 3 * 376, 0.0005))
    loader = VoxtralTranscriptionLoader([LONG, SHORT], parser=parser)
    assert astuple(loader.estimate()) == pytest.approx((32.0, 4, 4 * 376, 0.032 / 60))


@pytest.mark.parametrize("way", PARSES)
def test_a_budget_is_checked_before_the_first_request(way: str) -> None:
    with ScriptedServer(default=heard("x")) as server:
        parser = parser_of(server, price_per_minute=0.001, max_cost_usd=0.0004)
        with pytest.raises(VoxtralInvalidRequestError, match=r"about \$0.000500.*Nothing was sent"):
            PARSES[way](parser, LONG)
        assert server.requests == []
        PARSES[way](parser, SHORT)
    assert len(server.requests) == 1


def test_a_budget_needs_a_price() -> None:
    with (
        ScriptedServer() as server,
        pytest.raises(VoxtralInvalidRequestError, match="give price_per_minute="),
    ):
        parser_of(server, max_cost_usd=1).parse(SHORT)


def test_a_loaders_budget_is_for_all_recordings() -> None:
    with ScriptedServer(default=heard("x")) as server:
        loader = VoxtralTranscriptionLoader(
            [LONG, LONG],
            parser=parser_of(server, price_per_minute=0.001),
            max_cost_usd=0.0009,
        )
        with pytest.raises(VoxtralInvalidRequestError, match=r"2 recordings: transcribing 60\.0 s"):
            loader.load()
    assert server.requests == []


# Progress, and the rest of a parser's life


@pytest.mark.parametrize("way", PARSES)
def test_progress_is_told_after_each_chunk(way: str) -> None:
    told: list[Progress] = []
    with ScriptedServer(default=heard("x")) as server:
        PARSES[way](parser_of(server, chunk_seconds=11, progress=told.append), LONG)
    assert told == [
        Progress("the recording", number, 3, end, 30.0) for number, (_, end) in enumerate(BOUNDS, 1)
    ]


@pytest.mark.parametrize(("progress", "shows"), [(None, False), (False, False), (True, True)])
def test_a_bar_is_shown_where_asked_for(
    progress: bool | None, shows: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with ScriptedServer(default=heard("x")) as server:
        parser_of(server, chunk_seconds=11, progress=progress).parse(LONG)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("3/3" in err) is shows


def test_a_parser_is_pickled_without_its_key() -> None:
    parser = VoxtralTranscriptionParser(api_key=SecretStr(KEY), language="fr", mode="srt")
    written = pickle.dumps(parser)
    assert KEY.encode() not in written
    read = pickle.loads(written)  # noqa: S301 - our own
    assert (read.language, read.mode, read.model, read.api_key) == ("fr", "srt", MODEL, None)
    assert KEY not in repr(parser)


def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(VoxtralError, match="DeepInfra needs a key"):
        VoxtralTranscriptionParser().parse(SHORT)
