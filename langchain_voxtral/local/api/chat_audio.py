"""Recordings in a chat completion request: what is said in them takes their place, as text.

The model that answers reads text only; so a question about a recording is one about its words.
"""

import base64
import binascii
import io
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, ValidationError

from langchain_voxtral.local.api.requests import StrictModel, validation_details
from langchain_voxtral.local.errors import ErrorResponse

__all__ = ["Spoken", "take_recordings", "write_down"]


class Sound(StrictModel):
    """A recording in base64. Its format is told from its content, as llama.cpp does it."""

    data: Annotated[str, Field(min_length=1)]
    format: Literal["wav", "mp3"] = "wav"


class InputAudio(StrictModel):
    """OpenAI's part of a message that is a recording."""

    type: Literal["input_audio"]
    input_audio: Sound


@dataclass(frozen=True, slots=True)
class Spoken:
    """A recording that was taken out of a message, and the text part that stands for it.

    Args:
        sound: The recording, as a file.
        size: Characters that it had in base64.
        part: The part of the message.
        is_first: Nothing comes before it in the message.
        is_last: Nothing follows it.
    """

    sound: BinaryIO
    size: int
    part: dict[str, Any]
    is_first: bool
    is_last: bool


def take_recordings(body: object) -> list[Spoken]:
    """Replace every recording in the users' messages by an empty text part, and return them.

    Args:
        body: The request's body, as parsed from JSON and not yet validated; it is changed.

    Raises:
        ErrorResponse: 422, a part is ill-formed; 400, there are system messages beside recordings,
            which Voxtral's tokenizer refuses in these words (mistral-common).

    Example:
        ```python
        from langchain_voxtral.local.api.chat_audio import take_recordings

        part = {"type": "input_audio", "input_audio": {"data": "UklGRg=="}}
        body = {"messages": [{"role": "user", "content": [part]}]}
        assert take_recordings(body)[0].sound.read() == b"RIFF"
        assert body == {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}
        ```
    """
    spoken: list[Spoken] = []
    systems: list[int] = []
    places: list[int] = []
    for place, message in enumerate(_messages(body)):
        if message.get("role") == "system":
            systems.append(place)
        taken = list(_taken(place, message))
        places += [place] if taken else []
        spoken += taken
    if systems and places:
        raise ErrorResponse.with_message(
            400,
            f"Found system messages at indexes {systems} and audio chunks in messages at indexes "
            f"{places}. This is not allowed prior to the tokenizer version 13.",
        )
    return spoken


async def write_down(spoken: Sequence[Spoken], heard: Callable[[BinaryIO], Awaitable[str]]) -> None:
    """Put what is said in the recordings where they were.

    Args:
        spoken: What `take_recordings` returned.
        heard: Returns what is said in a recording.
    """
    for one in spoken:
        text = await heard(one.sound)
        told = f'The recording says: "{text}"' if text else "The recording has no speech in it."
        before, after = "" if one.is_first else "\n", "" if one.is_last else "\n"
        one.part["text"] = f"{before}{told}{after}"


def _messages(body: object) -> Iterator[dict[str, Any]]:
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in messages if isinstance(messages, list) else ():
        yield message if isinstance(message, dict) else {}


def _taken(place: int, message: dict[str, Any]) -> Iterator[Spoken]:
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return
    for index, part in enumerate(content):
        if isinstance(part, dict) and part.get("type") == "input_audio":
            sound, size = _sound(part, ["messages", place, "content", index])
            part.clear()
            part.update(type="text", text="")
            is_last = index == len(content) - 1
            yield Spoken(sound, size, part, is_first=index == 0, is_last=is_last)


def _sound(part: dict[str, Any], where: list[str | int]) -> tuple[BinaryIO, int]:
    try:
        data = InputAudio.model_validate(part).input_audio.data
    except ValidationError as error:
        raise ErrorResponse(422, {"detail": validation_details(error, where)}) from error
    try:
        return io.BytesIO(base64.b64decode(data, validate=True)), len(data)
    except (binascii.Error, ValueError) as error:
        fault = {"type": "value_error", "loc": ["body", *where, "input_audio", "data"]}
        told = {"msg": f"Value error, the recording is no base64: {error}", "input": data[:100]}
        raise ErrorResponse(422, {"detail": [{**fault, **told}]}) from error
