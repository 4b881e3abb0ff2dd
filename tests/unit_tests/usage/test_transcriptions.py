"""Transcriptions in the sums and within budgets."""

import pytest
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BUSY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import ChatVoxtral, get_voxtral_usage_callback
from langchain_voxtral.errors import VoxtralBudgetExceededError, VoxtralRateLimitError
from langchain_voxtral.usage.sums import VoxtralUsage

PRICE = 0.006
"""US dollars for a minute, so that a second costs 0.0001."""

in_both_ways = pytest.mark.parametrize("method", PARSES)


@in_both_ways
def test_every_request_of_a_recording_is_counted_with_its_estimate(method: str) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        get_voxtral_usage_callback() as usage,
    ):
        [made] = PARSES[method](parser_of(server, chunk_seconds=11, price_per_minute=PRICE), LONG)
    assert usage.by_model == {MODEL: usage.total}
    assert str(usage) == "3 requests, 30.0 s of audio, $0.003 (estimated)"
    assert usage.total.cost_usd == pytest.approx(made.metadata["cost"])


@in_both_ways
def test_what_a_server_tells_is_no_estimate(method: str) -> None:
    told = {"text": "x", "usage": {"estimated_cost": 0.25}}
    with (
        ScriptedServer(json_reply(told)) as server,
        get_voxtral_usage_callback() as usage,
    ):
        PARSES[method](parser_of(server, price_per_minute=PRICE), SHORT)
    assert usage.total == VoxtralUsage(requests=1, audio_seconds=2.0, cost_usd=0.25)


@in_both_ways
def test_a_transcript_of_the_store_is_no_request(method: str) -> None:
    store = InMemoryByteStore()
    with (
        ScriptedServer(transcription_reply("x")) as server,
        get_voxtral_usage_callback() as usage,
    ):
        for _ in range(2):
            PARSES[method](parser_of(server, store=store, price_per_minute=PRICE), SHORT)
    assert usage.total.requests == 1


@in_both_ways
def test_failed_and_retried_requests_are_counted(method: str) -> None:
    with (
        ScriptedServer(BUSY, BUSY) as server,
        get_voxtral_usage_callback() as usage,
        pytest.raises(VoxtralRateLimitError),
    ):
        PARSES[method](parser_of(server, max_retries=1), SHORT)
    assert usage.total == VoxtralUsage(requests=1, failed_requests=1, retries=1)


@in_both_ways
@pytest.mark.parametrize("on_error", ["raise", "mark"])
def test_the_chunk_that_would_pass_the_budget_is_not_sent(method: str, on_error: str) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        get_voxtral_usage_callback(max_cost_usd=0.0025) as usage,
    ):
        parser = parser_of(
            server,
            chunk_seconds=11,
            max_concurrency=1,
            price_per_minute=PRICE,
            on_error=on_error,
        )
        with pytest.raises(VoxtralBudgetExceededError) as caught:
            PARSES[method](parser, LONG)
        assert len(server.requests) == usage.total.requests == 2
    assert (
        "max_cost_usd=0.0025 would be passed, so nothing was sent: $0.001985 is spent, $0.00 is "
        f"kept for calls in flight, and the next of {MODEL} is expected to cost $0.001015. Raise "
        "max_cost_usd, or count in a new block."
    ) in str(caught.value)


@in_both_ways
def test_a_transcription_does_not_tell_what_chats_of_its_model_cost(method: str) -> None:
    answer = {"results": [{"generated_text": "Hi."}], "inference_status": {"cost": 0.0001}}
    with (
        ScriptedServer(transcription_reply("x"), json_reply(answer)) as server,
        get_voxtral_usage_callback(max_cost_usd=0.0005) as usage,
    ):
        PARSES[method](parser_of(server, price_per_minute=0.012), SHORT)
        ChatVoxtral(base_url=server.url, api_key=SecretStr("any")).invoke("Hello!")
    assert usage.by_model[MODEL].cost_usd == pytest.approx(0.0005)


@in_both_ways
def test_of_chunks_that_are_sent_at_once_as_many_are_sent_as_the_budget_holds(method: str) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        get_voxtral_usage_callback(max_cost_usd=0.0025) as usage,
    ):
        parser = parser_of(server, chunk_seconds=11, max_concurrency=3, price_per_minute=PRICE)
        with pytest.raises(VoxtralBudgetExceededError):
            PARSES[method](parser, LONG)
        assert len(server.requests) <= 2
    assert usage.total.cost_usd <= 0.0025


@in_both_ways
def test_without_a_price_the_second_request_is_refused_and_says_what_helps(method: str) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        get_voxtral_usage_callback(max_cost_usd=1) as usage,
    ):
        PARSES[method](parser_of(server), SHORT)
        with pytest.raises(VoxtralBudgetExceededError, match="price_per_minute="):
            PARSES[method](parser_of(server), SHORT)
        assert len(server.requests) == 1
    assert str(usage) == "1 request, 2.0 s of audio, cost of 1 request not known"
