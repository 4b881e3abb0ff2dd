"""Fixtures of the unit tests: a clean environment, and models that call a recording server."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.documented_exchanges import KEY, Server

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.tokens import vocabulary
from langchain_voxtral.transport.transport_choice import TRANSPORT_VARIABLE

_FOREIGN = (
    *("DEEPINFRA_", "MISTRAL_", "OPENROUTER_", "VOXTRAL_"),
    *("LANGSMITH_", "LANGCHAIN_", "LC_"),
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own keys and settings from the environment.

    httpx's own transports are used, unless a test says otherwise.
    """
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(TRANSPORT_VARIABLE, "httpx")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def make_chat(server: Server) -> Callable[..., ChatVoxtral]:
    def make(**settings: Any) -> ChatVoxtral:
        return ChatVoxtral(**{"api_key": KEY, **server.settings, **settings})

    return make


@pytest.fixture
def make_llm(server: Server) -> Callable[..., VoxtralLLM]:
    def make(**settings: Any) -> VoxtralLLM:
        return VoxtralLLM(**{"api_key": KEY, **server.settings, **settings})

    return make


@pytest.fixture(params=[ChatVoxtral, VoxtralLLM], ids=["chat", "llm"])
def make(request: pytest.FixtureRequest, server: Server) -> Callable[..., ChatVoxtral | VoxtralLLM]:
    """Make a chat model or an LLM: the test runs for both."""

    def make(**settings: Any) -> ChatVoxtral | VoxtralLLM:
        made: ChatVoxtral | VoxtralLLM = request.param(
            **{"api_key": KEY, **server.settings, **settings}
        )
        return made

    return make


@pytest.fixture
def chat(make_chat: Callable[..., ChatVoxtral]) -> ChatVoxtral:
    return make_chat()


@pytest.fixture
def llm(make_llm: Callable[..., VoxtralLLM]) -> VoxtralLLM:
    return make_llm()


@pytest.fixture
def no_tokens_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the interpreter find no `mistral_common`, as if it were not installed."""
    vocabulary._load.cache_clear()
    vocabulary._counts.clear()
    monkeypatch.setitem(sys.modules, "mistral_common", None)
