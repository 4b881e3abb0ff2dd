"""Streamed transcription: text leaves as soon as the server sends it."""

import asyncio
import gc
import logging
import threading
from contextlib import aclosing
from itertools import accumulate
from types import AsyncGeneratorType, GeneratorType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.stores import InMemoryByteStore
from support.scripted_server import End, Gate, Repeat, Reply, ScriptedServer
from support.sse_replies import events
from support.transcription_calls import (
    BOUNDS,
    LONG,
    SHORT,
    chunk_number,
    form_of,
    transcription_reply,
)
from support.transcription_streams import (
    END,
    MODES,
    delta,
    final,
    llama_cpp,
    mistral,
    mistral_delta,
    opened,
    pieces_of,
    transcriber_at,
    vllm,
)

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.protocol.transcription import Transcript
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.transcription.documents import DocumentBuilder
from langchain_voxtral.transcription.outputs import TextBuilder
from langchain_voxtral.transcription.results import ChunkResult

modes = pytest.mark.parametrize("mode", MODES)
STREAMS = {"vllm": vllm, "llama_cpp": llama_cpp, "mistral": mistral}


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
    assert "repeats 'Yes.' again and again" in record.getMessage()


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

GENERATORS = (GeneratorType, AsyncGeneratorType)


@modes
def test_leaving_a_stream_closes_its_connections(mode: str) -> None:
    with ScriptedServer(default=events(Repeat(delta("on and "), 0.001))) as server:
        transcriber = transcriber_at(server, chunk_seconds=11)
        with opened(mode, getattr(transcriber, mode)(LONG)) as following:
            assert following() == "on and"
            # Kept, so that nothing but closing them closes them.
            kept = [each for each in gc.get_objects() if isinstance(each, GENERATORS)]
        server.wait_until_disconnected()
    assert kept


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
