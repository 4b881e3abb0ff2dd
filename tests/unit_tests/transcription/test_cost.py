"""Estimates of transcriptions, and budgets."""

import asyncio
from dataclasses import astuple
from typing import Any

import pytest
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.scripted_server import ScriptedServer
from support.transcription_calls import BUSY, LONG, PARSES, SHORT, parser_of, transcription_reply

from langchain_voxtral import VoxtralTranscriptionLoader, VoxtralTranscriptionParser
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)


def test_an_estimate_needs_no_key_and_sends_nothing() -> None:
    parser = VoxtralTranscriptionParser(chunk_seconds=11)
    assert astuple(parser.estimate(LONG)) == pytest.approx((30.0, 3, 3 * 376, 0.0005))
    loader = VoxtralTranscriptionLoader([LONG, SHORT], parser=parser)
    assert astuple(loader.estimate()) == pytest.approx((32.0, 4, 4 * 376, 0.032 / 60))


@pytest.mark.parametrize(
    ("settings", "chunks"),
    [({}, 3), ({"chunk_seconds": 60}, 6), ({"endpoint": "chat", "mode": "srt"}, 24)],
)
def test_chunks_for_the_embedded_engine_have_two_minutes(
    settings: dict[str, Any], chunks: int
) -> None:
    minutes = wav_header(6 * 60 * 32_000) + bytes(6 * 60 * 32_000)
    parser = VoxtralTranscriptionParser(base_url="local", **settings)
    assert parser.estimate(minutes).chunks == chunks


@pytest.mark.parametrize("method", PARSES)
def test_a_budget_is_checked_before_the_first_request(method: str) -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, price_per_minute=0.001, max_cost_usd=0.0004)
        with pytest.raises(VoxtralInvalidRequestError, match=r"about \$0.000500.*Nothing was sent"):
            PARSES[method](parser, LONG)
        assert server.requests == []
        PARSES[method](parser, SHORT)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", PARSES)
def test_a_file_that_states_no_length_is_decoded_for_its_price(method: str) -> None:
    flac = speech_samples.encoded("flac streamed", speech_samples.noise(30.0))
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, chunk_seconds=11, price_per_minute=0.001, max_cost_usd=0.0004)
        with pytest.raises(VoxtralInvalidRequestError, match=r"about \$0.000500.*Nothing was sent"):
            PARSES[method](parser, flac)
        assert server.requests == []
    assert parser.estimate(flac) == asyncio.run(parser.aestimate(flac))
    assert parser.estimate(flac).duration == 30.0


@pytest.mark.parametrize("method", PARSES)
def test_a_budget_may_be_less_than_a_recording_costs_of_which_the_store_has_a_part(
    method: str,
) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(
        transcription_reply("A"), transcription_reply("B"), BUSY, transcription_reply("C")
    ) as server:
        parser = parser_of(
            server, store=store, chunk_seconds=11, max_concurrency=1, price_per_minute=0.001
        )
        with pytest.raises(VoxtralRateLimitError):
            PARSES[method](parser, LONG)
        rest = parser.model_copy(update={"max_cost_usd": 0.0002})
        [made] = PARSES[method](rest, LONG)
    assert made.page_content == "A B C"
    assert made.metadata["cost"] == pytest.approx(0.0005)


def test_a_budget_needs_a_price() -> None:
    with (
        ScriptedServer() as server,
        pytest.raises(VoxtralInvalidRequestError, match="price_per_minute= tells it"),
    ):
        parser_of(server, max_cost_usd=1).parse(SHORT)


@pytest.mark.parametrize("amount", [-1, float("nan")])
def test_a_loaders_budget_is_an_amount_of_money(amount: float) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="is no amount of US dollars"):
        VoxtralTranscriptionLoader(LONG, max_cost_usd=amount)


def test_a_loader_names_one_recording_as_one() -> None:
    with ScriptedServer() as server:
        loader = VoxtralTranscriptionLoader(
            LONG, parser=parser_of(server, price_per_minute=1), max_cost_usd=0
        )
        with pytest.raises(VoxtralInvalidRequestError, match=r"^1 recording: transcribing 30\.0 s"):
            loader.load()


@pytest.mark.parametrize("method", ["load", "aload"])
def test_a_loaders_budget_allows_marked_failures(method: str) -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        for on_error in ("mark", "raise"):
            parser = parser_of(server, price_per_minute=0.001, on_error=on_error)
            loader = VoxtralTranscriptionLoader(
                [SHORT, b"Dear diary"], parser=parser, max_cost_usd=1
            )
            if on_error == "mark":
                made = loader.load() if method == "load" else asyncio.run(loader.aload())
                assert ["error" in one.metadata for one in made] == [False, True]
                continue
            with pytest.raises(VoxtralAudioError):
                _ = loader.load() if method == "load" else asyncio.run(loader.aload())
    assert len(server.requests) == 1


def test_a_loaders_budget_needs_recordings_that_can_be_read_twice() -> None:
    with ScriptedServer() as server, speech_samples.pipe(SHORT) as pipe:
        loader = VoxtralTranscriptionLoader(pipe, parser=parser_of(server), max_cost_usd=1)
        with pytest.raises(VoxtralInvalidRequestError, match="a file that cannot seek"):
            loader.load()


def test_stored_recordings_need_no_price() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("A")) as server:
        parser_of(server, store=store).parse(SHORT)
        parser = parser_of(server, store=store, max_cost_usd=0)
        [made] = parser.parse(SHORT)
        assert astuple(parser.estimate(SHORT)) == (0, 0, 0, 0)
    assert made.page_content == "A"


def test_a_loaders_budget_is_for_all_recordings() -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        loader = VoxtralTranscriptionLoader(
            [LONG, LONG],
            parser=parser_of(server, price_per_minute=0.001),
            max_cost_usd=0.0009,
        )
        with pytest.raises(VoxtralInvalidRequestError, match=r"2 recordings: transcribing 60\.0 s"):
            loader.load()
    assert server.requests == []
