"""Streamed transcriptions: events of vLLM, llama.cpp and Mistral, and readers of streams."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import event, events
from support.transcription_calls import parser_of

from langchain_voxtral import VoxtralTranscriber, VoxtralTranscriptionParser

MODES = ("stream", "astream")

DONE = b"data: [DONE]\n\n"


def delta(text: str, reason: str | None = None) -> bytes:
    """Return an event of vLLM with a piece of text."""
    choice = {"delta": {"content": text}} | ({"finish_reason": reason} if reason else {})
    return event({"id": "trsc-1", "object": "transcription.chunk", "choices": [choice]})


def usage(**tokens: int) -> bytes:
    """Return vLLM's report of the usage."""
    return event({"object": "transcription.chunk", "choices": [], "usage": tokens})


END = delta("", "stop") + usage(prompt_tokens=30, completion_tokens=4) + DONE
"""The end of a stream of vLLM."""


def vllm(*texts: str) -> Reply:
    """Return a stream of vLLM."""
    return events(*map(delta, texts), END)


def llama_cpp(*texts: str) -> Reply:
    """Return a stream of llama.cpp, whose final event has no text again."""
    deltas = [event({"type": "transcript.text.delta", "delta": text}) for text in texts]
    tokens = {"type": "tokens", "input_tokens": 380, "output_tokens": 4}
    return events(*deltas, event({"type": "transcript.text.done", "text": "", "usage": tokens}))


def mistral_delta(text: str) -> bytes:
    """Return an event of Mistral with a piece of text."""
    return event({"type": "transcription.text.delta", "text": text})


def segment(text: str, start: float, end: float, **more: Any) -> bytes:
    """Return an event of Mistral with a segment."""
    times = {"start": start, "end": end}
    return event({"type": "transcription.segment", "text": text, **times, **more})


LANGUAGE = event({"type": "transcription.language", "audio_language": "fr"})


def final(text: str, **more: Any) -> bytes:
    """Return the final event of Mistral."""
    tokens = {"prompt_audio_seconds": 2, "prompt_tokens": 3, "completion_tokens": 4}
    document = {"type": "transcription.done", "model": "voxtral", "text": text, "usage": tokens}
    return event(document | {"language": "fr", "segments": []} | more)


def mistral(*texts: str) -> Reply:
    """Return a stream of Mistral."""
    return events(LANGUAGE, *map(mistral_delta, texts), final("".join(texts)))


def parser_at(server: ScriptedServer, /, **settings: Any) -> VoxtralTranscriptionParser:
    """Return a parser that calls a scripted server, which is one of vLLM's.

    A test that waits for text that never comes fails by the time limit.
    """
    defaults = {"server": "vllm", "model": "voxtral", "timeout": 20}
    return parser_of(server, **{**defaults, **settings})


def transcriber_at(
    server: ScriptedServer, output: Any = "text", /, **settings: Any
) -> VoxtralTranscriber:
    """Return a transcriber that calls a scripted server, which is one of vLLM's."""
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
