"""Callers of both classes, sync and async."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from support.call_modes import Caller, Model

from langchain_voxtral import ChatVoxtral, VoxtralLLM


@pytest.fixture(scope="module", autouse=True)
def _freeze_garbage_collector() -> Iterator[None]:
    """Exclude what other tests loaded from garbage collections, which would take a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _no_open_sockets() -> Iterator[None]:
    """Make Python warn of sockets that were left open, which fails the test."""
    yield
    gc.collect()


@pytest.fixture
def _no_earlier_models() -> None:
    """Free the models of earlier tests, which keep shared connections open."""
    gc.collect()


@pytest.fixture(params=["chat-sync", "chat-async", "llm-sync", "llm-async"])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    model_class, call_mode = request.param.split("-")
    with asyncio.Runner() as runner:
        yield Caller(
            ChatVoxtral if model_class == "chat" else VoxtralLLM,
            runner if call_mode == "async" else None,
        )


@pytest.fixture(params=[ChatVoxtral, VoxtralLLM])
def model_class(request: pytest.FixtureRequest) -> type[Model]:
    kind: type[Model] = request.param
    return kind
