"""What recordings become: documents with flat metadata that tells only what is known."""

import hashlib
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from replies import json_reply
from scripted_server import ScriptedServer
from unit_tests.spoken import BOUNDS, LONG, MODEL, PARSES, SHORT, heard, parser_of

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
OF_CHUNK = {"timestamps_source": "chunk", "chunk": 0}
OF_SERVER = {"timestamps_source": "server", "language": "en", "language_source": "server"}


def three(**settings: Any) -> list[Document]:
    """Return the documents of three chunks, whose answers are A, B, C."""
    with ScriptedServer(heard("A"), heard(""), heard("C")) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=1, **settings)
        return parser.parse(LONG)


@pytest.mark.parametrize("way", PARSES)
def test_a_whole_recording_is_one_document(way: str) -> None:
    with ScriptedServer(heard(" Hello. ")) as server:
        made = PARSES[way](parser_of(server), SHORT)
    told = {"timestamps_source": "chunk", "request_id": "id-Hello."}
    assert made == [Document("Hello.", metadata=FACTS | told)]


@pytest.mark.parametrize("way", PARSES)
def test_each_segment_of_the_server_is_a_document(way: str) -> None:
    with ScriptedServer(json_reply(VERBOSE)) as server:
        made = PARSES[way](parser_of(server, mode="segment"), SHORT)
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


def test_segments_that_the_server_does_not_tell_are_not_invented() -> None:
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


def test_subtitles_are_the_servers_only_if_it_told_all_their_times() -> None:
    told, untold = json_reply(VERBOSE), heard("B")
    for answers, source in (
        ([told, told, untold], "chunk"),
        ([told, heard(""), told], "server"),
        ([heard(""), heard(""), heard("")], "chunk"),
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


def test_each_chunk_is_a_document_and_silence_is_an_empty_one() -> None:
    made = three(mode="chunk")
    assert [
        (one.page_content, one.metadata["chunk"], one.metadata["start"], one.metadata["end"])
        for one in made
    ] == [(text, n, *BOUNDS[n]) for n, text in enumerate(["A", "", "C"])]
    assert {one.metadata["n_chunks"] for one in made} == {3}
    assert {one.metadata["duration"] for one in made} == {30.0}


def test_the_text_of_a_long_recording_is_that_of_its_chunks() -> None:
    [made] = three()
    assert made.page_content == "A C"
    assert made.metadata["request_id"] == "id-A, id-, id-C"


def test_a_blobs_metadata_is_kept_and_its_source_is_the_source() -> None:
    blob = Blob.from_data(SHORT, metadata={"source": "talks/1", "speaker": "Zoé"})
    with ScriptedServer(heard("Hello.")) as server:
        [made] = parser_of(server).parse(blob)
    assert (made.metadata["source"], made.metadata["speaker"]) == ("talks/1", "Zoé")


def test_the_language_asked_for_is_told_as_that() -> None:
    with ScriptedServer(json_reply(VERBOSE)) as server:
        [made] = parser_of(server, language="en", mode="srt").parse(SHORT)
    assert (made.metadata["language"], made.metadata["language_source"]) == ("en", "requested")


@pytest.mark.parametrize(
    ("told", "settings", "cost"),
    [
        ({}, {}, None),
        ({}, {"price_per_minute": 0.003}, (0.0001, "estimated")),
        ({"inference_status": {"cost": 0.00004}}, {"price_per_minute": 3}, (0.00004, "server")),
    ],
)
def test_what_it_cost_and_who_says_so(
    told: dict[str, Any], settings: dict[str, Any], cost: tuple[float, str] | None
) -> None:
    with ScriptedServer(heard("Hello.", **told)) as server:
        [made] = parser_of(server, **settings).parse(SHORT)
    metadata = made.metadata
    assert ((metadata["cost"], metadata["cost_source"]) if "cost" in metadata else None) == cost


def test_the_model_that_answered_is_told() -> None:
    reply = json_reply({"text": "Hello."}, headers={"x-voxtral-model": "moonshine-tiny-en"})
    with ScriptedServer(reply) as server:
        [made] = parser_of(server).parse(SHORT)
    assert made.metadata["model"] == "moonshine-tiny-en"


def test_metadata_is_flat() -> None:
    for made in three(mode="chunk"):
        assert {type(value) for value in made.metadata.values()} <= {str, int, float}


@pytest.mark.parametrize("way", PARSES)
def test_a_server_that_refuses_to_tell_times_is_asked_without(way: str) -> None:
    refusal = json_reply(
        {"error": {"message": "Currently do not support verbose_json for this model"}}, status=400
    )
    with ScriptedServer(refusal, heard("A"), heard("B"), heard("C")) as server:
        parser = parser_of(server, mode="srt", chunk_seconds=11, max_concurrency=1)
        [made] = PARSES[way](parser, LONG)
    assert made.metadata["timestamps_source"] == "chunk"
    asked = [b"verbose_json" in seen.body for seen in server.requests]
    assert asked == [True, False, False, False]
