"""Times of words, in documents and subtitles."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    LONG,
    PARSES,
    SHORT,
    form_of,
    parser_of,
)

from langchain_voxtral import (
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
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
            "the server returned no times, so the text gets those of whole chunks (a smaller "
            "chunk_seconds= makes them finer)."
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
