"""Streams of transcripts that break: what is sent again, what is kept, and what errors say."""

import threading

import pytest
from support.scripted_server import End, Gate, Repeat, Reply, ScriptedServer, Step
from support.sse_replies import event, events, json_reply
from support.transcription_calls import (
    BUSY,
    LONG,
    SHORT,
    chunk_number,
)
from support.transcription_streams import (
    DONE,
    END,
    LANGUAGE,
    MODES,
    delta,
    opened,
    pieces_of,
    transcriber_at,
    vllm,
)

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
)

modes = pytest.mark.parametrize("mode", MODES)
RESET = Reply(steps=[End.RESET])


SAID = [delta("Good"), delta(" mor")]
BREAKS: dict[str, tuple[list[Step], type[VoxtralError], str]] = {
    "cut": ([End.CUT], VoxtralIncompleteStreamError, "broke .* before its final event"),
    "reset": ([End.RESET], VoxtralIncompleteStreamError, "broke .* before its final event"),
    "no end": ([], VoxtralIncompleteStreamError, "ended before its final event"),
    "[DONE] alone": (
        [DONE, End.STALL],
        VoxtralIncompleteStreamError,
        "ended before its final event",
    ),
    "a cut event": ([delta("lost")[:40]], VoxtralIncompleteStreamError, "ended before its"),
    "an error": (
        [event({"error": {"message": "no memory", "code": 500}}), DONE],
        VoxtralAPIError,
        "no memory",
    ),
    "no JSON": ([b"data: nonsense\n\n"], VoxtralResponseError, "not a JSON object: 'nonsense'"),
    "another API": ([event({"answer": "Hi"}), END], VoxtralResponseError, "event of no known form"),
    "no text": ([event({"choices": [{"delta": {"content": 1}}]})], VoxtralResponseError, "known"),
    "too long": ([delta("", "length"), DONE], VoxtralResponseError, "cut at the most tokens"),
    "silence": ([End.STALL], VoxtralTimeoutError, "timeout="),
    "signs of life": ([Repeat(b": still here\n\n", 0.02)], VoxtralTimeoutError, "brought no text"),
}


@modes
@pytest.mark.parametrize(("steps", "error", "says"), BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_is_not_sent_again_and_its_text_is_kept(
    steps: list[Step], error: type[VoxtralError], says: str, mode: str
) -> None:
    reply = events(*SAID, *steps, headers={"x-request-id": "R1"})
    # Only where this limit fails does a call last longer.
    seconds = 0.25 if error is VoxtralTimeoutError else 10
    with ScriptedServer(reply) as server:
        transcriber = transcriber_at(server, max_retries=2, timeout=seconds)
        with opened(mode, getattr(transcriber, mode)(SHORT)) as following:
            assert [following(), following()] == ["Good", " mor"]
            with pytest.raises(error, match=f"the recording: .*{says}") as caught:
                following()
        assert len(server.requests) == 1
    assert type(caught.value) is error
    assert (caught.value.partial, caught.value.request_id) == ("Good mor", "R1")


PAGE = Reply(headers={"content-type": "text/html"}, body=b"<title>502 Bad Gateway</title>")


@modes
@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (PAGE, VoxtralResponseError, "502 Bad Gateway"),
        (json_reply({"error": "no memory"}), VoxtralError, "no memory"),
        (json_reply({"detail": "no such field"}, status=400), VoxtralInvalidRequestError, "no suc"),
        (json_reply({"answer": "Hi"}), VoxtralResponseError, "has no text"),
        (events(), VoxtralIncompleteStreamError, "ended before its final event"),
        (
            events(b"no gzip", headers={"content-encoding": "gzip"}),
            VoxtralResponseError,
            "does not",
        ),
    ],
    ids=["page", "error", "refusal", "another API", "nothing", "encoding"],
)
def test_what_is_no_stream_is_an_error(
    reply: Reply, error: type[VoxtralError], says: str, mode: str
) -> None:
    with (
        ScriptedServer(reply) as server,
        pytest.raises(error, match=f"the recording: .*{says}") as caught,
    ):
        pieces_of(mode, transcriber_at(server, max_retries=2), SHORT)
    assert (caught.value.partial, len(server.requests)) == ("", 1)


@modes
def test_the_error_of_a_broken_stream_names_its_chunk(mode: str) -> None:
    with ScriptedServer(vllm("First."), events(*SAID)) as server:
        transcriber = transcriber_at(server, chunk_seconds=11, max_concurrency=1)
        with (
            opened(mode, getattr(transcriber, mode)(LONG)) as following,
            pytest.raises(VoxtralIncompleteStreamError, match=r"chunk 2 \(9.8 s to 19.9 s\): The"),
        ):
            assert [following() for _ in range(4)] == ["First.", " Good", " mor", None]


@modes
@pytest.mark.parametrize(
    "failed",
    [BUSY, RESET, events(LANGUAGE, End.RESET), events(delta(""), b"", End.RESET)],
    ids=["busy", "reset", "reset after the language", "reset before any text"],
)
def test_a_stream_is_sent_again_while_no_text_has_come(mode: str, failed: Reply) -> None:
    busy = Reply(failed.status, {**failed.headers, "retry-after": "0"}, failed.body, failed.steps)
    with ScriptedServer(busy, vllm("Good", " morning")) as server:
        pieces = pieces_of(mode, transcriber_at(server, max_retries=1), SHORT)
        assert len(server.requests) == 2
    assert pieces == ["Good", " morning"]


@modes
def test_a_failure_comes_behind_the_text_before_it(mode: str) -> None:
    """The second chunk fails at once, while the first one is being read."""
    script = [events(delta("A"), gate := Gate(), delta("B"), END), BUSY, vllm("C")]
    with ScriptedServer(*script) as server:

        def open_when_all_came() -> None:
            server.wait_for_requests(2)
            gate.open()

        opening = threading.Thread(target=open_when_all_came)
        opening.start()
        transcriber = transcriber_at(server, chunk_seconds=20, max_concurrency=2)
        shown: list[str] = []
        with (
            opened(mode, getattr(transcriber, mode)(LONG)) as following,
            pytest.raises(VoxtralRateLimitError),
        ):
            shown.extend(iter(following, None))
        opening.join()
        is_first = chunk_number(server.requests[0]) == 0
    assert "".join(shown) == ("AB" if is_first else "")
