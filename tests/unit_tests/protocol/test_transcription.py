"""Responses of speech endpoints: transcriptions and translations."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralRateLimitError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.responses import Usage
from langchain_voxtral.protocol.segments import Segment
from langchain_voxtral.protocol.transcription import Transcript, parse_transcript

parse_openai, parse_native = parse_transcript, partial(parse_transcript, is_native=True)


def body(**fields: object) -> bytes:
    return json.dumps({"text": "Hi.", **fields}).encode()


def test_a_native_answer_is_read_completely() -> None:
    fields = {
        "text": "Hello World",
        "segments": [
            {"end": 1.0, "id": 0, "start": 0.0, "text": "Hello"},
            {"end": 5, "id": 1, "start": 4, "text": "World"},
        ],
        "language": "en",
        "input_length_ms": 5250,
        "words": [
            {"end": 1.0, "start": 0.0, "text": "Hello"},
            {"end": 5.0, "start": 4.0, "text": "World"},
        ],
        "duration": 0.0,
        "request_id": "R1",
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": 120,
            "cost": 0.0000875,
            "tokens_generated": 4,
            "tokens_input": 380,
            "output_length": 0,
        },
    }
    assert parse_native(json.dumps(fields).encode(), header_request_id="H1") == Transcript(
        "Hello World",
        segments=(Segment(0.0, 1.0, "Hello", id=0), Segment(4.0, 5.0, "World", id=1)),
        language="en",
        usage=Usage(input_tokens=380, output_tokens=4, cost=0.0000875),
        request_id="R1",
        runtime_ms=120,
    )


def test_missing_values_of_a_native_answer_are_none() -> None:
    empty: dict[str, object] = dict.fromkeys(
        ("segments", "words", "language", "request_id", "inference_status", "duration")
    )
    assert parse_native(body(**empty)) == Transcript("Hi.")
    assert parse_native(body(input_length_ms=0, duration=0.0)) == Transcript("Hi.")
    assert parse_native(body(), header_request_id="H1") == Transcript("Hi.", request_id="H1")


@pytest.mark.parametrize(
    ("status", "usage", "runtime_ms"),
    [
        ("unknown", Usage(), None),
        (None, Usage(input_tokens=0, output_tokens=0, cost=0.0), 0),
        ("succeeded", Usage(input_tokens=0, output_tokens=0, cost=0.0), 0),
    ],
)
def test_zeros_of_an_unknown_status_are_ignored(
    status: str | None, usage: Usage, runtime_ms: int | None
) -> None:
    zeros = {"runtime_ms": 0, "cost": 0.0, "tokens_generated": 0, "tokens_input": 0}
    fields = body(inference_status={"status": status, **zeros})
    assert parse_native(fields) == Transcript("Hi.", usage=usage, runtime_ms=runtime_ms)


def test_an_unknown_status_may_have_a_cost() -> None:
    fields = body(inference_status={"status": "unknown", "cost": 0.001, "tokens_input": 0})
    assert parse_native(fields) == Transcript("Hi.", usage=Usage(cost=0.001))


@pytest.mark.parametrize(
    ("fields", "transcript"),
    [
        # DeepInfra's Voxtral answers verbose_json with a duration and nulls.
        (
            {"task": "transcribe", "duration": 7.5, "segments": None, "language": None},
            Transcript("Hi."),
        ),
        # OpenAI
        (
            {
                "language": "english",
                "duration": 7.5,
                "segments": [{"id": 3, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hi."}],
                "words": [{"word": "Hi", "start": 0.0, "end": 0.5}],
                "usage": {"type": "duration", "seconds": 8},
            },
            Transcript("Hi.", (Segment(0.0, 1.5, " Hi.", id=3),), language="en"),
        ),
        # vLLM: json, and verbose_json of a model that has it
        (
            {"usage": {"type": "duration", "seconds": 8}},
            Transcript("Hi."),
        ),
        ({"duration": "7.5", "language": "fr"}, Transcript("Hi.", language="fr")),
        # llama.cpp
        (
            {
                "type": "transcript.text.done",
                "usage": {
                    "type": "tokens",
                    "input_tokens": 380,
                    "output_tokens": 4,
                    "total_tokens": 384,
                    "input_tokens_details": {"cached_tokens": 3},
                },
            },
            Transcript("Hi.", usage=Usage(380, 4, cached_tokens=3)),
        ),
        # Mistral
        (
            {
                "model": "voxtral-mini-2507",
                "language": None,
                "segments": [
                    {
                        "type": "transcription_segment",
                        "text": "Hi.",
                        "start": 0.2,
                        "end": 1.5,
                        "score": None,
                        "speaker_id": None,
                    }
                ],
                "usage": {
                    "prompt_audio_seconds": 8,
                    "prompt_tokens": 4,
                    "completion_tokens": 2,
                    "total_tokens": 6,
                },
            },
            Transcript("Hi.", (Segment(0.2, 1.5, "Hi."),), usage=Usage(4, 2, audio_seconds=8)),
        ),
        # OpenRouter
        (
            {"usage": {"seconds": 2.0, "cost": 0.000116}},
            Transcript("Hi.", usage=Usage(cost=0.000116)),
        ),
        ({"language": "klingon"}, Transcript("Hi.", language="klingon")),
        ({"id": "trsc-1"}, Transcript("Hi.", request_id="trsc-1")),
        (
            {"usage": {"estimated_cost": 0.0}, "inference_status": None},
            Transcript("Hi.", usage=Usage(cost=0.0)),
        ),
    ],
)
def test_the_answers_of_openais_endpoints_are_read_as_every_server_gives_them(
    fields: dict[str, object], transcript: Transcript
) -> None:
    assert parse_openai(body(**fields)) == transcript


def test_the_request_id_is_the_headers_at_openais_endpoints() -> None:
    assert parse_openai(body(id="B1"), header_request_id="H1").request_id == "H1"


def test_segments_may_overlap_by_a_clocks_error() -> None:
    segments = [{"start": 0, "end": 3, "text": "a"}, {"start": 2.95, "end": 4, "text": "b"}]
    assert parse_native(body(segments=segments)).segments == (
        Segment(0.0, 3.0, "a"),
        Segment(2.95, 4.0, "b"),
    )


@pytest.mark.parametrize("parse", [parse_native, parse_openai])
@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            '"segments": [{"start": 2, "end": 1, "text": "a"}]',
            "segments[0] from 2.0 s to 1.0 s, which ends before it begins",
        ),
        (
            '"segments": [{"start":0,"end":3,"text":"a"}, {"start":2,"end":4,"text":"b"}]',
            "segments[1] from 2.0 s to 4.0 s, which begins before the end of the one before",
        ),
        (
            '"segments": [{"start": -0.5, "end": 1, "text": "a"}]',
            "segments[0] from -0.5 s to 1.0 s, which begins before the recording",
        ),
        (
            '"segments": [{"start": NaN, "end": 1, "text": "a"}]',
            "segments[0] from nan s to 1.0 s, which is no time",
        ),
        (
            '"segments": [{"start": 0, "end": 1e999, "text": "a"}]',
            "segments[0] from 0.0 s to inf s, which is no time",
        ),
        (
            f'"segments": [{{"start": 0, "end": 1{"0" * 400}, "text": "a"}}]',
            "segments[0] from 0.0 s to inf s, which is no time",
        ),
        (
            '"segments": [{"start": null, "end": 1, "text": "a"}]',
            "segments[0] whose start is not a number of seconds",
        ),
        (
            '"segments": [{"start": 0, "end": true, "text": "a"}]',
            "segments[0] whose end is not a number of seconds",
        ),
        (
            '"segments": [{"start": 0, "end": "1.0", "text": "a"}]',
            "segments[0] whose end is not a number of seconds",
        ),
        (
            '"segments": [{"start": 2.2, "end": 3, "text": "a"}]',
            "segments[0] from 2.2 s to 3.0 s, which begins after the 2.0 s that were sent",
        ),
        (
            '"segments": [{"start": 1, "end": 2, "text": "a"}, {"start": 0, "end": 1, "text": ""}]',
            "segments[1] from 0.0 s to 1.0 s, out of order: the one before begins at 1.0 s",
        ),
        (
            '"segments": [{"start": 0, "end": 1, "text": "a"}, "b"]',
            "segments[1] that is not an object",
        ),
        (
            '"segments": [{"start": 0, "end": 0, "text": "Hi"}]',
            "segments that all last no time",
        ),
        (
            '"segments": [{"start": 0, "end": 1, "text": "h"}]',
            "segments that leave out a part of the text",
        ),
        (
            '"segments": [{"start": 0, "end": 1, "text": "..."}]',
            "segments that leave out a part of the text",
        ),
        ('"segments": [{"start": 0, "end": 1}]', "segments[0] without a text"),
        ('"segments": [{"start": 0, "end": 1, "text": ["a"]}]', "segments[0] without a text"),
        ('"segments": {}', "segments that are not a list"),
        ('"segments": "a"', "segments that are not a list"),
        ('"segments": false', "segments that are not a list"),
    ],
)
def test_impossible_segments_leave_the_text_and_are_described(
    fields: str, problem: str, parse: Callable[..., Transcript]
) -> None:
    answer = f'{{"text": "Hi.", "request_id": "R1", "language": "en", {fields}}}'.encode()
    assert parse(answer, max_seconds=2.0) == Transcript(
        "Hi.", language="en", request_id="R1", segments_problem=problem
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello, world.", ["hello", "WORLD!"]),
        ("It is five.", ["It is 5."]),
        ("Bye.", ["Speaker 1: ", "Bye."]),
        ("", ["Hello."]),
    ],
)
def test_segments_may_write_the_text_in_another_way(text: str, parts: list[str]) -> None:
    segments = [{"start": at, "end": at + 1, "text": part} for at, part in enumerate(parts)]
    transcript = parse_openai(body(text=text, segments=segments))
    assert [one.text for one in transcript.segments] == parts
    assert transcript.segments_problem is None


def test_a_segment_may_begin_within_a_tenth_of_a_second_after_the_recording() -> None:
    segments = [{"start": 2.1, "end": 9, "text": "a"}]
    assert parse_native(body(segments=segments), max_seconds=2.0).segments == (
        Segment(2.1, 9.0, "a"),
    )


@pytest.mark.parametrize(
    "odd",
    [
        '"segments": [{"start": 2, "end": 1, "text": "a"}], "words": {}',
        '"duration": -1',
        '"duration": "long", "input_length_ms": [1]',
        '"duration": true, "input_length_ms": false',
    ],
)
def test_unrequested_fields_cannot_fail_a_response(odd: str) -> None:
    answer = f'{{"text": "Hi.", {odd}}}'.encode()
    assert parse_native(answer, timestamps=None) == Transcript("Hi.")
    assert parse_openai(answer, timestamps=None) == Transcript("Hi.")


def test_a_failure_within_an_answer_is_an_error() -> None:
    failed = b'{"request_id": "R1", "inference_status": {"status": "failed"}, "text": ""}'
    with pytest.raises(VoxtralAPIError) as caught:
        parse_native(failed)
    assert caught.value.request_id == "R1"


def test_an_error_in_a_200_body_is_an_error() -> None:
    busy = b'{"error": {"message": "Model busy", "code": "engine_overloaded", "type": "x"}}'
    with pytest.raises(VoxtralRateLimitError) as caught:
        parse_openai(busy, header_request_id="H1")
    assert caught.value.request_id == "H1"


@pytest.mark.parametrize(
    ("fields", "status"),
    [(b"{}", "missing"), (b'{"text": null, "inference_status": {"status": "queued"}}', "queued")],
)
def test_an_answer_without_text_is_an_error(fields: bytes, status: str) -> None:
    with pytest.raises(VoxtralResponseError) as caught:
        parse_native(fields)
    assert caught.value.message == (
        f"The server's answer has no text (status: {status}); check that base_url= and model= "
        "lead to speech."
    )


@pytest.mark.parametrize(
    ("leaked", "text"),
    [
        ("lang:enHello!", "Hello!"),
        ("lang:en Hello!", "Hello!"),
        ("lang:fr[TRANSCRIBE]Hello!", "Hello!"),
        ("[TRANSCRIBE]Hello!", "Hello!"),
        ("lang:sv[TRANSCRIBE]Hello!", "Hello!"),
        ("lang:haw[TRANSCRIBE]Hello!", "Hello!"),
        ("lang:xx is no language", "lang:xx is no language"),
        ("It says lang:en[TRANSCRIBE].", "It says lang:en[TRANSCRIBE]."),
        ("[TRANSCRIBE][TRANSCRIBE]", "[TRANSCRIBE]"),
        (" Hello! ", " Hello! "),
    ],
)
def test_leaked_template_text_goes_at_the_very_start_only(leaked: str, text: str) -> None:
    segments = [{"start": 0, "end": 1, "text": leaked}, {"start": 1, "end": 2, "text": leaked}]
    assert parse_native(json.dumps({"text": leaked, "segments": segments}).encode()) == Transcript(
        text, (Segment(0.0, 1.0, text), Segment(1.0, 2.0, leaked))
    )


def test_a_response_that_is_not_json_is_an_error() -> None:
    with pytest.raises(VoxtralResponseError, match="is not a JSON object but: Hello!"):
        parse_openai(b"Hello!")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["start", "end", "text", "word", "words", "speaker", "id", "status", "cost"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(
        [
            "text",
            "segments",
            "words",
            "language",
            "language_probability",
            "language_source",
            "duration",
            "input_length_ms",
            "usage",
            "inference_status",
            "request_id",
            "id",
            "error",
        ]
    ),
    VALUES,
)


@given(document=DOCUMENTS)
def test_any_document_is_a_transcript_with_possible_times_or_one_of_our_errors(
    document: dict[str, object],
) -> None:
    try:
        data = json.dumps({"text": "Hi.", **document}).encode()
        transcript = parse_native(data, timestamps="word")
    except VoxtralError:
        assert document.get("error") or not isinstance(document.get("text", ""), str)
        return
    starts = [part.start for part in transcript.segments]
    assert starts == sorted(starts)
    words = [word for segment in transcript.segments for word in segment.words]
    times = [(part.start, part.end) for part in transcript.segments]
    times += [(word.start, word.end) for word in words]
    assert all(0 <= start <= end < float("inf") for start, end in times)
    assert 0 <= (transcript.language_probability or 0) <= 1
