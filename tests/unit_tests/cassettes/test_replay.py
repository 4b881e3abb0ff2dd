"""Replay is strict: no network, no difference, and every exchange is used."""

import asyncio
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import httpx
import pytest
from pytest_socket import SocketBlockedError
from support.cassettes.replay import CASSETTES, replay, whole_body
from support.cassettes.scenarios import SCENARIOS, Scenario, play
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.request import Request

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralRateLimitError

LOOPBACK = "http://127.0.0.1/v1"
INVOKE = CASSETTES / "embedded" / "chat_invoke.yaml"


def test_a_partly_replayed_cassette_fails() -> None:
    scenario = SCENARIOS["busy_invoke"]
    impatient = Scenario(scenario.given, settings={"max_retries": 0})
    with (
        pytest.raises(AssertionError, match=r"^Exchanges that were not requested: 2\. POST http"),
        replay(CASSETTES / "embedded" / "busy_invoke.yaml"),
        pytest.raises(VoxtralRateLimitError),
    ):
        play(impatient.model(LOOPBACK), impatient)


def test_a_missing_cassette_fails() -> None:
    with pytest.raises(FileNotFoundError), replay(CASSETTES / "embedded" / "no_such.yaml"):
        pass


def test_an_error_during_replay_is_not_hidden_by_unused_exchanges() -> None:
    with pytest.raises(ZeroDivisionError), replay(CASSETTES / "documented" / "hello.yaml"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "changed",
    [
        {"max_tokens": 61},
        {"seed": None},
        {"stop": []},
        {"top_k": 1},
        {"model": "mistralai/Voxtral-Small-24B-2507"},
    ],
    ids=str,
)
def test_a_request_that_differs_in_one_field_is_refused(changed: dict[str, Any]) -> None:
    other = Scenario(SCENARIOS["chat_invoke"].given, settings=changed)
    with pytest.raises(CannotOverwriteExistingCassetteException), replay(INVOKE):
        play(other.model(LOOPBACK), other)


def test_bodies_are_compared_as_json_by_value_and_type() -> None:
    def match(one: str, other: str) -> bool:
        try:
            whole_body(*(Request("POST", "http://h/", body, {}) for body in (one, other)))
        except AssertionError:
            return False
        return True

    assert match('{"a": 1, "b": [true]}', '{"b":[true],"a":1}')
    assert match("no JSON", "no JSON")
    assert match("", "")
    unequal = ['{"a": 1}', '{"a": 1.0}', '{"a": true}', '{"a": "1"}', "{}", "", "no JSON"]
    assert [(one, other) for one, other in combinations(unequal, 2) if match(one, other)] == []


def test_an_exchange_is_replayed_only_once() -> None:
    scenario = SCENARIOS["chat_invoke"]
    with replay(INVOKE):
        play(scenario.model(LOOPBACK), scenario)
        with pytest.raises(CannotOverwriteExistingCassetteException):
            play(scenario.model(LOOPBACK), scenario)


def test_a_request_that_bypasses_vcrpy_finds_no_socket() -> None:
    """Custom transports are not patched by vcrpy."""
    with httpx.Client(transport=_OwnTransport()) as client, _nothing_leaves():
        ChatVoxtral(base_url=LOOPBACK, http_client=client).invoke("Hello!")


async def test_an_async_request_that_bypasses_vcrpy_finds_no_socket() -> None:
    async with httpx.AsyncClient(transport=_OwnAsyncTransport()) as client:
        with _nothing_leaves():
            await ChatVoxtral(base_url=LOOPBACK, http_async_client=client).ainvoke("Hello!")


def test_no_name_is_resolved_during_replay() -> None:
    with _nothing_leaves():
        socket.getaddrinfo("api.deepinfra.com", 443)


def test_sockets_are_restored_after_replay() -> None:
    scenario = SCENARIOS["chat_invoke"]
    with replay(INVOKE):
        play(scenario.model(LOOPBACK), scenario)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert connection.getpeername() == server.getsockname()


@contextmanager
def _nothing_leaves() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest-socket warns beside its error
        with (
            pytest.raises(SocketBlockedError),
            replay(INVOKE),
        ):
            yield


class _OwnTransport(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with socket.create_connection((request.url.host, 80)):
            return httpx.Response(200)


class _OwnAsyncTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.open_connection(request.url.host, 80)
        return httpx.Response(200)
