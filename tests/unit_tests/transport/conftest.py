"""Callers of every kind, for tests of what all of them must do."""

import asyncio
from collections.abc import Iterator

import pytest

from callers import Caller
from langchain_voxtral import ChatVoxtral, VoxtralLLM


@pytest.fixture(params=["chat-sync", "chat-async", "llm-sync", "llm-async"])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    face, way = request.param.split("-")
    with asyncio.Runner() as runner:
        yield Caller(
            {"chat": ChatVoxtral, "llm": VoxtralLLM}[face], runner if way == "async" else None
        )
