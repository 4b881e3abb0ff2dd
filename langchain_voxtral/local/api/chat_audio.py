"""Recordings in chat completion requests, which are replaced by their transcripts.

The model reads text only, so it answers a question about a recording from its words. SmolLM2 reads
English only: words in another language are followed by what they mean.
"""

import base64
import io
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, ValidationError

from langchain_voxtral.local.api.requests import validation_details
from langchain_voxtral.local.engine.speech import SpeechResult
from langchain_voxtral.local.engine.whisper import ENGLISH, SpeechSettings
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import RECORDING_SAYS
from langchain_voxtral.local.response_formats import StrictModel

_NO_SPEECH = "The recording has no speech in it."


class EncodedAudio(StrictModel):
    """A recording in base64; its format is detected from its content."""

    data: Annotated[str, Field(min_length=1)]
    format: Literal["wav", "mp3"] = "wav"


class InputAudio(StrictModel):
    """OpenAI's part of a message that is a recording."""

    type: Literal["input_audio"]
    input_audio: EncodedAudio


@dataclass(frozen=True, slots=True)
class AudioReference:
    """A recording that was taken out of a message.

    Args:
        data: The recording.
        size: Characters that it had in base64.
        part: The text part of the message that takes its place.
        before: What separates it from the part before.
        after: What separates it from the part after.
    """

    data: bytes
    size: int
    part: dict[str, Any]
    before: str
    after: str


def extract_audio(body: object) -> list[AudioReference]:
    """Replace every recording in a chat request's user messages by an empty text part.

    Args:
        body: The parsed body, not yet validated, which is changed.

    Raises:
        ErrorResponse: 422, a part is ill-formed; 400, there are system messages besides
            recordings, which Voxtral's tokenizer refuses in these words (mistral-common).
    """
    references: list[AudioReference] = []
    system_indexes: list[int] = []
    audio_indexes: list[int] = []
    for index, message in enumerate(_messages(body)):
        if message.get("role") == "system":
            system_indexes.append(index)
        if found := list(_extract(index, message)):
            audio_indexes.append(index)
            references += found
    if system_indexes and audio_indexes:
        raise ErrorResponse.with_message(
            400,
            f"Found system messages at indexes {system_indexes} and audio chunks in messages at "
            f"indexes {audio_indexes}. This is not allowed prior to the tokenizer version 13.",
        )
    return references


Transcribe = Callable[[BinaryIO, SpeechSettings], Awaitable[SpeechResult]]


async def insert_transcripts(
    references: Sequence[AudioReference], transcribe: Transcribe, *, translate: bool
) -> None:
    """Put the transcripts of recordings where the recordings were.

    Args:
        references: The recordings.
        transcribe: Transcribes a file, and closes it.
        translate: Whether to add an English translation of other languages.
    """
    for one in references:
        said = await transcribe(io.BytesIO(one.data), SpeechSettings())
        text = f'{RECORDING_SAYS} "{said.text}"' if said.text else _NO_SPEECH
        if translate and said.language and said.language.code != ENGLISH:
            settings = SpeechSettings("translate", said.language.code)
            meant = await transcribe(io.BytesIO(one.data), settings)
            text += f' It means: "{meant.text}"'
        one.part["text"] = f"{one.before}{text}{one.after}"


def _messages(body: object) -> Iterator[dict[str, Any]]:
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in messages if isinstance(messages, list) else ():
        yield message if isinstance(message, dict) else {}


def _extract(index: int, message: dict[str, Any]) -> Iterator[AudioReference]:
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return
    for number, part in enumerate(content):
        if isinstance(part, dict) and part.get("type") == "input_audio":
            data = _decode(part, ["messages", index, "content", number])
            size = len(part["input_audio"]["data"])
            part.clear()
            part.update(type="text", text="")
            before = "\n" if number else ""
            after = "\n" if number < len(content) - 1 else ""
            yield AudioReference(data, size, part, before, after)


def _decode(part: dict[str, Any], location: list[str | int]) -> bytes:
    try:
        data = InputAudio.model_validate(part).input_audio.data
        return base64.b64decode(data, validate=True)
    except ValidationError as error:
        raise ErrorResponse(422, {"detail": validation_details(error, location)}) from error
    except ValueError as error:
        detail = {
            "type": "value_error",
            "loc": ["body", *location, "input_audio", "data"],
            "msg": f"Value error, the recording is no base64: {error}",
            "input": data[:100],
        }
        raise ErrorResponse(422, {"detail": [detail]}) from error
