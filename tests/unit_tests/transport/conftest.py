"""Callers of both classes, sync and async, on each transport."""

import asyncio
import gc
import inspect
from collections.abc import Iterator

import pytest
from support.call_modes import Caller, Model
from support.scripted_server import ScriptedServer
from support.sse_replies import whole
from support.transports import TRANSPORTS

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.transport.transport_choice import TRANSPORT_VARIABLE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run all asynchronous tests on each transport."""
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.parametrize("_transport", TRANSPORTS, ids=TRANSPORTS.get, indirect=True)


@pytest.fixture(autouse=True)
def _transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls go through a transport, if the test is run on each."""
    if hasattr(request, "param"):
        monkeypatch.setenv(TRANSPORT_VARIABLE, request.param)


@pytest.fixture(scope="session", autouse=True)
def _import_for_first_calls() -> None:
    """Make a call of each kind: what the first ones import may take longer than a limit."""
    with ScriptedServer(*[whole("Hi!")] * 4) as server:
        for model_class in (ChatVoxtral, VoxtralLLM):
            model = model_class(base_url=server.url)
            model.invoke("Hi!")
            asyncio.run(model.ainvoke("Hi!"))


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


@pytest.fixture(params=["chat-sync", "chat-async", "chat-async-fast", "llm-sync", "llm-async"])
def caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    model_class, call_mode, *fast = request.param.split("-")
    if fast:
        monkeypatch.setenv(TRANSPORT_VARIABLE, "auto")
    with asyncio.Runner() as runner:
        yield Caller(
            ChatVoxtral if model_class == "chat" else VoxtralLLM,
            runner if call_mode == "async" else None,
        )


@pytest.fixture(params=[ChatVoxtral, VoxtralLLM])
def model_class(request: pytest.FixtureRequest) -> type[Model]:
    kind: type[Model] = request.param
    return kind
