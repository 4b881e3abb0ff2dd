"""The examples of DeepInfra's API page: our requests equal them, and their responses are read.

Every request is compared whole, so the classes are told to add nothing of their own.
"""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import SecretStr
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenarios import CHEF, Scenario, aplay, play

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.providers import DEEPINFRA_URL

BARE: dict[str, Any] = {
    "temperature": None,
    "top_p": None,
    "seed": None,
    "max_tokens": None,
    "stop": [],
}
KEY = "made-up-key"

HELLO = AIMessage(
    "Hello! It's nice to meet you. Is there something I can help you with or would you like to "
    "chat for a bit?",
    usage_metadata=UsageMetadata(input_tokens=12, output_tokens=25, total_tokens=37),
    response_metadata={
        "model_name": "mistralai/Voxtral-Mini-3B-2507",
        "model_provider": "deepinfra",
        "endpoint": "native",
        "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
        "cost": 0.0000436,
        "runtime_ms": 243,
    },
)
CONVERSATION = AIMessage(
    "Sous le Sable, my friend! It's an ancient technique that's been used for centuries in the "
    "Middle East and North Africa. The name itself...",
    usage_metadata=UsageMetadata(input_tokens=149, output_tokens=338, total_tokens=487),
    response_metadata=HELLO.response_metadata | {"cost": 0.000436},
)
STREAM = AIMessage(
    "Hello! It's",  # the page omits the rest
    usage_metadata=UsageMetadata(input_tokens=12, output_tokens=25, total_tokens=37),
    response_metadata={
        "model_name": "mistralai/Voxtral-Mini-3B-2507",
        "model_provider": "deepinfra",
        "endpoint": "native",
        "finish_reason": "stop",
        "finish_reason_source": "server",
        "cost": 0.0000386,
    },
)

EXCHANGES: dict[str, tuple[str, Scenario, AIMessage]] = {
    "chat, hello": ("hello", Scenario([HumanMessage("Hello!")], settings=BARE), HELLO),
    "chat, conversation": ("conversation", Scenario(CHEF, settings=BARE), CONVERSATION),
    "chat, stream": ("stream", Scenario([HumanMessage("Hello!")], True, BARE), STREAM),
    "llm, hello": ("hello", Scenario("Hello!", settings=BARE), HELLO),
    "llm, stream": ("stream", Scenario("Hello!", True, BARE), STREAM),
}
documented = pytest.mark.parametrize(
    ("cassette", "scenario", "expected"), EXCHANGES.values(), ids=EXCHANGES
)


def _path(cassette: str) -> Path:
    return CASSETTES / "documented" / f"{cassette}.yaml"


@documented
def test_our_requests_match_the_documented_exchanges(
    cassette: str, scenario: Scenario, expected: AIMessage
) -> None:
    with replay(_path(cassette)):
        assert play(scenario.model(DEEPINFRA_URL, KEY), scenario) == expected


@documented
async def test_our_async_requests_match_the_documented_exchanges(
    cassette: str, scenario: Scenario, expected: AIMessage
) -> None:
    with replay(_path(cassette)):
        assert await aplay(scenario.model(DEEPINFRA_URL, KEY), scenario) == expected


def test_the_documented_stream_gives_a_chunk_for_each_event() -> None:
    with (
        ChatVoxtral(
            base_url=DEEPINFRA_URL,
            api_key=SecretStr(KEY),
            temperature=None,
            top_p=None,
            stop=[],
            chunk_coalescing=False,
        ) as chat,
        replay(_path("stream")),
    ):
        chunks = list(chat.stream("Hello!"))
    assert [chunk.text for chunk in chunks] == ["Hello", "!", " It", "'s", ""]
    assert [chunk.usage_metadata for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1].usage_metadata == STREAM.usage_metadata
    assert chunks[-1].response_metadata == STREAM.response_metadata
