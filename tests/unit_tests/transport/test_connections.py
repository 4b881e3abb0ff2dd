"""Connections: TLS, proxies, slow readers and writers, several addresses, servers that hang up."""

import asyncio
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.call_modes import Caller
from support.certificates import make_certificate, needs_openssl
from support.completion_requests import completion_request
from support.resource_usage import count_connections
from support.scripted_server import TIMEOUT_SECONDS, End, Gate, ScriptedServer
from support.sse_replies import events, final, streamed, token, whole
from support.transports import on_each_transport
from support.tunnel_proxy import TunnelProxy

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralConnectionError, VoxtralTimeoutError
from langchain_voxtral.transport.client_factory import ssl_context

HOST = "voxtral.example"
"""On loopback; environment variables do not count for an address there."""
PROMPT = completion_request()
LONG = "x" * 2**20
"""Written and read in parts."""
BIG = "x" * 2**23
"""More than the system takes for a server that does not read."""

both_ways = pytest.mark.parametrize(
    "caller", ["chat-sync", "chat-async", "chat-async-fast"], indirect=True
)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make the name of the host resolve to these addresses."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in {HOST, HOST.encode()}:
            return real(host, port, *args, **options)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, int(port)))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def named(url: str) -> str:
    """Return a URL with the name of the host."""
    return url.replace("127.0.0.1", HOST)


def port_of(server: ScriptedServer) -> int:
    """Return the port of a server."""
    return int(server.url.split(":")[2].removesuffix("/v1"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def tls(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ssl.SSLContext]:
    """The context of servers that clients trust, if they are asked by name."""
    resolving(monkeypatch, "127.0.0.1")
    key, chain = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    ssl_context.cache_clear()
    yield context
    ssl_context.cache_clear()


@needs_openssl
@both_ways
def test_tokens_arrive_one_by_one_over_tls(caller: Caller, tls: ssl.SSLContext) -> None:
    gate = Gate()
    stream = events(token("Hel"), gate, token("lo"), final())
    with ScriptedServer(stream, whole(LONG), tls=tls) as server:
        model = caller.model_class(base_url=named(server.url), check_context=False)
        chunks = caller.stream(model)
        assert next(chunks).text == "Hel"
        gate.open()
        assert "".join(chunk.text for chunk in chunks) == "lo"
        assert caller.invoke(model, LONG).text == LONG
        assert LONG in server.requests[1].body["input"]
        assert len(server.connections) == 1
        caller.close(model)
        server.wait_until_disconnected()


@needs_openssl
@pytest.mark.parametrize("fault", ["not trusted", "of another name"])
@both_ways
def test_a_certificate_must_be_trusted_and_that_of_the_name(
    caller: Caller, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "not trusted":
        monkeypatch.delenv("SSL_CERT_FILE")
    with ScriptedServer(tls=tls) as server:
        other = server.url.replace("127.0.0.1", "localhost")
        url = named(server.url) if fault == "not trusted" else other
        model = caller.model_class(base_url=url, max_retries=0)
        with pytest.raises(VoxtralConnectionError, match="certificate verify failed"):
            caller.invoke(model)
        caller.close(model)


@needs_openssl
@pytest.mark.parametrize("proxy_speaks_tls", [False, True], ids=["http proxy", "https proxy"])
@both_ways
def test_a_proxy_tunnels_tls(caller: Caller, tls: ssl.SSLContext, proxy_speaks_tls: bool) -> None:
    with (
        ScriptedServer(streamed("Hel", "lo"), whole(LONG), tls=tls) as server,
        TunnelProxy(tls if proxy_speaks_tls else None) as proxy,
    ):
        model = caller.model_class(
            base_url=named(server.url), proxy=named(proxy.url), check_context=False
        )
        assert "".join(chunk.text for chunk in caller.stream(model)) == "Hello"
        assert caller.invoke(model, LONG).text == LONG
        assert LONG in server.requests[1].body["input"]
        assert proxy.targets == [f"{HOST}:{port_of(server)}"]
        caller.close(model)
        server.wait_until_disconnected()


@needs_openssl
@both_ways
def test_an_answer_may_end_with_its_tls_connection(caller: Caller, tls: ssl.SSLContext) -> None:
    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as encrypted:
            read_body(encrypted, read_head(encrypted))
            encrypted.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + BODY)
            with suppress(OSError):  # the client does not say goodbye
                encrypted.unwrap()

    with serving(answer) as (url, _):
        model = caller.model_class(base_url=named(url).replace("http", "https"), max_retries=0)
        assert caller.invoke(model).text == "Hello!"
        caller.close(model)


@needs_openssl
@both_ways
def test_what_a_proxy_sends_before_tls_is_no_answer(caller: Caller, tls: ssl.SSLContext) -> None:
    def inject(connection: socket.socket) -> None:
        read_head(connection)
        head = b"HTTP/1.1 200 Connected\r\n\r\n"
        connection.sendall(head + bytes(2**16 - len(head)) + ANSWER)  # a read and an answer
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) as encrypted:
            read_body(encrypted, read_head(encrypted))

    with serving(inject) as (url, _):
        model = caller.model_class(
            base_url=f"https://{HOST}/v1", proxy=url.removesuffix("/v1"), max_retries=0
        )
        with pytest.raises(VoxtralConnectionError, match="cannot be reached"):
            caller.invoke(model)
        caller.close(model)


@needs_openssl
@pytest.mark.usefixtures("_no_open_sockets")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells all that a process holds")
def test_closing_tls_does_not_wait_for_the_server(tls: ssl.SSLContext) -> None:
    with ScriptedServer(events(token("Hel"), End.STALL), tls=tls) as server:

        async def read_one() -> int:
            async with ConnectionSettings(base_url=named(server.url)) as settings:
                reads = VoxtralClient(settings).astream(PROMPT)
                await anext(reads)
                await reads.aclose()
                return count_connections(port_of(server))

        assert asyncio.run(read_one()) == 0


@needs_openssl
@pytest.mark.parametrize("end", [End.CUT, End.RESET])
@pytest.mark.usefixtures("_no_open_sockets")
def test_a_tls_connection_that_is_cut_leaves_nothing_open(tls: ssl.SSLContext, end: End) -> None:
    with ScriptedServer(events(token("Hel"), end), tls=tls) as server:

        async def read_all() -> None:
            async with ChatVoxtral(base_url=named(server.url)) as model:
                _ = [chunk async for chunk in model.astream("Hello!")]

        with pytest.raises(VoxtralConnectionError, match="broke the connection"):
            asyncio.run(read_all())


@pytest.mark.parametrize("speaks_tls", [False, pytest.param(True, marks=needs_openssl)])
async def test_a_server_waits_for_a_reader_that_is_slow(
    tls: ssl.SSLContext, speaks_tls: bool
) -> None:
    comment = b": " + bytes(2**20) + b"\n\n"
    reply = events(token("Hel"), *[comment] * 24, token("lo"), final())
    with ScriptedServer(reply, tls=tls if speaks_tls else None) as server:
        model = ChatVoxtral(base_url=named(server.url) if speaks_tls else server.url)
        async with model:
            chunks = model.astream("Hello!")
            text = str((await anext(chunks)).text)
            for _ in range(5000):
                await asyncio.sleep(0)  # the loop receives what comes
            assert server.connections[0].sent < 20
            async for chunk in chunks:
                text += str(chunk.text)
    assert text == "Hello"


@both_ways
def test_a_server_that_takes_no_more_of_a_request_is_named(caller: Caller, deaf_port: int) -> None:
    model = caller.model_class(
        base_url=f"http://127.0.0.1:{deaf_port}/v1", timeout=0.2, check_context=False
    )
    with pytest.raises(VoxtralTimeoutError, match=r"took nothing more of the request for 0.2 s"):
        caller.invoke(model, BIG)
    caller.close(model)


@pytest.mark.usefixtures("_no_open_sockets")
def test_the_next_address_is_tried_while_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    with ScriptedServer(whole("Hello!")) as server, full_listener("127.0.0.2", port_of(server)):
        with pytest.warns(UserWarning, match="plain http"):
            model = ChatVoxtral(base_url=named(server.url), timeout=(5, 60), max_retries=0)

        async def ask() -> str:
            async with model:
                return str((await model.ainvoke("Hello!")).text)

        assert asyncio.run(ask()) == "Hello!"


@on_each_transport
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_connection_that_the_server_closed_is_not_used_again(is_async: bool) -> None:
    may_close = threading.Event()

    def close_later(connection: socket.socket) -> None:
        answer(connection)
        may_close.wait(TIMEOUT_SECONDS)

    def answer(connection: socket.socket) -> None:
        read_body(connection, read_head(connection))
        connection.sendall(ANSWER)

    with serving(close_later, answer) as (url, served):
        model = ChatVoxtral(base_url=url, max_retries=0)

        def wait_until_closed() -> None:
            may_close.set()
            assert served[0].wait(TIMEOUT_SECONDS)

        async def ask() -> None:
            async with model:
                await model.ainvoke("Hello!")
                wait_until_closed()  # the event loop does not run meanwhile
                await model.ainvoke("Hello!")

        if is_async:
            asyncio.run(ask())
        else:
            with model:
                model.invoke("Hello!")
                wait_until_closed()
                model.invoke("Hello!")
    assert served[1].is_set()


def test_a_server_may_end_its_answer_before_it_has_read_the_request() -> None:
    answered, may_read = threading.Event(), threading.Event()
    lengths = []

    def answer_early(connection: socket.socket) -> None:
        head = read_head(connection)
        connection.sendall(ANSWER)
        connection.shutdown(socket.SHUT_WR)
        answered.set()
        may_read.wait(TIMEOUT_SECONDS)
        lengths.append(read_body(connection, head))

    async def ask(url: str) -> str:
        async with ChatVoxtral(base_url=url, max_retries=0, check_context=False) as model:
            call = asyncio.create_task(model.ainvoke(BIG))
            await asyncio.to_thread(answered.wait, TIMEOUT_SECONDS)
            for _ in range(100):
                await asyncio.sleep(0)  # the loop receives the end
            may_read.set()
            return str((await call).text)

    with serving(answer_early) as (url, _):
        assert asyncio.run(ask(url)) == "Hello!"
    assert lengths[0] > len(BIG)


BODY = b'{"results": [{"generated_text": "Hello!"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@contextmanager
def serving(
    *handlers: Callable[[socket.socket], None],
) -> Iterator[tuple[str, list[threading.Event]]]:
    """Handle one connection after the other; yield the URL, and events of their ends."""
    served = [threading.Event() for _ in handlers]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)  # big requests have to wait

        def serve() -> None:
            for handle, event in zip(handlers, served, strict=True):
                connection, _ = listener.accept()
                with connection:
                    handle(connection)
                event.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", served
        thread.join(TIMEOUT_SECONDS)


def read_head(connection: socket.socket) -> bytes:
    """Read until the head of a request is whole; return it with what came of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    return data


def read_body(connection: socket.socket, start: bytes) -> int:
    """Read the rest of a body; return its length."""
    head, _, body = start.partition(b"\r\n\r\n")
    [length] = re.findall(rb"(?i)content-length: (\d+)", head)
    received = len(body)
    while received < int(length) and (data := connection.recv(65_536)):
        received += len(data)
    return received


@contextmanager
def full_listener(host: str, port: int = 0) -> Iterator[int]:
    """Listen and accept nothing, so that connecting hangs; yield the port."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((host, port))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """The port of a server that accepts connections and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
