"""Callers of every kind, for tests of what all of them must do."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from support.call_modes import Caller, Model

from langchain_voxtral import ChatVoxtral, VoxtralLLM


@pytest.fixture(scope="session", autouse=True)
def _collect_only_what_is_new() -> Iterator[None]:
    """Leave what other tests loaded out of the collections, which would take a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _nothing_left_behind() -> Iterator[None]:
    """Make Python warn of a socket that was left open, which fails the test that left it."""
    yield
    gc.collect()


@pytest.fixture
def _nobody_else() -> None:
    """Free the models of earlier tests: who shares connections with one keeps them open."""
    gc.collect()


@pytest.fixture(params=["chat-sync", "chat-async", "llm-sync", "llm-async"])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    face, way = request.param.split("-")
    with asyncio.Runner() as runner:
        yield Caller(
            ChatVoxtral if face == "chat" else VoxtralLLM, runner if way == "async" else None
        )


@pytest.fixture(params=[ChatVoxtral, VoxtralLLM])
def face(request: pytest.FixtureRequest) -> type[Model]:
    kind: type[Model] = request.param
    return kind
