"""Which requests are retried, and which never; the server counts them."""

import asyncio
import logging
import time
from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.call_modes import Caller, read_until_error
from support.completion_requests import completion_request
from support.scripted_server import ClosedPort, End, Reply, ScriptedServer
from support.sse_replies import event, events, json_reply, streamed, token, whole

from langchain_voxtral.completions.response import (
    Completion,
    StreamItem,
    parse_completions,
)
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralConnectionError,
    VoxtralError,
    VoxtralRateLimitError,
)
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.transport import (
    ClientPool,
    ClientSettings,
    HTTPRequest,
    RetryPolicy,
    apost,
    astream,
    post,
    stream,
)
from langchain_voxtral.transport.retry import RetryState

AT_ONCE = {"retry-after": "0"}
QUICK = RetryPolicy(initial_backoff=0.001)
streamed_or_not = pytest.mark.parametrize("streaming", [True, False])


def fine(streaming: bool) -> Reply:
    return streamed("Hello", "!") if streaming else whole("Hello!")


def ask(caller: Caller, server: ScriptedServer, streaming: bool) -> tuple[str, dict[str, object]]:
    model = caller.model(server)
    if not streaming:
        answer = caller.invoke(model)
        return answer.text, answer.info
    chunks = list(caller.stream(model))
    return "".join(chunk.text for chunk in chunks), chunks[-1].info


def exchange(
    call_mode: str, server: ScriptedServer, policy: RetryPolicy = QUICK
) -> Sequence[StreamItem]:
    """Send a request through transport with short pauses; return text and metadata."""
    url = f"{server.url}/inference/voxtral"
    request = HTTPRequest(url, b"{}", {"content-type": "application/json"}, retry=policy)
    call, clients = completion_request(), ClientPool(ClientSettings())

    async def streamed_items() -> list[StreamItem]:
        reads = [
            items async for items in astream(clients, request, CompletionStream(call, request))
        ]
        await clients.aclose()
        return list(chain.from_iterable(reads))

    async def reply() -> list[Completion]:
        answer = parse_completions(call, request, await apost(clients, request))
        await clients.aclose()
        return answer

    try:
        match call_mode:
            case "stream":
                return list(
                    chain.from_iterable(stream(clients, request, CompletionStream(call, request)))
                )
            case "astream":
                return asyncio.run(streamed_items())
            case "post":
                [completion] = parse_completions(call, request, post(clients, request))
            case _:
                [completion] = asyncio.run(reply())
        return [completion.text, completion.info]
    finally:
        clients.close()


ways = pytest.mark.parametrize("call_mode", ["post", "apost", "stream", "astream"])


@streamed_or_not
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_failure_is_retried_and_counted(
    caller: Caller, status: int, streaming: bool
) -> None:
    failed = Reply(status, AT_ONCE, b"busy")
    with ScriptedServer(failed, failed, fine(streaming)) as server:
        text, info = ask(caller, server, streaming)
    assert (text, info["attempts"]) == ("Hello!", 3)
    bodies = [seen.body for seen in server.requests]
    assert bodies == [bodies[0]] * 3


@streamed_or_not
@pytest.mark.parametrize("status", [429, 503])
def test_the_last_failure_is_raised_when_no_attempts_are_left(
    caller: Caller, status: int, streaming: bool
) -> None:
    failed = Reply(status, AT_ONCE | {"x-request-id": "H1"}, b'{"error": "Model busy"}')
    with ScriptedServer(default=failed) as server, pytest.raises(VoxtralError) as caught:
        ask(caller, server, streaming)
    error = caught.value
    assert isinstance(error, VoxtralRateLimitError if status == 429 else VoxtralAPIError)
    assert (error.status_code, error.attempts, error.request_id) == (status, 3, "H1")
    assert len(server.requests) == 3


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_max_retries_is_the_number_of_further_attempts(caller: Caller, retries: int) -> None:
    failed = Reply(503, AT_ONCE, b"")
    with ScriptedServer(default=failed) as server, pytest.raises(VoxtralAPIError) as caught:
        caller.invoke(caller.model(server, max_retries=retries))
    assert (len(server.requests), caught.value.attempts) == (retries + 1, retries + 1)


@streamed_or_not
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 413, 422, 423, 501])
def test_a_permanent_failure_is_raised_at_once(
    caller: Caller, status: int, streaming: bool
) -> None:
    failed = Reply(status, AT_ONCE, b'{"detail": "no"}')
    with ScriptedServer(default=failed) as server, pytest.raises(VoxtralError) as caught:
        ask(caller, server, streaming)
    assert (caught.value.status_code, caught.value.attempts) == (status, 1)
    assert len(server.requests) == 1


@streamed_or_not
def test_a_prompt_that_is_too_long_is_not_retried_though_it_is_a_500(
    caller: Caller, streaming: bool
) -> None:
    words = "Requested input length 99009 exceeds maximum input length 8192"
    reply = json_reply({"error": {"message": words}}, status=500, headers=AT_ONCE)
    with ScriptedServer(default=reply) as server, pytest.raises(VoxtralError, match=words):
        ask(caller, server, streaming)
    assert len(server.requests) == 1


@streamed_or_not
def test_a_long_retry_after_is_not_waited_for(caller: Caller, streaming: bool) -> None:
    busy = Reply(429, {"retry-after": "61"}, b"")
    with ScriptedServer(default=busy) as server, pytest.raises(VoxtralRateLimitError) as caught:
        ask(caller, server, streaming)
    assert (caught.value.retry_after, caught.value.attempts) == (61.0, 1)
    assert len(server.requests) == 1


@ways
def test_retry_after_is_obeyed(call_mode: str) -> None:
    reply = streamed("Hello") if call_mode.endswith("stream") else whole("Hello")
    with ScriptedServer(Reply(429, {"retry-after": "0.1"}, b""), reply) as server:
        before = time.monotonic()
        exchange(call_mode, server)
        # A lower bound holds on slow machines too; the back-off alone is 0.001 s.
        assert time.monotonic() - before >= 0.1
    assert len(server.requests) == 2


@ways
@pytest.mark.parametrize("failed", [Reply(503, body=b"busy"), Reply(steps=[End.RESET])])
def test_failures_without_advice_are_retried_with_a_back_off(call_mode: str, failed: Reply) -> None:
    reply = streamed("Hello") if call_mode.endswith("stream") else whole("Hello")
    with ScriptedServer(failed, failed, reply) as server:
        piece, outcome = exchange(call_mode, server)
    assert isinstance(outcome, ResponseInfo)
    assert (piece, outcome.attempts) == ("Hello", 3)
    assert len(server.requests) == 3


@ways
def test_a_connection_that_is_always_reset_is_an_error(call_mode: str) -> None:
    with (
        ScriptedServer(default=Reply(steps=[End.RESET])) as server,
        pytest.raises(VoxtralConnectionError, match="broke the connection") as caught,
    ):
        exchange(call_mode, server)
    assert (caught.value.attempts, len(server.requests)) == (3, 3)


@given(
    retry_after=st.none() | st.floats(0, 60),
    first=st.floats(0.001, 10),
    longest=st.floats(0.001, 60),
    retries=st.integers(1, 30),
)
def test_pauses_grow_to_a_limit_or_follow_retry_after(
    retry_after: float | None, first: float, longest: float, retries: int
) -> None:
    """Both have jitter: the back-off down to its half, Retry-After only upwards."""
    policy = RetryPolicy(retries, initial_backoff=first, max_backoff=longest)
    attempts = RetryState(HTTPRequest("http://127.0.0.1/", b"", {}, retry=policy))
    for count in range(retries):
        attempts.start_attempt()
        pause = attempts.delay_after(VoxtralAPIError("", status_code=503, retry_after=retry_after))
        back_off = min(longest, first * 2**count)
        low, high = (
            (back_off / 2, back_off)
            if retry_after is None
            else (retry_after, retry_after + min(1, retry_after / 10))
        )
        assert low <= pause <= high * 1.000001
    attempts.start_attempt()
    with pytest.raises(VoxtralAPIError):
        attempts.delay_after(VoxtralAPIError("", status_code=503, retry_after=retry_after))


@ways
def test_a_closed_port_is_an_error_after_all_attempts(call_mode: str) -> None:
    with (
        ClosedPort() as server,
        pytest.raises(VoxtralConnectionError, match=r"cannot be reached.*base_url") as caught,
    ):
        exchange(call_mode, server)
    assert caught.value.attempts == 3


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
def test_a_stream_that_breaks_before_its_first_token_is_requested_again(call_mode: str) -> None:
    cut = events(b": connected\n\n", End.CUT)
    with ScriptedServer(cut, streamed("Hello")) as server:
        piece, outcome = exchange(call_mode, server)
    assert isinstance(outcome, ResponseInfo)
    assert (piece, outcome.attempts) == ("Hello", 2)


@pytest.mark.parametrize("ending", [End.CUT, event({"error": {"message": "Model busy"}})])
def test_nothing_is_sent_again_after_the_first_token(caller: Caller, ending: End | bytes) -> None:
    with ScriptedServer(events(token("Hel"), ending), streamed("Hello")) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert (shown, error.partial, error.attempts) == ("Hel", "Hel", 1)
    assert len(server.requests) == 1


@streamed_or_not
def test_every_further_attempt_is_logged_with_its_reason(
    caller: Caller, streaming: bool, caplog: pytest.LogCaptureFixture
) -> None:
    failed = Reply(429, AT_ONCE | {"x-request-id": "H1"}, b'{"error": "Model busy"}')
    with (
        caplog.at_level(logging.WARNING, "langchain_voxtral"),
        ScriptedServer(failed, failed, fine(streaming)) as server,
    ):
        ask(caller, server, streaming)
    ours = [record for record in caplog.records if record.name == "langchain_voxtral"]
    starts = [record.getMessage().split(", after: ")[0] for record in ours]
    assert starts == ["Attempt 2 of 3 in 0.0 s", "Attempt 3 of 3 in 0.0 s"]
    assert all('"Model busy" (status 429, request id H1' in r.getMessage() for r in ours)


def test_a_first_attempt_that_succeeds_is_not_logged(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(whole("Hello!")) as server:
        info = caller.invoke(caller.model(server)).info
    assert "attempts" not in info
    assert [record for record in caplog.records if record.name == "langchain_voxtral"] == []
