"""Timeouts: each ends a call with an error that names the setting. No test asserts a duration."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.call_modes import Caller, read_until_error
from support.scripted_server import End, Gate, Repeat, Reply, ScriptedServer, Step
from support.sse_replies import events, streamed, token, whole

from langchain_voxtral.errors import VoxtralAPIError, VoxtralError, VoxtralTimeoutError

SHORT = 0.2
SILENT = Reply(steps=[End.STALL])
JSON_HEAD = {"content-type": "application/json"}

# Waiting is slow, and both classes wait alike.
both_ways = pytest.mark.parametrize(
    "caller", ["chat-sync", "chat-async", "chat-async-fast"], indirect=True
)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_silent_server_times_out_at_its_limit(caller: Caller, streaming: bool) -> None:
    with ScriptedServer(SILENT) as server:
        limit = "stream_idle_timeout" if streaming else "timeout"
        model = caller.model(server, deadline=60, **{limit: SHORT})
        with pytest.raises(
            VoxtralTimeoutError, match=rf"sent nothing for 0.2 s \({limit}= sets"
        ) as e:
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)
        server.wait_until_disconnected()
    assert (len(server.requests), e.value.attempts) == (1, 1)


@pytest.mark.parametrize(
    ("quiet", "message"),
    [
        (End.STALL, r"sent nothing for 0.2 s \(stream_idle_timeout= sets"),
        (
            Repeat(b": still here\n\n", 0.02),
            r"brought no text for 0.2 s \(stream_idle_timeout= sets",
        ),
    ],
    ids=["silence", "comments"],
)
@pytest.mark.parametrize("text", ["", "Hello"])
def test_a_stalled_stream_raises_with_the_text_so_far(
    caller: Caller, text: str, quiet: Step, message: str
) -> None:
    steps = [token(text)] if text else [b": connected\n\n"]
    with ScriptedServer(events(*steps, quiet, headers={"x-request-id": "H1"})) as server:
        shown, error = read_until_error(
            caller.stream(caller.model(server, stream_idle_timeout=SHORT))
        )
        server.wait_until_disconnected()
    assert (type(error), shown, error.partial) == (VoxtralTimeoutError, text, text)
    assert (error.request_id, error.attempts, len(server.requests)) == ("H1", 1, 1)
    with pytest.raises(VoxtralTimeoutError, match=message):
        raise error


@pytest.mark.parametrize(
    "reply",
    [
        SILENT,
        Reply(headers=JSON_HEAD, steps=[b"{", End.STALL]),
        Reply(headers=JSON_HEAD, steps=[Repeat(b" ", 0.01)]),
        Reply(503, steps=[Repeat(b" ", 0.01)]),
    ],
    ids=["before the answer", "in the answer", "an answer without end", "an error without end"],
)
@both_ways
@pytest.mark.parametrize("streaming", [True, False])
def test_the_deadline_ends_a_call_that_brings_no_answer(
    caller: Caller, reply: Reply, streaming: bool
) -> None:
    with ScriptedServer(reply) as server:
        model = caller.model(server, deadline=SHORT)
        with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s.*larger deadline=") as caught:
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)
        server.wait_until_disconnected()
    assert (len(server.requests), caught.value.attempts) == (1, 1)


@pytest.mark.parametrize("streaming", [True, False])
def test_the_deadline_applies_without_other_limits(caller: Caller, streaming: bool) -> None:
    with ScriptedServer(SILENT) as server:
        model = caller.model(server, deadline=SHORT, timeout=None, stream_idle_timeout=None)
        with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s.*larger deadline="):
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)


@both_ways
@pytest.mark.parametrize(
    "rest", [End.STALL, Repeat(token("."), 0.01), Repeat(b": still here\n\n", 0.01)]
)
@pytest.mark.parametrize("limits", [{}, {"stream_idle_timeout": None}])
def test_the_deadline_ends_a_stream_and_keeps_its_text(
    caller: Caller, rest: Step, limits: dict[str, None]
) -> None:
    with ScriptedServer(events(token("Hello"), rest)) as server:
        model = caller.model(server, deadline=SHORT, **limits)
        shown, error = read_until_error(caller.stream(model))
        server.wait_until_disconnected()
    assert (type(error), error.partial) == (VoxtralTimeoutError, shown)
    assert shown.rstrip(".") == "Hello"
    with pytest.raises(VoxtralTimeoutError, match=r"within 0.2 s.*larger deadline="):
        raise error


@pytest.mark.parametrize("streaming", [True, False])
def test_a_pause_longer_than_the_deadline_is_not_started(caller: Caller, streaming: bool) -> None:
    with ScriptedServer(default=Reply(503, {"retry-after": "30"}, b"busy")) as server:
        model = caller.model(server, deadline=5)
        with pytest.raises(VoxtralAPIError, match="busy") as caught:
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)
    assert (len(server.requests), caught.value.attempts) == (1, 1)


def test_a_deadline_that_is_not_reached_changes_nothing(caller: Caller) -> None:
    gate = Gate()
    with ScriptedServer(whole("Hello"), events(token("Hel"), gate, token("lo"))) as server:
        model = caller.model(server, deadline=60)
        assert caller.invoke(model).text == "Hello"
        chunks = caller.stream(model)
        assert next(chunks).text == "Hel"
        gate.open()
        assert next(chunks).text == "lo"


@pytest.mark.parametrize("times", [{"retry_timeouts": True}, {}])
def test_a_timed_out_answer_is_retried_only_if_configured(
    caller: Caller, times: dict[str, bool]
) -> None:
    """The server may have done the work and would bill it twice."""
    with ScriptedServer(SILENT, whole("Hello")) as server:
        model = caller.model(server, timeout=SHORT, **times)
        if times:
            answer = caller.invoke(model)
            assert (answer.text, answer.info["attempts"]) == ("Hello", 2)
        else:
            with pytest.raises(VoxtralTimeoutError):
                caller.invoke(model)
    assert len(server.requests) == (2 if times else 1)


def test_a_timed_out_stream_is_never_retried_after_its_first_token(
    caller: Caller,
) -> None:
    with ScriptedServer(events(token("Hel"), End.STALL), streamed("Hello")) as server:
        model = caller.model(server, stream_idle_timeout=SHORT, retry_timeouts=True)
        shown, error = read_until_error(caller.stream(model))
    assert (type(error), shown, error.partial) == (VoxtralTimeoutError, "Hel", "Hel")
    assert len(server.requests) == 1


@pytest.fixture
def full_port() -> Iterator[int]:
    """The port of a listener that accepts no connections, so that connecting hangs."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"timeout": (SHORT, 60)}, r"No connection to 127.0.0.1 within 0.2 s.*timeout=\(connect,"),
        ({"deadline": SHORT}, r"within 0.2 s.*larger deadline="),
        ({"timeout": (None, 60), "deadline": SHORT}, r"within 0.2 s.*larger deadline="),
    ],
)
@both_ways
@pytest.mark.parametrize("streaming", [True, False])
def test_a_server_that_cannot_be_reached_in_time_is_an_error(
    caller: Caller, full_port: int, limits: dict[str, Any], message: str, streaming: bool
) -> None:
    model = caller.model_class(base_url=f"http://127.0.0.1:{full_port}/v1", max_retries=0, **limits)
    with pytest.raises(VoxtralTimeoutError, match=message) as caught:
        _ = list(caller.stream(model)) if streaming else caller.invoke(model)
    assert isinstance(caught.value, VoxtralError)
    assert caught.value.attempts == 1
