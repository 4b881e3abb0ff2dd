"""Times of words and names of speakers, in documents and subtitles."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr, ValidationError
from support import speech_samples
from support.documented_exchanges import KEY, Server
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    LONG,
    PARSES,
    SHORT,
    form_of,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import (
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError

WORDS: list[dict[str, Any]] = [
    {"word": "Hello.", "start": 0.25, "end": 0.75},
    {"word": "World.", "start": 1.0, "end": 1.5},
]
SEGMENTS = [
    {"start": 0.25, "end": 1.0, "text": " Hello."},
    {"start": 1.0, "end": 1.5, "text": " World."},
]
TEXT = {"text": "Hello. World."}
TIMED = json_reply({**TEXT, "segments": SEGMENTS, "words": WORDS})
LISTED = [
    {"start": 0.25, "end": 1.0, "text": "Hello."},
    {"start": 1.0, "end": 1.5, "text": "World."},
]

MISTRAL = {"server": "mistral", "model": "voxtral-mini-2602"}
SPOKEN = [
    {
        "type": "transcription_segment",
        "start": 0.2,
        "end": 1.2,
        "text": "Hello.",
        "speaker_id": "a",
    },
    {
        "type": "transcription_segment",
        "start": 0.9,
        "end": 1.5,
        "text": "World.",
        "speaker_id": "b",
    },
]
CONVERSATION = json_reply({**TEXT, "model": "voxtral-mini-2602", "segments": SPOKEN})


def facts(document: Document, *names: str) -> tuple[Any, ...]:
    return (document.page_content, *(document.metadata.get(name) for name in names))


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
def test_each_word_is_a_document(endpoint: str, method: str) -> None:
    with ScriptedServer(default=TIMED) as server:
        parser = parser_of(
            server, mode="word", endpoint=endpoint, chunk_seconds=11, max_concurrency=1
        )
        made = PARSES[method](parser, LONG)
    assert [facts(one, "word", "start", "end", "chunk", "timestamps_source") for one in made] == [
        (
            text,
            2 * chunk + at,
            *(round(BOUNDS[chunk][0] + time, 6) for time in times),
            chunk,
            "server",
        )
        for chunk in range(3)
        for at, (text, *times) in enumerate([("Hello.", 0.25, 0.75), ("World.", 1.0, 1.5)])
    ]
    assert all("words" not in one.metadata and "speaker" not in one.metadata for one in made)


@pytest.mark.parametrize(
    ("mode", "texts", "words"),
    [
        ("document", ["Hello. World."], [WORDS]),
        ("chunk", ["Hello. World."], [WORDS]),
        ("segment", ["Hello.", "World."], [WORDS[:1], WORDS[1:]]),
    ],
)
def test_words_are_in_the_metadata_on_request(mode: str, texts: list[str], words: Any) -> None:
    with ScriptedServer(default=TIMED) as server:
        made = parser_of(server, mode=mode, timestamps="word").parse(SHORT)
        without = parser_of(server, mode=mode).parse(SHORT)
    assert [facts(one, "words", "timestamps_source") for one in made] == [
        (text, each, "server") for text, each in zip(texts, words, strict=True)
    ]
    assert all(one.metadata.keys().isdisjoint({"words", "segments"}) for one in without)


def test_words_of_all_chunks_have_their_times_in_the_recording() -> None:
    with ScriptedServer(default=TIMED) as server:
        [made] = parser_of(server, timestamps="word", chunk_seconds=11).parse(LONG)
    assert [(one["word"], one["start"]) for one in made.metadata["words"]] == [
        (word["word"], round(start + word["start"], 6)) for start, _ in BOUNDS for word in WORDS
    ]


@pytest.mark.parametrize("mode", ["document", "chunk"])
def test_segments_are_in_the_metadata_on_request(mode: str) -> None:
    with ScriptedServer(TIMED) as server:
        [made] = parser_of(server, mode=mode, timestamps="segment").parse(SHORT)
    assert facts(made, "segments", "timestamps_source", "words") == (
        "Hello. World.",
        LISTED,
        "server",
        None,
    )


BAD = [WORDS[0], {"word": "World.", "start": 1.0, "end": None}]
PARTLY: dict[str, tuple[dict[str, Any], str, str]] = {
    "impossible words": (
        {"segments": SEGMENTS, "words": BAD},
        "segment",
        (
            "the server's answer has words[1] whose end is not a number of seconds. The times of "
            "its segments are used."
        ),
    ),
    "no words": (
        {"segments": SEGMENTS},
        "segment",
        "the server returned no times of words, so the text has those of segments.",
    ),
    "impossible segments": (
        {"segments": [{}], "words": WORDS},
        "server",
        "the server's answer has segments[0] without a text. The times of its words are used.",
    ),
    "no times": (
        {},
        "chunk",
        (
            "the server returned no times, so the text gets those of whole chunks; a smaller "
            "chunk_seconds= makes them finer."
        ),
    ),
}


@pytest.mark.parametrize("case", PARTLY)
def test_what_has_possible_times_is_kept_and_the_rest_is_logged(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields, source, message = PARTLY[case]
    with ScriptedServer(default=json_reply({**TEXT, **fields})) as server:
        [whole] = parser_of(server, timestamps="word").parse(SHORT)
        [*segments] = parser_of(server, timestamps="word", mode="segment").parse(SHORT)
        words = parser_of(server, mode="word").parse(SHORT)
    assert [record.getMessage() for record in caplog.records] == [f"the recording: {message}"] * 3
    assert " ".join(one.page_content for one in words) == whole.page_content == "Hello. World."
    assert {one.metadata["timestamps_source"] for one in [whole, *segments, *words]} == {source}
    assert whole.metadata.get("words") == (WORDS if source == "server" else None)


def test_a_chunk_without_words_does_not_cost_the_words_of_others() -> None:
    answers = TIMED, json_reply({**TEXT, "segments": SEGMENTS}), TIMED
    settings: dict[str, Any] = {"chunk_seconds": 11, "max_concurrency": 1}
    with ScriptedServer(*answers, *answers) as server:
        words = parser_of(server, mode="word", **settings).parse(LONG)
        [whole] = parser_of(server, timestamps="word", **settings).parse(LONG)
    assert [one.metadata["timestamps_source"] for one in words] == [
        *["server"] * 2,
        *["segment"] * 2,
        *["server"] * 2,
    ]
    assert facts(whole, "timestamps_source")[1] == "segment"
    assert len(whole.metadata["words"]) == 4


def test_a_word_outside_of_its_segment_is_not_told_twice() -> None:
    early = [WORDS[0], WORDS[1] | {"start": 0.75, "end": 0.95}]
    with ScriptedServer(
        default=json_reply({**TEXT, "segments": SEGMENTS, "words": early})
    ) as server:
        words = parser_of(server, mode="word").parse(SHORT)
        [whole] = parser_of(server, timestamps="word").parse(SHORT)
    assert [one.page_content for one in words] == ["Hello.", "World."]
    assert facts(whole, "words", "timestamps_source")[1:] == (early, "server")


# Mistral


def words_as_segments() -> Reply:
    return json_reply({**TEXT, "segments": [{**one, "text": one["word"]} for one in WORDS]})


def test_mistrals_words_come_in_the_place_of_segments() -> None:
    with ScriptedServer(default=words_as_segments()) as server:
        [made] = parser_of(server, **MISTRAL, timestamps="word").parse(SHORT)
        parser = parser_of(server, **MISTRAL, timestamps="word", mode="segment")
        segments = [*parser.lazy_parse(SHORT)]
        [subtitles] = parser_of(server, **MISTRAL, timestamps="word", mode="srt").parse(SHORT)
    assert made.metadata["words"] == subtitles.metadata["words"] == WORDS
    assert [facts(one, "start", "end") for one in segments] == [
        ("Hello.", 0.25, 0.75),
        ("World.", 1.0, 1.5),
    ]
    # None is streamed: the words would be taken for segments.
    assert [form_of(seen)[0] for seen in server.requests] == [
        [
            ("model", "voxtral-mini-2602"),
            ("temperature", "0.0"),
            ("timestamp_granularities", "word"),
        ]
    ] * 3


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
@pytest.mark.parametrize("on_error", ["raise", "mark"])
def test_a_model_without_words_is_an_error_and_not_a_loss(
    on_error: Any, endpoint: str, method: str
) -> None:
    refusal = json_reply({"message": "verbose_json: word is not supported"}, status=400)
    with ScriptedServer(refusal) as server:
        parser = parser_of(server, mode="word", endpoint=endpoint, on_error=on_error)
        if on_error == "mark":
            problem = PARSES[method](parser, SHORT)[0].metadata["error"]
        else:
            with pytest.raises(VoxtralInvalidRequestError) as caught:
                PARSES[method](parser, SHORT)
            problem = str(caught.value)
    assert len(server.requests) == 1
    assert "word is not supported" in problem
    assert "ask for timestamps='segment' or for none" in problem


def test_times_that_are_asked_for_by_name_are_not_given_up() -> None:
    refusal = json_reply({"error": {"message": "no verbose_json here"}}, status=400)
    with (
        ScriptedServer(refusal) as server,
        pytest.raises(VoxtralInvalidRequestError, match="no verbose_json here"),
    ):
        parser_of(server, timestamps="segment").parse(SHORT)
    assert len(server.requests) == 1


# Speakers

SRT = "1\n00:00:00,200 --> 00:00:01,200\na: Hello.\n\n2\n00:00:00,900 --> 00:00:01,500\nb: World.\n"
VTT = (
    "WEBVTT\n\n00:00:00.200 --> 00:00:01.200\na: Hello.\n\n"
    "00:00:00.900 --> 00:00:01.500\nb: World.\n"
)


@pytest.mark.parametrize("method", PARSES)
def test_speakers_are_asked_for_and_named(method: str) -> None:
    settings: dict[str, Any] = {**MISTRAL, "speakers": True}
    with ScriptedServer(default=CONVERSATION) as server:
        segments = PARSES[method](parser_of(server, **settings, mode="segment"), SHORT)
        [srt] = PARSES[method](parser_of(server, **settings, mode="srt"), SHORT)
        [vtt] = PARSES[method](parser_of(server, **settings, mode="vtt"), SHORT)
        [whole] = PARSES[method](parser_of(server, **settings), SHORT)
    assert [facts(one, "speaker", "start") for one in segments] == [
        ("Hello.", "a", 0.2),
        ("World.", "b", 0.9),
    ]
    assert (srt.page_content, vtt.page_content) == (SRT, VTT)
    assert facts(whole, "segments", "timestamps_source") == (
        "Hello. World.",
        [
            {"start": 0.2, "end": 1.2, "text": "Hello.", "speaker": "a"},
            {"start": 0.9, "end": 1.5, "text": "World.", "speaker": "b"},
        ],
        "server",
    )
    assert [form_of(seen)[0] for seen in server.requests] == [
        [
            ("model", "voxtral-mini-2602"),
            ("temperature", "0.0"),
            ("diarize", "true"),
            ("timestamp_granularities", "segment"),
        ]
    ] * 4


def test_a_speaker_that_the_server_tells_unasked_is_in_the_metadata_only() -> None:
    with ScriptedServer(default=CONVERSATION) as server:
        segments = parser_of(server, mode="segment").parse(SHORT)
        [subtitles] = parser_of(server, mode="srt").parse(SHORT)
    assert [one.metadata["speaker"] for one in segments] == ["a", "b"]
    assert "a:" not in subtitles.page_content


def test_speakers_of_different_chunks_are_not_taken_for_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedServer(default=CONVERSATION) as server:
        parser = parser_of(server, **MISTRAL, speakers=True, mode="segment", chunk_seconds=11)
        made = parser.parse(LONG)
    assert [one.metadata["speaker"] for one in made] == ["0/a", "0/b", "1/a", "1/b", "2/a", "2/b"]
    [record] = caplog.records
    assert record.getMessage() == (
        "the recording: it is sent in several chunks, and no server compares the speakers of one "
        "with those of another: their names begin with the number of the chunk."
    )


@pytest.mark.parametrize(("settings", "limit"), [({}, 330.0), ({"timeout": 7.0}, 7.0)])
def test_with_speakers_a_chunk_is_as_long_as_the_server_takes_it(
    caplog: pytest.LogCaptureFixture, settings: dict[str, Any], limit: float
) -> None:
    """It has time for that, half its length, unless a limit is given."""
    server = Server()
    server.answer = lambda _: httpx.Response(200, json={**TEXT, "segments": SPOKEN})
    parser = VoxtralTranscriptionParser(
        server="mistral",
        api_key=SecretStr(KEY),
        speakers=True,
        mode="segment",
        send_silence=True,
        **server.settings,
        **settings,
    )
    made = parser.parse(speech_samples.encoded("wav", speech_samples.silence(660.0)))
    assert [(one.metadata["speaker"], one.metadata["n_chunks"]) for one in made] == [
        ("a", 1),
        ("b", 1),
    ]
    assert server.request.extensions["timeout"]["read"] == limit
    assert caplog.records == []


def test_a_server_that_tells_no_speakers_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(json_reply({**TEXT, "segments": SEGMENTS})) as server:
        [made] = parser_of(server, **MISTRAL, speakers=True, mode="srt").parse(SHORT)
    assert "Hello." in made.page_content
    assert [record.getMessage() for record in caplog.records] == [
        "the recording: the server did not tell who speaks."
    ]


# The store, and other faces


def test_stored_transcripts_have_words_and_speakers() -> None:
    store = InMemoryByteStore()
    fields = {"segments": [one | {"speaker": 1} for one in SEGMENTS], "words": WORDS}
    with ScriptedServer(default=json_reply({**TEXT, **fields})) as server:
        parser = parser_of(server, timestamps="word", mode="segment", store=store)
        first, second = parser.parse(SHORT), parser.parse(SHORT)
        parser_of(server, mode="segment", store=store).parse(SHORT)
    assert len(server.requests) == 2
    assert [facts(one, "speaker", "words") for one in second] == [
        facts(one, "speaker", "words") for one in first
    ]
    assert first[0].metadata["words"] == [WORDS[0] | {"speaker": "1"}]


def test_transcripts_are_stored_apart_if_speakers_are_asked_for() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=CONVERSATION) as server:
        for speakers in (False, True, True):
            settings: dict[str, Any] = {"mode": "segment", "store": store, "speakers": speakers}
            parser_of(server, **MISTRAL, **settings).parse(SHORT)
    assert len(server.requests) == 2


def test_entries_without_words_are_read_for_the_settings_that_they_had() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=TIMED) as server:
        parser_of(server, mode="segment", store=store).parse(SHORT)
        [key] = store.yield_keys()
        [entry] = store.mget([key])
        assert entry is not None
        old = entry.replace(b',"speaker":null,"words":[]', b"")
        assert old != entry
        store.mset([(key, old)])
        made = parser_of(server, mode="segment", store=store).parse(SHORT)
    assert len(server.requests) == 1
    assert [one.metadata["start"] for one in made] == [0.25, 1.0]


def test_loaders_and_transcribers_take_the_settings(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(SHORT)
    with ScriptedServer(default=TIMED) as server:
        settings: dict[str, Any] = {"api_key": "k", "base_url": server.url, "timestamps": "word"}
        [loaded] = VoxtralTranscriptionLoader(tmp_path / "a.wav", **settings).load()
        [made] = VoxtralTranscriber(output="documents", **settings).invoke(SHORT)
    assert loaded.metadata["words"] == made.metadata["words"] == WORDS


@pytest.mark.parametrize(
    "settings",
    [{"endpoint": "chat"}, {"server": "vllm"}, {"server": "openrouter"}, {"task": "translate"}],
)
def test_speakers_that_an_endpoint_cannot_tell_are_an_error_that_names_who_can(
    settings: dict[str, Any],
) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        pytest.raises(ValidationError, match=r"does not return speakers .*: 'mistral'\."),
    ):
        parser_of(server, speakers=True, **settings)
    assert server.requests == []
