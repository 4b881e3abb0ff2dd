"""Broken streams: an incomplete answer is never returned as complete."""

import httpx
import pytest
from pydantic import SecretStr
from support.call_modes import Caller, read_until_error
from support.scripted_server import End, Gate, Reply, ScriptedServer, Step
from support.sse_replies import event, events, final, json_reply, streamed, token, whole

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralConnectionError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralRateLimitError,
    VoxtralResponseError,
)

HEADERS = {"x-request-id": "H1"}


def facts(error: VoxtralError) -> dict[str, object]:
    return {
        "class": type(error),
        "partial": error.partial,
        "usage": error.usage,
        "request_id": error.request_id,
        "attempts": error.attempts,
    }


@pytest.mark.parametrize(
    "ending",
    [[], [End.CUT], [token("lost")[:30]], [token("lost")[:30], End.CUT], [b"data: [DONE]\n\n"]],
    ids=["clean end", "closed", "clean end in an event", "closed in an event", "[DONE] alone"],
)
def test_a_stream_without_its_final_event_raises_with_the_text_so_far(
    caller: Caller, ending: list[Step]
) -> None:
    reply = events(token("Hello"), token("!"), *ending, headers=HEADERS)
    with ScriptedServer(reply) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert shown == "Hello!"
    assert facts(error) == {
        "class": VoxtralIncompleteStreamError,
        "partial": "Hello!",
        "usage": {"output_tokens": 2},
        "request_id": "H1",
        "attempts": 1,
    }
    assert len(server.requests) == 1


def test_a_stream_that_breaks_has_the_request_id_of_its_events(caller: Caller) -> None:
    first = {"token": {"text": "Hello"}, "request_id": "E1"}
    with ScriptedServer(events(event(first))) as server:
        _, error = read_until_error(caller.stream(caller.model(server)))
    assert (type(error), error.request_id) == (VoxtralIncompleteStreamError, "E1")


def test_a_chat_completion_that_breaks_has_the_id_of_its_chunks() -> None:
    first = {"id": "E1", "choices": [{"delta": {"content": "Hello"}}]}
    with ScriptedServer(events(event(first))) as server:
        chat = ChatVoxtral(base_url=server.url, api_key=SecretStr("any"), api="chat_completions")
        with pytest.raises(VoxtralIncompleteStreamError) as caught:
            list(chat.stream("Hi"))
    assert caught.value.request_id == "E1"


def test_a_connection_reset_in_a_stream_raises_with_the_text_so_far(caller: Caller) -> None:
    seen = Gate()
    reply = events(token("Hello"), seen, End.RESET, headers=HEADERS)
    with ScriptedServer(reply) as server:
        chunks = caller.stream(caller.model(server))
        assert next(chunks).text == "Hello"
        seen.open()
        shown, error = read_until_error(chunks)
    assert shown == ""
    assert facts(error) == {
        "class": VoxtralIncompleteStreamError,
        "partial": "Hello",
        "usage": {"output_tokens": 1},
        "request_id": "H1",
        "attempts": 1,
    }
    assert isinstance(error.__cause__, VoxtralConnectionError)
    assert len(server.requests) == 1


def test_the_partial_text_has_what_was_held_back_for_a_stop(caller: Caller) -> None:
    with ScriptedServer(events(token("one"), token(" ST"))) as server:
        shown, error = read_until_error(caller.stream(caller.model(server), stop=["STOP"]))
    assert (shown, error.partial) == ("one ", "one ST")


def test_a_stream_that_ends_before_any_token_raises(caller: Caller) -> None:
    with ScriptedServer(events(headers=HEADERS)) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert (shown, type(error), error.partial) == ("", VoxtralIncompleteStreamError, "")
    assert error.request_id == "H1"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"error": {"message": "CUDA OOM"}}, VoxtralAPIError),
        ({"error_type": "generation", "error_message": "CUDA OOM"}, VoxtralAPIError),
        ({"error": "CUDA OOM", "error_type": "generation"}, VoxtralAPIError),
        ({"error": {"message": "CUDA OOM: Model busy, retry later"}}, VoxtralRateLimitError),
        (
            {"error": "CUDA OOM: Requested input length 9 exceeds maximum input length 8"},
            VoxtralContextOverflowError,
        ),
    ],
)
def test_an_error_event_raises_its_class_with_the_text_so_far(
    caller: Caller, document: object, kind: type[VoxtralError], together: bool
) -> None:
    steps = [token("Hello"), token("!"), event(document)]
    reply = events(*([b"".join(steps)] if together else steps), headers=HEADERS)
    with ScriptedServer(reply) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert shown == "Hello!"
    assert facts(error) == {
        "class": kind,
        "partial": "Hello!",
        "usage": {"output_tokens": 2},
        "request_id": "H1",
        "attempts": 1,
    }
    assert "CUDA OOM" in str(error)
    assert len(server.requests) == 1


def test_data_that_is_not_an_event_of_this_api_raises_with_the_text_so_far(caller: Caller) -> None:
    reply = events(token("Hello"), b"data: nonsense\n\n", final())
    with ScriptedServer(reply) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert (shown, type(error), error.partial) == ("Hello", VoxtralResponseError, "Hello")


def test_a_stream_answered_without_streaming_is_one_clear_error(caller: Caller) -> None:
    with ScriptedServer(whole("Hello!")) as server:
        shown, error = read_until_error(caller.stream(caller.model(server)))
    assert (shown, type(error), error.partial) == ("", VoxtralResponseError, "Hello!")
    assert "seems not to stream" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("streaming", [True, False])
def test_a_page_instead_of_an_answer_is_one_clear_error(caller: Caller, streaming: bool) -> None:
    page = b"<html><head><title>Welcome</title></head><body>Sign in</body></html>"
    with ScriptedServer(Reply(headers={"content-type": "text/html"}, body=page)) as server:
        model = caller.model(server)
        with pytest.raises(VoxtralResponseError, match=r"not a JSON object.*Check base_url="):
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)
    assert len(server.requests) == 1


@pytest.mark.parametrize("streaming", [True, False])
def test_a_failure_within_a_successful_answer_is_raised(caller: Caller, streaming: bool) -> None:
    failed = {"request_id": "R1", "inference_status": {"status": "failed"}}
    with ScriptedServer(json_reply(failed)) as server:
        model = caller.model(server)
        with pytest.raises(VoxtralAPIError) as caught:
            _ = list(caller.stream(model)) if streaming else caller.invoke(model)
    assert (caught.value.request_id, caught.value.attempts) == ("R1", 1)


BROKEN_OFF = Reply(
    headers={"content-type": "application/json"},
    steps=[b'{"results": [{"generated_text": "Hel', End.CUT],
)


def test_an_unstreamed_answer_that_breaks_off_is_requested_again(caller: Caller) -> None:
    with ScriptedServer(BROKEN_OFF, whole("Hello!")) as server:
        assert caller.invoke(caller.model(server)).text == "Hello!"
    assert len(server.requests) == 2


def test_an_unstreamed_answer_that_always_breaks_off_is_an_error_with_its_cause(
    caller: Caller,
) -> None:
    with (
        ScriptedServer(BROKEN_OFF) as server,
        pytest.raises(VoxtralConnectionError, match="broke the connection") as caught,
    ):
        caller.invoke(caller.model(server, max_retries=0))
    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)


@pytest.mark.parametrize("streaming", [True, False])
def test_redirects_are_not_followed(caller: Caller, streaming: bool) -> None:
    with ScriptedServer(default=streamed("Hello")) as elsewhere:
        redirect = Reply(307, {"location": f"{elsewhere.url}/inference/other"}, b"")
        with ScriptedServer(redirect) as server:
            model = caller.model(server, api_key="secret")
            with pytest.raises(VoxtralResponseError, match="redirects are not followed"):
                _ = list(caller.stream(model)) if streaming else caller.invoke(model)
    assert (len(server.requests), elsewhere.requests) == (1, [])


def test_a_body_that_is_not_in_its_encoding_is_one_clear_error(caller: Caller) -> None:
    reply = Reply(headers={"content-encoding": "gzip"}, body=b"no gzip")
    with (
        ScriptedServer(reply) as server,
        pytest.raises(VoxtralResponseError, match="does not match its Content-Encoding"),
    ):
        caller.invoke(caller.model(server))
    assert len(server.requests) == 1
