"""Streams that are cut and resumed: no character lost, repeated or out of order."""

import json
from typing import Any

import pytest
from support.call_modes import Caller, read_until_error
from support.completion_requests import SENT, completion_request
from support.scripted_server import End, Reply, ScriptedServer, Step
from support.sse_replies import events, final, json_reply, streamed, token

from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralInvalidRequestError,
)
from langchain_voxtral.protocol.responses import ResponseInfo

BUSY = json_reply({"error": "busy"}, status=503, headers={"retry-after": "0"})
TOKENS = ["Ça", " va", "? न", "मस्", "ते ", "😀", " fin"]


def cut(*texts: str, ending: Step = End.CUT) -> Reply:
    """Return a stream that breaks; the next attempt does not wait."""
    return events(*map(token, texts), ending)


def test_a_cut_stream_is_resumed_with_the_prompt_and_the_exact_text_so_far(caller: Caller) -> None:
    with ScriptedServer(cut("Hello", ", wor"), streamed("ld", "!")) as server:
        chunks = list(caller.stream(caller.model(server, max_stream_resumes=1)))

    assert "".join(chunk.text for chunk in chunks) == "Hello, world!"
    first, second = (seen.body for seen in server.requests)
    assert second == first | {"input": first["input"] + "Hello, wor"}
    info = {name: chunks[-1].info[name] for name in ("resumes", "attempts", "cost_complete")}
    assert info == {"resumes": 1, "attempts": 2, "cost_complete": False}
    assert chunks[-1].info["usage_metadata"]["output_tokens"] == 2 + 25


def test_a_complete_stream_reports_no_resumes(caller: Caller) -> None:
    with ScriptedServer(streamed("Hello")) as server:
        *_, last = caller.stream(caller.model(server, max_stream_resumes=3))

    assert last.info.keys().isdisjoint({"resumes", "attempts", "cost_complete"})


def test_stops_hold_and_tokens_count_across_a_cut(caller: Caller) -> None:
    with ScriptedServer(cut("one ", "ST"), streamed("OP", " two")) as server:
        model = caller.model(server, max_stream_resumes=1, max_tokens=30)
        text = "".join(chunk.text for chunk in caller.stream(model, stop=["STOP"]))

    assert text == "one "
    first, second = (seen.body for seen in server.requests)
    assert second["input"] == first["input"] + "one ST"
    assert (first["max_new_tokens"], second["max_new_tokens"]) == (30, 28)


def test_it_is_resumed_as_often_as_allowed_and_then_raises_with_all_text(caller: Caller) -> None:
    with ScriptedServer(cut("a"), cut("b"), cut("c")) as server:
        shown, error = read_until_error(caller.stream(caller.model(server, max_stream_resumes=2)))

    assert (shown, error.partial, error.attempts) == ("abc", "abc", 3)
    assert isinstance(error, VoxtralIncompleteStreamError)


def test_a_passing_failure_of_a_resumed_request_is_retried(caller: Caller) -> None:
    with ScriptedServer(cut("a"), BUSY, BUSY, streamed("b")) as server:
        chunks = list(caller.stream(caller.model(server, max_stream_resumes=1)))
    with ScriptedServer(cut("a"), BUSY, streamed("b")) as unlucky:
        model = caller.model(unlucky, max_stream_resumes=1, max_retries=0)
        _, error = read_until_error(caller.stream(model))

    assert "".join(chunk.text for chunk in chunks) == "ab"
    assert (chunks[-1].info["resumes"], len(server.requests)) == (1, 4)
    assert (type(error), error.partial, error.status_code) == (VoxtralAPIError, "a", 503)


def test_a_connection_that_fails_before_the_continuation_is_no_second_cut(caller: Caller) -> None:
    lost = Reply(steps=[End.CUT])
    with ScriptedServer(cut("a", "b"), lost, streamed("c")) as server:
        model = caller.model(server, max_stream_resumes=1, max_tokens=30)
        chunks = list(caller.stream(model))

    assert "".join(chunk.text for chunk in chunks) == "abc"
    assert chunks[-1].info["resumes"] == 1
    assert [seen.body["max_new_tokens"] for seen in server.requests] == [30, 28, 28]
    assert chunks[-1].info["usage_metadata"]["output_tokens"] == 2 + 25


def test_a_refusal_of_the_resumed_request_raises_with_the_text_so_far(caller: Caller) -> None:
    refusal = json_reply({"detail": "no"}, status=400)
    with ScriptedServer(cut("a"), refusal) as server:
        _, error = read_until_error(caller.stream(caller.model(server, max_stream_resumes=5)))

    assert (type(error), error.partial) == (VoxtralInvalidRequestError, "a")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fields", "options", "texts"),
    [
        ({}, {}, ["a"]),
        ({"max_stream_resumes": 1}, {"response_format": {"type": "json_object"}}, ["a"]),
        ({"max_stream_resumes": 1}, {"max_tokens": 1}, ["a"]),
    ],
    ids=["by default", "with a response format", "with no tokens left"],
)
def test_it_is_not_resumed(
    caller: Caller, fields: dict[str, int], options: dict[str, Any], texts: list[str]
) -> None:
    with ScriptedServer(cut(*texts)) as server:
        _, error = read_until_error(caller.stream(caller.model(server, **fields), **options))

    assert (type(error), error.partial) == (VoxtralIncompleteStreamError, "a")
    assert len(server.requests) == 1


def test_a_stream_cut_before_its_first_token_is_retried_not_resumed(caller: Caller) -> None:
    with ScriptedServer(Reply(steps=[End.RESET]), streamed("Hello")) as server:
        *chunks, last = caller.stream(caller.model(server, max_stream_resumes=1))

    assert [chunk.text for chunk in chunks] == ["Hello"]
    assert "resumes" not in last.info
    assert server.requests[0].body == server.requests[1].body


def test_the_text_is_complete_wherever_the_stream_is_cut() -> None:
    """The stream is cut at every byte: in a character, an event, a line end."""
    # Not escaped, so that a cut can fall within a character.
    parts = [f'data: {{"token": {{"text": "{text}"}}}}\n\n'.encode() for text in TOKENS]
    stream = b"".join(parts)
    for place in range(len(parts[0]), len(stream) + 1):
        decoder = CompletionStream(completion_request(max_resumes=1), SENT)
        decoder.start_attempt({}, 1)
        items = list(decoder.feed(stream[:place]))
        with pytest.raises(VoxtralError) as caught:
            items.extend(decoder.finish())
        content = decoder.resume_request(caught.value).content
        assert isinstance(content, bytes)
        received = json.loads(content)["input"].removeprefix("Q:")
        assert "".join(TOKENS).startswith(received)
        whole = next(n for n in range(len(TOKENS) + 1) if "".join(TOKENS[:n]) == received)
        decoder.start_attempt({}, 2)
        for text in TOKENS[whole:]:
            items.extend(decoder.feed(token(text)))
        items.extend(decoder.feed(final()))

        assert "".join(item for item in items if isinstance(item, str)) == "".join(TOKENS)
        assert isinstance(items[-1], ResponseInfo)
        assert items[-1].resumes == 1
