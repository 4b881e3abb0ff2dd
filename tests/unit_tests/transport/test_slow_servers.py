"""Servers that send too little to be useful, and too much to be silent; names that take for ever.

Time limits hold in each phase of an exchange. No test asserts a duration: all servers go on until
the client leaves.
"""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.call_modes import Caller
from support.completion_requests import completion_request
from support.scripted_server import Repeat, Reply, ScriptedServer
from support.sse_replies import json_reply

from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralConnectionError, VoxtralTimeoutError
from langchain_voxtral.transport import FetchPolicy, fetch_url

SHORT = 0.2
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
JSON = HEAD.replace(b"text/event-stream", b"application/json")
DRIP = Repeat(b"y", 0.02)


def raw(start: bytes, more: Repeat = DRIP) -> Reply:
    return Reply(steps=[start, more], is_raw=True)


HEADS = {
    "a head": raw(b"HTTP/1.1 200 OK\r\nx-a: "),
    "heads without an end": raw(b"", Repeat(b"HTTP/1.1 102 Processing\r\n\r\n", 0.02)),
}
BODIES = {
    "the length of a chunk": raw(HEAD + b"\r\n5;"),
    "bytes that decompress to nothing": raw(
        HEAD + b"content-encoding: gzip\r\n\r\na\r\n\x1f\x8b\x08\x10\0\0\0\0\0\3\r\n",
        Repeat(b"1\r\ny\r\n", 0.02),
    ),
}
WHOLE = {
    "a chunk of JSON": raw(JSON + b"\r\n5;"),
    "trailers": raw(JSON + b"\r\n2\r\n{}\r\n0\r\nx-a: "),
    "an error": raw(JSON.replace(b"200", b"503") + b"\r\n5;"),
}

both_ways = pytest.mark.parametrize(
    "caller", ["chat-sync", "llm-async", "llm-async-fast"], indirect=True
)


def call(caller: Caller, model: Any, *, streaming: bool) -> None:
    _ = list(caller.stream(model)) if streaming else caller.invoke(model)


@pytest.mark.parametrize(
    ("reply", "streaming"),
    [(reply, streaming) for reply in HEADS.values() for streaming in (False, True)]
    + [(reply, True) for reply in BODIES.values()]
    + [(reply, False) for reply in WHOLE.values()],
    ids=[f"{name} ({kind})" for name in HEADS for kind in ("invoke", "stream")]
    + [f"{name} (stream)" for name in BODIES]
    + [f"{name} (invoke)" for name in WHOLE],
)
@both_ways
def test_the_deadline_ends_what_trickles(caller: Caller, reply: Reply, streaming: bool) -> None:
    with ScriptedServer(reply) as server:
        model = caller.model(server, deadline=SHORT)
        with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s.*larger deadline="):
            call(caller, model, streaming=streaming)
        server.wait_until_disconnected()


@pytest.mark.parametrize("reply", [*HEADS.values(), *BODIES.values()], ids=[*HEADS, *BODIES])
@both_ways
def test_the_idle_limit_ends_a_stream_that_trickles(caller: Caller, reply: Reply) -> None:
    with ScriptedServer(reply) as server:
        model = caller.model(server, stream_idle_timeout=SHORT)
        with pytest.raises(
            VoxtralTimeoutError, match=r"brought no text for 0.2 s \(stream_idle_timeout= sets"
        ):
            call(caller, model, streaming=True)
        server.wait_until_disconnected()


@both_ways
def test_limits_hold_on_a_connection_that_is_used_again(caller: Caller) -> None:
    fine = json_reply({"results": [{"generated_text": "Hello!"}]})
    with ScriptedServer(fine, HEADS["a head"], fine) as server:
        unlimited, model = caller.model(server), caller.model(server, deadline=SHORT)
        assert caller.invoke(unlimited).text == "Hello!"
        with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s"):
            caller.invoke(model)
        assert caller.invoke(unlimited).text == "Hello!"
        first, second, third = [seen.connection.port for seen in server.requests]
        assert first == second != third
        caller.close(model)


@both_ways
def test_the_deadline_ends_the_answer_of_a_proxy_that_trickles(caller: Caller) -> None:
    tries = 5  # a busy machine may spend the deadline before it asks the proxy
    with ScriptedServer(*[HEADS["a head"]] * tries) as proxy:
        model = caller.model_class(
            base_url="https://voxtral.example/v1",
            proxy=proxy.url.removesuffix("/v1"),
            deadline=SHORT,
        )
        while not proxy.requests and tries:
            tries -= 1
            with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s"):
                caller.invoke(model)
            proxy.wait_until_disconnected()
    assert proxy.requests[0].method == "CONNECT"


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """The port of a server that accepts connections and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
@both_ways
def test_the_deadline_ends_a_request_that_nobody_reads(
    caller: Caller, deaf_port: int, scheme: str
) -> None:
    model = caller.model_class(
        base_url=f"{scheme}://127.0.0.1:{deaf_port}/v1",
        timeout=None,
        deadline=SHORT,
        check_context=False,
    )
    with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s"):
        caller.invoke(model, "x" * 2**23)
    caller.close(model)


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Make the resolver hang until the event."""
    over, real = threading.Event(), socket.getaddrinfo

    def hang(host: Any, *args: Any, **options: Any) -> Any:
        if host in {"hanging.example", b"hanging.example"}:
            over.wait()
            raise socket.gaierror("too late")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield over
    over.set()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"deadline": SHORT}, "within 0.2 s, its overall deadline"),
        ({"timeout": (SHORT, None)}, "No connection to hanging.example within 0.2 s"),
    ],
    ids=["deadline", "timeout"],
)
@pytest.mark.usefixtures("hanging_resolver")
def test_a_name_server_that_hangs_is_limited(limits: dict[str, Any], message: str) -> None:
    settings = ConnectionSettings(base_url="https://hanging.example/v1", max_retries=0, **limits)
    with settings, pytest.raises(VoxtralTimeoutError, match=message):
        VoxtralClient(settings).complete(completion_request())


@pytest.mark.usefixtures("hanging_resolver")
def test_the_name_server_of_a_url_is_limited() -> None:
    policy = FetchPolicy(total_timeout=SHORT)
    with pytest.raises(VoxtralTimeoutError, match="took too long"):
        fetch_url("https://hanging.example/talk.wav", policy=policy)


def test_an_unknown_name_is_still_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    settings = ConnectionSettings(base_url="https://unknown.example/v1", max_retries=0)
    with settings, pytest.raises(VoxtralConnectionError, match="Name or service not known"):
        VoxtralClient(settings).complete(completion_request())


@both_ways
def test_the_next_address_is_tried_where_one_refuses(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def two(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in {"two.example", b"two.example"}:
            return real(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with ScriptedServer(json_reply({"results": [{"generated_text": "Hi"}]})) as server:
        url = server.url.replace("127.0.0.1", "two.example")
        with pytest.warns(UserWarning, match="plain http"):
            model = caller.model_class(base_url=url)
        assert caller.invoke(model).text == "Hi"
        caller.close(model)


async def test_a_name_server_that_hangs_is_limited_asynchronously(
    hanging_resolver: threading.Event,
) -> None:
    settings = ConnectionSettings(
        base_url="https://hanging.example/v1", max_retries=0, deadline=SHORT
    )
    before = set(threading.enumerate())
    async with settings:
        with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s"):
            await VoxtralClient(settings).acomplete(completion_request())
    # A loop that ends waits for the threads of its executor.
    begun = set(threading.enumerate()) - before
    hanging_resolver.set()
    assert not [thread.name for thread in begun if thread.name.startswith("asyncio")]
