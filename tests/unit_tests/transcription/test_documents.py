"""Recordings to documents with flat metadata."""

import hashlib
import json
from typing import Any, get_args

import pytest
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    BUSY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
    transcription_reply,
)

from langchain_voxtral.transcription.documents import Mode

SEGMENTS = [
    {"start": 0.25, "end": 1.0, "text": " Hello."},
    {"start": 1.0, "end": 1.5, "text": " World."},
]
VERBOSE = {"text": "Hello. World.", "language": "english", "segments": SEGMENTS}
SHA256 = hashlib.sha256(SHORT).hexdigest()
FACTS: dict[str, Any] = {
    "sha256": SHA256,
    "duration": 2.0,
    "n_chunks": 1,
    "start": 0.0,
    "end": 2.0,
    "model": MODEL,
    "chunks_from_store": 0,
}
OF_SERVER = {"timestamps_source": "server", "language": "en", "language_source": "server"}


def three(**settings: Any) -> list[Document]:
    """Return the documents of three chunks with the transcripts A, B, C."""
    with ScriptedServer(
        transcription_reply("A"), transcription_reply(""), transcription_reply("C")
    ) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=1, **settings)
        return parser.parse(LONG)


@pytest.mark.parametrize("method", PARSES)
def test_a_whole_recording_is_one_document(method: str) -> None:
    with ScriptedServer(transcription_reply(" Hello. ")) as server:
        made = PARSES[method](parser_of(server), SHORT)
    facts = {"timestamps_source": "chunk", "request_id": "id-Hello."}
    assert made == [Document("Hello.", metadata=FACTS | facts)]


@pytest.mark.parametrize("method", PARSES)
def test_each_segment_of_the_server_is_a_document(method: str) -> None:
    with ScriptedServer(json_reply(VERBOSE)) as server:
        made = PARSES[method](parser_of(server, mode="segment"), SHORT)
    facts = FACTS | OF_SERVER | {"chunk": 0}
    assert made == [
        Document("Hello.", metadata=facts | {"segment": 0, "start": 0.25, "end": 1.0}),
        Document("World.", metadata=facts | {"segment": 1, "start": 1.0, "end": 1.5}),
    ]


SUBTITLES = {
    "srt": "1\n00:00:00,250 --> 00:00:01,000\nHello.\n\n2\n00:00:01,000 --> 00:00:01,500\nWorld.\n",
    "vtt": (
        "WEBVTT\n\n00:00:00.250 --> 00:00:01.000\nHello.\n\n00:00:01.000 --> 00:00:01.500\nWorld.\n"
    ),
}


@pytest.mark.parametrize("mode", SUBTITLES)
def test_subtitles_have_the_times_of_the_server(mode: str) -> None:
    with ScriptedServer(json_reply(VERBOSE)) as server:
        made = parser_of(server, mode=mode).parse(SHORT)
    assert made == [Document(SUBTITLES[mode], metadata=FACTS | OF_SERVER)]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_costs_of_all_documents_add_up(mode: Mode) -> None:
    costs = [0.001, 0.002, 0.004]
    answers = [json_reply(VERBOSE | {"usage": {"estimated_cost": cost}}) for cost in costs]
    with ScriptedServer(*answers) as server:
        parser = parser_of(server, mode=mode, chunk_seconds=11, max_concurrency=1)
        made = parser.parse(LONG)
    assert sum(one.metadata.get("cost", 0) for one in made) == pytest.approx(0.007)


def test_missing_segments_are_not_invented() -> None:
    made = three(mode="segment")
    assert [
        (one.page_content, one.metadata["start"], one.metadata["end"], one.metadata["segment"])
        for one in made
    ] == [("A", *BOUNDS[0], 0), ("C", *BOUNDS[2], 1)]
    assert {one.metadata["timestamps_source"] for one in made} == {"chunk"}


def test_subtitles_without_times_of_the_server_have_those_of_the_chunks() -> None:
    [made] = three(mode="srt")
    assert made.page_content == (
        "1\n00:00:00,000 --> 00:00:09,850\nA\n\n2\n00:00:19,850 --> 00:00:30,000\nC\n"
    )
    assert made.metadata["timestamps_source"] == "chunk"


def test_subtitles_use_server_times_only_if_all_are_present() -> None:
    timed, untimed = json_reply(VERBOSE), transcription_reply("B")
    for answers, source in (
        ([timed, timed, untimed], "chunk"),
        ([timed, transcription_reply(""), timed], "server"),
        ([transcription_reply(""), transcription_reply(""), transcription_reply("")], "chunk"),
    ):
        with ScriptedServer(*answers) as server:
            [made] = parser_of(server, mode="srt", chunk_seconds=11, max_concurrency=1).parse(LONG)
        assert made.metadata["timestamps_source"] == source


def test_times_of_segments_are_those_in_the_whole_recording() -> None:
    with ScriptedServer(default=json_reply(VERBOSE)) as server:
        made = parser_of(server, mode="segment", chunk_seconds=11).parse(LONG)
    assert [(one.metadata["start"], one.metadata["end"]) for one in made] == [
        (round(start + begin, 6), round(start + end, 6))
        for start, _ in BOUNDS
        for begin, end in [(0.25, 1), (1, 1.5)]
    ]


def test_times_in_the_padding_of_a_chunk_are_its_end() -> None:
    segments = [
        {"start": 1.5, "end": 2.05, "text": "Hello."},
        {"start": 2.05, "end": 30.0, "text": "World."},
    ]
    with ScriptedServer(default=json_reply({"text": "x", "segments": segments})) as server:
        made = parser_of(server, mode="segment").parse(SHORT)
    assert [(one.metadata["start"], one.metadata["end"]) for one in made] == [(1.5, 2), (2, 2)]


def test_segments_without_a_text_are_no_documents() -> None:
    empty = {"start": 0.0, "end": 0.2, "text": " "}
    answers = [
        json_reply(VERBOSE | {"segments": [empty, *SEGMENTS]}),
        json_reply(VERBOSE | {"segments": [empty]}),
    ]
    with ScriptedServer(*answers) as server:
        parser = parser_of(server, mode="segment")
        first, second = parser.parse(SHORT), parser.parse(SHORT)
    assert [(one.page_content, one.metadata["segment"]) for one in first] == [
        ("Hello.", 0),
        ("World.", 1),
    ]
    [whole] = second
    assert whole.page_content == "Hello. World."
    assert (whole.metadata["end"], whole.metadata["timestamps_source"]) == (2.0, "chunk")


def test_each_chunk_is_a_document_and_silence_is_an_empty_one() -> None:
    made = three(mode="chunk")
    assert [
        (one.page_content, one.metadata["chunk"], one.metadata["start"], one.metadata["end"])
        for one in made
    ] == [(text, n, *BOUNDS[n]) for n, text in enumerate(["A", "", "C"])]
    assert [one.metadata.get("n_chunks") for one in made] == [None, None, 3]
    assert {one.metadata["duration"] for one in made} == {30.0}


def test_the_text_of_a_long_recording_is_that_of_its_chunks() -> None:
    [made] = three()
    assert made.page_content == "A C"
    assert made.metadata["request_id"] == "id-A, id-, id-C"


def test_a_blobs_metadata_is_kept_and_its_source_is_the_source() -> None:
    blob = Blob.from_data(SHORT, metadata={"source": "talks/1", "speaker": "Zoé"})
    with ScriptedServer(transcription_reply("Hello.")) as server:
        [made] = parser_of(server).parse(blob)
    assert (made.metadata["source"], made.metadata["speaker"]) == ("talks/1", "Zoé")


@pytest.mark.parametrize(
    ("facts", "settings", "cost"),
    [
        ({}, {}, None),
        ({}, {"price_per_minute": 0.003}, (0.0001, "estimated")),
        ({"usage": {"prompt_audio_seconds": 0}}, {"price_per_minute": 3}, (0.1, "estimated")),
        ({"inference_status": {"cost": 0.00004}}, {"price_per_minute": 3}, (0.00004, "server")),
    ],
)
def test_the_cost_and_its_source_are_in_the_metadata(
    facts: dict[str, Any], settings: dict[str, Any], cost: tuple[float, str] | None
) -> None:
    with ScriptedServer(transcription_reply("Hello.", **facts)) as server:
        [made] = parser_of(server, **settings).parse(SHORT)
    metadata = made.metadata
    assert ((metadata["cost"], metadata["cost_source"]) if "cost" in metadata else None) == cost


def test_the_model_that_answered_is_in_the_metadata() -> None:
    reply = json_reply({"text": "Hello."}, headers={"x-voxtral-model": "whisper-base"})
    with ScriptedServer(reply) as server:
        [made] = parser_of(server).parse(SHORT)
    assert made.metadata["model"] == "whisper-base"


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("thank you. " * 10, "thank you."),
        ("So " + "it goes on and on " * 10 + "and ends.", "it goes on and on"),
        ("no " * 10, "no"),
        ("no " * 9, None),
        ("So " + "I would like to thank you. " * 4, "I would like to thank you."),
        ("I would like to thank you. " * 3, None),
        ("谢谢大家。" * 4, "谢谢大家。"),
        ("Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.", None),
        ("", None),
    ],
)
def test_a_repetitive_text_is_flagged_and_kept(
    text: str, loop: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(transcription_reply(text)) as server:
        [made] = parser_of(server).parse(SHORT)
    assert (made.page_content, made.metadata.get("loop")) == (text.strip(), loop)
    assert [record.getMessage() for record in caplog.records] == [
        f"the recording: the text repeats {phrase!r} again and again, as models do over silence "
        "and noise."
        for phrase in filter(None, [loop])
    ]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_metadata_is_flat_and_json(mode: str) -> None:
    with ScriptedServer(json_reply(VERBOSE), BUSY, json_reply(VERBOSE)) as server:
        parser = parser_of(
            server,
            mode=mode,
            on_error="mark",
            chunk_seconds=11,
            max_concurrency=1,
            price_per_minute=0.001,
        )
        [*made, unreadable] = [
            *parser.parse(LONG),
            *parser.parse(Blob.from_data(b"Dear diary", metadata={"speaker": None})),
        ]
    for one in (*made, unreadable):
        assert {type(value) for value in one.metadata.values()} <= {str, int, float}
        assert json.loads(json.dumps(one.metadata)) == one.metadata
    assert any("error" in one.metadata for one in made)
    assert unreadable.metadata.keys() == {"error", "error_type"}


def test_a_vector_store_finds_passages_by_their_times() -> None:
    with ScriptedServer(default=json_reply(VERBOSE)) as server:
        made = parser_of(server, mode="segment", chunk_seconds=11).parse(LONG)
    store = InMemoryVectorStore.from_documents(made, DeterministicFakeEmbedding(size=8))
    found = store.similarity_search(
        "Hello.", k=9, filter=lambda one: one.metadata["start"] > BOUNDS[1][1]
    )
    assert sorted(one.metadata["segment"] for one in found) == [4, 5]


def test_a_cost_that_is_known_in_part_is_estimated() -> None:
    facts = transcription_reply("A", inference_status={"cost": 0.5})
    with ScriptedServer(facts, transcription_reply("B"), facts) as server:
        parser = parser_of(server, price_per_minute=60, chunk_seconds=11, max_concurrency=1)
        [made] = parser.parse(LONG)
    seconds = BOUNDS[1][1] - BOUNDS[1][0]
    assert made.metadata["cost"] == pytest.approx(1.0 + seconds)
    assert made.metadata["cost_source"] == "estimated"


@pytest.mark.parametrize("method", PARSES)
def test_a_server_that_refuses_times_is_requested_without_them(method: str) -> None:
    refusal = json_reply(
        {"error": {"message": "Currently do not support verbose_json for this model"}}, status=400
    )
    with ScriptedServer(refusal, default=transcription_reply("A")) as server:
        parser = parser_of(server, mode="srt", chunk_seconds=11, max_concurrency=1)
        [made] = PARSES[method](parser, LONG)
        PARSES[method](parser, SHORT)
    assert made.metadata["timestamps_source"] == "chunk"
    asked = [b"verbose_json" in seen.body for seen in server.requests]
    assert asked == [True, False, False, False, False]


def test_times_are_still_requested_from_another_model() -> None:
    refusal = json_reply({"error": {"message": "do not support verbose_json"}}, status=400)
    with ScriptedServer(refusal, default=transcription_reply("A")) as server:
        parser = parser_of(server, mode="srt")
        parser.parse(SHORT)
        parser.model_copy(update={"model": "me/mine"}).parse(SHORT)
    asked = [b"verbose_json" in seen.body for seen in server.requests]
    assert asked == [True, False, True]


def test_a_transcript_without_times_satisfies_a_later_run_with_times() -> None:
    refusal = json_reply({"error": {"message": "do not support verbose_json"}}, status=400)
    store = InMemoryByteStore()
    with ScriptedServer(refusal, transcription_reply("A"), transcription_reply("B")) as server:
        parser = parser_of(server, mode="srt", store=store)
        parser.parse(SHORT)
        parser.parse(LONG)
        again = [parser_of(server, mode="srt", store=store).parse(audio) for audio in (SHORT, LONG)]
    assert [made.metadata["chunks_from_store"] for [made] in again] == [1, 1]
    assert len(server.requests) == 3
