"""Shared by the tests of transcription: recordings, replies, and parsers of received forms."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document
from support import speech_samples
from support.scripted_server import ReceivedRequest, Reply, ScriptedServer
from support.sse_replies import json_reply

from langchain_voxtral import VoxtralTranscriptionParser

KEY = "tok-4f81c6e0-distinctive"
MODEL = "mistralai/Voxtral-Mini-3B-2507"

SHORT = speech_samples.encoded("wav", speech_samples.noise(2.0))
LONG = speech_samples.encoded(
    "wav",
    speech_samples.joined(
        *(
            part
            for level in (0.1, 0.2, 0.3)
            for part in (speech_samples.noise(9.0, level=level), speech_samples.silence(1.0))
        )
    ),
)
"""Half a minute with pauses; `chunk_seconds=11` cuts it into three chunks."""
BOUNDS = [(0.0, 9.85), (9.85, 19.85), (19.85, 30.0)]


BUSY = json_reply({"error": {"message": "Model busy, retry later"}}, status=429)


def transcription_reply(text: str, **more: Any) -> Reply:
    """Return a response of OpenAI's transcriptions endpoint."""
    return json_reply({"text": text, **more}, headers={"x-request-id": f"id-{text.strip()}"})


HELLO = transcription_reply("Hello.")


def parser_of(scripted: ScriptedServer, /, **settings: Any) -> VoxtralTranscriptionParser:
    """Return a parser that calls a scripted server, without retries."""
    return VoxtralTranscriptionParser(
        **{"api_key": KEY, "base_url": scripted.url, "max_retries": 0, **settings}
    )


Parse = Callable[[VoxtralTranscriptionParser, Any], list[Document]]


def _aparse(parser: VoxtralTranscriptionParser, audio: Any) -> list[Document]:
    return asyncio.run(parser.aparse(audio))


PARSES: dict[str, Parse] = {"parse": VoxtralTranscriptionParser.parse, "aparse": _aparse}


def form_of(seen: ReceivedRequest) -> tuple[list[tuple[str, str]], tuple[str, str, str, bytes]]:
    """Return the fields of a form, and its file: field, name, type, bytes."""
    boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
    fields: list[tuple[str, str]] = []
    files = []
    for part in seen.body.split(b"--" + boundary)[1:-1]:
        head, content = part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1)
        content = content.removesuffix(b"\r\n")
        header = head.decode()
        named = dict(re.findall(r'(name|filename)="([^"]*)"', header))
        if "filename" in named:
            kind = header.partition("Content-Type: ")[2]
            files.append((named["name"], named["filename"], kind, content))
        else:
            fields.append((named["name"], content.decode()))
    [file] = files
    return fields, file


def chunk_number(seen: ReceivedRequest) -> int:
    """Return the number of the chunk of `LONG` that a form holds."""
    sound = form_of(seen)[1][3][44:]
    starts = [round(start * 32_000) for start, _ in BOUNDS]
    return starts.index(LONG[44:].index(sound))
