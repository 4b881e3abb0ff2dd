"""Segments that Mistral streams leave as soon as it sends them."""

import asyncio
from itertools import chain
from typing import Any

import pytest
from langchain_core.documents import Document
from support.scripted_server import End, Gate, ScriptedServer, Step
from support.sse_replies import events, json_reply
from support.transcription_calls import (
    BOUNDS,
    LONG,
    SHORT,
    form_of,
)
from support.transcription_streams import (
    LANGUAGE,
    MODES,
    final,
    mistral_delta,
    opened,
    parser_at,
    pieces_of,
    segment,
    transcriber_at,
)

from langchain_voxtral import VoxtralTranscriptionLoader

modes = pytest.mark.parametrize("mode", MODES)


SEGMENTS = [segment(" Bonjour.", 0.0, 0.5, speaker_id="S1"), segment(" Ça va?", 0.6, 1.5)]
FULL = final(" Bonjour. Ça va?")
FACTS = {"language": "fr", "language_source": "server", "timestamps_source": "server"}


def facts_of(document: Document) -> tuple[Any, ...]:
    names = ("segment", "start", "end", "timestamps_source", "cost")
    return (document.page_content, *(document.metadata.get(name) for name in names))


@modes
def test_segments_leave_while_the_server_transcribes(mode: str) -> None:
    gates = [Gate(), Gate()]
    reply = events(LANGUAGE, SEGMENTS[0], gates[0], SEGMENTS[1], gates[1], FULL)
    settings = {"server": "mistral", "mode": "segment", "price_per_minute": 0.06, "speakers": True}
    with ScriptedServer(reply) as server:
        parser = parser_at(server, **settings)
        method = {"stream": "lazy_parse", "astream": "alazy_parse"}[mode]
        with opened(mode, getattr(parser, method)(SHORT)) as following:
            documents = [following()]
            gates[0].open()
            documents.append(following())
            gates[1].open()
            assert following() is None
        assert ("stream", "true") in form_of(server.requests[0])[0]
    assert [facts_of(document) for document in documents] == [
        ("Bonjour.", 0, 0.0, 0.5, "server", 0.002),
        ("Ça va?", 1, 0.6, 1.5, "server", None),
    ]
    assert documents[0].metadata.items() >= (FACTS | {"speaker": "S1", "chunk": 0}).items()


def test_a_list_of_documents_comes_without_a_stream() -> None:
    with ScriptedServer(default=json_reply({"text": "x"})) as server:
        parser = parser_at(server, server="mistral", mode="segment")
        loader = VoxtralTranscriptionLoader(SHORT, parser=parser)
        made = [parser.parse(SHORT), loader.load(), asyncio.run(loader.aload())]
        forms = [form_of(request)[0] for request in server.requests]
    assert made == [made[0]] * 3
    assert ("stream", "true") not in chain.from_iterable(forms)


@pytest.mark.parametrize("kind", ["vllm", "llama_cpp"])
def test_a_server_that_streams_no_segments_is_not_asked_to(kind: str) -> None:
    with ScriptedServer(json_reply({"text": "x"})) as server:
        assert len([*parser_at(server, server=kind, mode="segment").lazy_parse(SHORT)]) == 1
    assert "stream" not in dict(form_of(server.requests[0])[0])


WHOLE_FINAL = final(
    " Bonjour. Ça va?",
    segments=[
        {"text": " Bonjour.", "start": 0.0, "end": 0.5},
        {"text": " Ça va?", "start": 0.6, "end": 1.5},
    ],
)
ODD_SEGMENTS: dict[str, tuple[list[Step], list[tuple[Any, ...]]]] = {
    "in the final event only": (
        [mistral_delta(" Bonjour."), mistral_delta(" Ça va?"), WHOLE_FINAL],
        [("Bonjour.", 0, 0.0, 0.5, "server", 0.002), ("Ça va?", 1, 0.6, 1.5, "server", None)],
    ),
    "without a final text": (
        [*SEGMENTS, final("")],
        [("Bonjour.", 0, 0.0, 0.5, "server", 0.002), ("Ça va?", 1, 0.6, 1.5, "server", None)],
    ),
    "at an impossible time": (
        [SEGMENTS[0], segment(" Ça va?", 90, 91), FULL],
        [("Bonjour.", 0, 0.0, 0.5, "server", 0.002), ("Ça va?", 1, 0.5, 2.0, "chunk", None)],
    ),
    "not all": (
        [SEGMENTS[0], final(" Bonjour. Ça va?")],
        [("Bonjour.", 0, 0.0, 0.5, "server", 0.002), ("Ça va?", 1, 0.5, 2.0, "chunk", None)],
    ),
    "not the beginning": (
        [segment(" Ça va?", 0.6, 1.5), final(" Bonjour. Ça va? Oui.")],
        [
            ("Ça va?", 0, 0.6, 1.5, "server", 0.002),
            ("Bonjour. Ça va? Oui.", 1, 0.0, 2.0, "chunk", None),
        ],
    ),
    "of two speakers, out of order": (
        [
            segment(" Ça va?", 0.5, 1.5, speaker_id="S1"),
            segment(" Oui.", 0.2, 1.0, speaker_id="S2"),
            final(" Ça va? Oui."),
        ],
        [("Ça va?", 0, 0.5, 1.5, "server", 0.002), ("Oui.", 1, 0.2, 1.0, "server", None)],
    ),
    "none": ([final("Bonjour.")], [("Bonjour.", 0, 0.0, 2.0, "chunk", 0.002)]),
}


@modes
@pytest.mark.parametrize(("steps", "expected"), ODD_SEGMENTS.values(), ids=ODD_SEGMENTS)
def test_no_text_is_lost_whatever_the_segments_are(
    steps: list[Step], expected: list[tuple[Any, ...]], mode: str
) -> None:
    settings = {"server": "mistral", "mode": "segment", "price_per_minute": 0.06}
    with ScriptedServer(events(*steps)) as server:
        pieces = pieces_of(mode, transcriber_at(server, "documents", **settings), SHORT)
    assert [facts_of(document) for [document] in pieces] == expected


@modes
def test_segments_of_every_chunk_have_its_times_and_its_cost(mode: str) -> None:
    settings = {"server": "mistral", "mode": "segment", "price_per_minute": 0.6}
    with ScriptedServer(default=events(*SEGMENTS, FULL)) as server:
        transcriber = transcriber_at(server, "documents", chunk_seconds=11, **settings)
        documents = [one for [one] in pieces_of(mode, transcriber, LONG)]
    assert [facts_of(document)[1:] for document in documents] == [
        facts
        for chunk, (start, end) in enumerate(BOUNDS)
        for facts in [
            (2 * chunk, start, start + 0.5, "server", pytest.approx((end - start) / 100)),
            (2 * chunk + 1, round(start + 0.6, 6), start + 1.5, "server", None),
        ]
    ]


@modes
def test_a_broken_stream_of_segments_is_marked_on_request(mode: str) -> None:
    reply = events(SEGMENTS[0], mistral_delta(" Bonjour. Ça"), End.RESET)
    settings = {"server": "mistral", "mode": "segment", "on_error": "mark"}
    with ScriptedServer(reply) as server:
        pieces = pieces_of(mode, transcriber_at(server, "documents", **settings), SHORT)
    [[said], [failed]] = pieces
    assert said.page_content == "Bonjour."
    assert (failed.page_content, failed.metadata["start"]) == ("Ça", 0.5)
    assert failed.metadata["error_type"] == "VoxtralIncompleteStreamError"
