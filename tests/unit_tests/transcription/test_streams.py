"""Streamed transcription: text and segments leave as soon as the server sends them."""

import asyncio
import logging
import threading
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.stores import InMemoryByteStore
from support.scripted_server import End, Gate, Repeat, Reply, ScriptedServer, Step
from support.sse_replies import event, events, json_reply
from support.transcription_calls import (
    BOUNDS,
    BUSY,
    LONG,
    SHORT,
    chunk_number,
    form_of,
    parser_of,
    transcription_reply,
)
from support.transcription_streams import (
    DONE,
    END,
    LANGUAGE,
    delta,
    final,
    llama_cpp,
    mistral,
    mistral_delta,
    segment,
    vllm,
)

from langchain_voxtral import VoxtralTranscriber, VoxtralTranscriptionParser
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
)
from langchain_voxtral.protocol.transcription import Transcript
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.transcription.documents import DocumentBuilder
from langchain_voxtral.transcription.outputs import TextBuilder
from langchain_voxtral.transcription.results import ChunkResult

MODES = ("stream", "astream")
STREAMS = {"vllm": vllm, "llama_cpp": llama_cpp, "mistral": mistral}
RESET = Reply(steps=[End.RESET])
modes = pytest.mark.parametrize("mode", MODES)


def parser_at(server: ScriptedServer, /, **settings: Any) -> VoxtralTranscriptionParser:
    return parser_of(server, **{"server": "vllm", "model": "voxtral", **settings})


def transcriber_at(
    server: ScriptedServer, output: Any = "text", /, **settings: Any
) -> VoxtralTranscriber:
    return VoxtralTranscriber(parser_at(server, **settings), output=output)


@contextmanager
def opened(mode: str, outputs: Any) -> Generator[Any]:
    """Yield the function that returns the next output of a stream, None at its end."""
    if mode == "stream":
        yield lambda: next(outputs, None)
        outputs.close()
        return
    with asyncio.Runner() as runner:

        async def following() -> Any:
            return await anext(outputs, None)

        yield lambda: runner.run(following())
        runner.run(outputs.aclose())


def pieces_of(mode: str, transcriber: Any, audio: Any, config: Any = None) -> list[Any]:
    """Return all pieces of a stream."""
    with opened(mode, getattr(transcriber, mode)(audio, config)) as following:
        return [*iter(following, None)]


# Text as it comes


@modes
def test_text_leaves_while_the_server_transcribes(mode: str) -> None:
    gates = [Gate(), Gate()]
    reply = events(delta(" Good"), gates[0], delta(" mor"), delta("ning. "), gates[1], END)
    with ScriptedServer(reply) as server:
        stream = getattr(transcriber_at(server), mode)(SHORT)
        with opened(mode, stream) as following:
            assert following() == "Good"
            gates[0].open()
            assert (following(), following()) == (" mor", "ning.")
            gates[1].open()
            assert following() is None
        [request] = server.requests
    assert form_of(request)[0][-2:] == [("stream", "true"), ("stream_include_usage", "true")]
    assert request.headers["accept"] == "text/event-stream"


@modes
def test_chunks_are_sent_in_parallel_and_leave_in_order(mode: str) -> None:
    """The later a chunk, the earlier the server is done with it."""
    gates = [Gate() for _ in BOUNDS]
    script = [
        events(delta(f" {name}"), gate, delta("1"), END)
        for name, gate in zip("ABC", gates, strict=True)
    ]
    with ScriptedServer(*script) as server:

        def open_from_the_last() -> None:
            server.wait_for_requests(3)
            order = [chunk_number(seen) for seen in server.requests]
            for place in (2, 1, 0):
                gates[order.index(place)].open()

        opening = threading.Thread(target=open_from_the_last)
        opening.start()
        pieces = pieces_of(mode, transcriber_at(server, chunk_seconds=11), LONG)
        opening.join()
        order = [chunk_number(seen) for seen in server.requests]
    assert "".join(pieces) == " ".join("ABC"[order.index(place)] + "1" for place in range(3))


@modes
def test_a_server_that_does_not_stream_gives_a_chunk_at_a_time(mode: str) -> None:
    gate = Gate()
    last = transcription_reply("C")
    script = [
        transcription_reply(" A "),
        transcription_reply("B"),
        Reply(headers=last.headers, steps=[gate], body=last.body),
    ]
    with ScriptedServer(*script) as server:
        transcriber = transcriber_at(
            server, server="deepinfra", chunk_seconds=11, max_concurrency=1
        )
        with opened(mode, getattr(transcriber, mode)(LONG)) as following:
            assert (following(), following()) == ("A", " B")
            gate.open()
            assert (following(), following()) == (" C", None)
        forms = [dict(form_of(request)[0]) for request in server.requests]
    assert [form.get("stream") for form in forms] == [None] * 3


@modes
@pytest.mark.parametrize(
    ("name", "kind"),
    [("deepinfra", "srt"), ("vllm", "document"), ("llama_cpp", "chunk"), ("mistral", "document")],
)
def test_the_pieces_add_up_to_what_invoke_returns(name: str, kind: Any, mode: str) -> None:
    texts = [" Good morning. ", " ", "lang:en[TRANSCRIBE] How are you?"]
    settings = {"server": name, "mode": kind, "chunk_seconds": 11, "max_concurrency": 1}
    whole = [transcription_reply(text) for text in texts]
    streams = [STREAMS[name](*text) for text in texts] if name in STREAMS else whole
    with ScriptedServer(*whole, *streams) as server:
        transcriber = transcriber_at(server, **settings)
        expected = transcriber.invoke(LONG)
        pieces = pieces_of(mode, transcriber, LONG)
    assert "".join(pieces) == expected
    assert "[TRANSCRIBE]" not in expected


@modes
def test_documents_come_in_lists_that_add_up(mode: str) -> None:
    with ScriptedServer(default=transcription_reply("A")) as server:
        transcriber = transcriber_at(server, "documents", mode="chunk", chunk_seconds=11)
        pieces = pieces_of(mode, transcriber, LONG)
        assert [len(piece) for piece in pieces] == [1, 1, 1]
        assert [*accumulate(pieces)][-1] == transcriber.invoke(LONG)
    with ScriptedServer(default=transcription_reply("")) as server:
        silent = transcriber_at(server, "documents", mode="segment")
        assert pieces_of(mode, silent, SHORT) == [[]]


CHUNK = AudioChunk(0, 0.0, 2.0, b"")
words = st.text(" \nab", max_size=4)


@given(
    chunks=st.lists(st.tuples(st.lists(words), words), min_size=1, max_size=5),
    kind=st.sampled_from(["document", "chunk"]),
)
def test_text_that_comes_in_pieces_is_the_text_of_the_documents(
    chunks: list[tuple[list[str], str]], kind: Any
) -> None:
    """Whatever the pieces are, and whatever the final event adds to them."""
    builder = DocumentBuilder(kind, {}, None, None)
    text_builder = TextBuilder(DocumentBuilder(kind, {}, None, None))
    shown: list[str] = []
    documents = []
    for parts, rest in chunks:
        for part in parts:
            shown += text_builder.add(ChunkResult(CHUNK, partial=part, is_partial=True))
        transcript = Transcript("".join(parts) + rest)
        result = ChunkResult(CHUNK, ChunkTranscript(transcript, "m"))
        shown += text_builder.add(result)
        documents += builder.add(result)
    shown += text_builder.finish()
    texts = [document.page_content for document in [*documents, *builder.finish()]]
    assert "".join(shown) == "\n".join(texts)
    assert shown


@modes
def test_a_stream_goes_through_a_chain_and_is_traced_as_one_run(mode: str) -> None:
    class Runs(BaseCallbackHandler):
        """Records how runs of transcribers end."""

        def __init__(self) -> None:
            self.names: dict[Any, str] = {}
            self.ends: list[object] = []

        def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **more: Any) -> None:
            self.names[run_id] = more["name"]

        def on_chain_end(self, outputs: Any, *, run_id: Any, inputs: Any = None, **_: Any) -> None:
            if self.names[run_id] == "VoxtralTranscriber":
                self.ends.append((inputs, outputs))

    runs = Runs()
    prompt = ChatPromptTemplate.from_template("Sum up: {talk}")
    with ScriptedServer(vllm("Good", " morning")) as server:
        chain = transcriber_at(server) | prompt | ParrotFakeChatModel()
        pieces = pieces_of(mode, chain, SHORT, {"callbacks": [runs]})
    assert "".join(piece.text for piece in pieces) == "Sum up: Good morning"
    assert runs.ends == [(f"a recording of {len(SHORT)} bytes", "Good morning")]


@modes
def test_a_server_that_answers_with_one_document_is_understood(mode: str) -> None:
    with ScriptedServer(transcription_reply(" Good morning.")) as server:
        assert pieces_of(mode, transcriber_at(server), SHORT) == ["Good morning."]


@modes
def test_a_streamed_chunk_is_stored_whole(mode: str) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(vllm("Good", " morning")) as server:
        transcriber = transcriber_at(server, store=store)
        assert pieces_of(mode, transcriber, SHORT) == ["Good", " morning"]
        assert pieces_of(mode, transcriber, SHORT) == ["Good morning"]
        [document] = transcriber.parser.parse(SHORT)
        assert len(server.requests) == 1
    assert (document.page_content, document.metadata["chunks_from_store"]) == ("Good morning", 1)


def test_loops_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(vllm(*["Yes. "] * 12)) as server:
        pieces_of("stream", transcriber_at(server), SHORT)
    [record] = caplog.records
    assert "repeats 'Yes.' ten times or more" in record.getMessage()


def test_a_final_text_that_contradicts_the_stream_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = events(mistral_delta("Good morning"), final("Good evening"))
    with ScriptedServer(reply) as server:
        pieces = pieces_of("stream", transcriber_at(server, server="mistral"), SHORT)
    assert pieces == ["Good morning"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "differs from the text that it streamed" in record.getMessage()


# Leaving early


@modes
def test_leaving_a_stream_closes_its_connections(mode: str) -> None:
    with ScriptedServer(default=events(Repeat(delta("on and "), 0.001))) as server:
        transcriber = transcriber_at(server, chunk_seconds=11)
        with opened(mode, getattr(transcriber, mode)(LONG)) as following:
            assert following() == "on and"
        server.wait_until_disconnected()


async def test_a_cancelled_stream_leaves_nothing_behind() -> None:
    with ScriptedServer(default=events(delta("A"), End.STALL)) as server:

        async def read() -> None:
            async with aclosing(transcriber_at(server, chunk_seconds=11).astream(LONG)) as pieces:
                async for _ in pieces:
                    came.set()

        came = asyncio.Event()
        reading = asyncio.create_task(read())
        await came.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(server.wait_until_disconnected)


# Failures

SAID = [delta("Good"), delta(" mor")]
BREAKS: dict[str, tuple[list[Step], type[VoxtralError], str]] = {
    "cut": ([End.CUT], VoxtralIncompleteStreamError, "broke .* before its final event"),
    "reset": ([End.RESET], VoxtralIncompleteStreamError, "broke .* before its final event"),
    "no end": ([], VoxtralIncompleteStreamError, "ended before its final event"),
    "[DONE] alone": ([DONE], VoxtralIncompleteStreamError, "ended before its final event"),
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
    limits = {"timeout": 0.25} if error is VoxtralTimeoutError else {}
    with ScriptedServer(reply) as server:
        transcriber = transcriber_at(server, max_retries=2, **limits)
        with opened(mode, getattr(transcriber, mode)(SHORT)) as following:
            assert [following(), following()] == ["Good", " mor"]
            with pytest.raises(error, match=f"the recording: .*{says}") as caught:
                following()
        assert len(server.requests) == 1
    assert type(caught.value) is error
    assert (caught.value.partial, caught.value.request_id) == ("Good mor", "R1")


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


# Segments

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
    with ScriptedServer(reply, json_reply({"text": "x"})) as server:
        parser = parser_at(server, **settings)
        method = {"stream": "lazy_parse", "astream": "alazy_parse"}[mode]
        with opened(mode, getattr(parser, method)(SHORT)) as following:
            documents = [following()]
            gates[0].open()
            documents.append(following())
            gates[1].open()
            assert following() is None
        assert ("stream", "true") in form_of(server.requests[0])[0]
        parser.parse(SHORT)
        assert ("stream", "true") not in form_of(server.requests[1])[0]
    assert [facts_of(document) for document in documents] == [
        ("Bonjour.", 0, 0.0, 0.5, "server", 0.002),
        ("Ça va?", 1, 0.6, 1.5, "server", None),
    ]
    assert documents[0].metadata.items() >= (FACTS | {"speaker": "S1", "chunk": 0}).items()


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
def test_a_broken_stream_of_segments_is_marked_on_request(mode: str) -> None:
    reply = events(SEGMENTS[0], mistral_delta(" Bonjour. Ça"), End.RESET)
    settings = {"server": "mistral", "mode": "segment", "on_error": "mark"}
    with ScriptedServer(reply) as server:
        pieces = pieces_of(mode, transcriber_at(server, "documents", **settings), SHORT)
    [[said], [failed]] = pieces
    assert said.page_content == "Bonjour."
    assert (failed.page_content, failed.metadata["start"]) == ("Ça", 0.5)
    assert failed.metadata["error_type"] == "VoxtralIncompleteStreamError"
