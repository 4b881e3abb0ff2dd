"""Turns: a conversation without LangChain's many forms of messages."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from langchain_voxtral.audio.formats import AudioFormat
from langchain_voxtral.audio.pricing import audio_tokens
from langchain_voxtral.tools.json_text import max_json_tokens

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model.

    Args:
        id: The call's id, as the message carried it.
        name: The tool's name.
        arguments: Its arguments by name, JSON values.
        error: Why it could not be parsed, if it could not: its result, if it has no other.
    """

    id: str
    name: str
    arguments: dict[str, object]
    error: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AudioPart:
    """A recording in a turn: the file itself, its URL, or its id in a store.

    Args:
        data: The file's bytes; empty if there is only a URL or an id.
        format: Its format, by its content; None if that is not known (yet).
        base64: The bytes in base64, as they would be sent, if they came so.
        url: Its address on the web.
        file_id: Its id in a store of recordings, `sha256:` and its hash.
        name: The name of its file, if the block says so.
        seconds: How long it is, if the block says so.
        location: Which block of which message this is, for errors.
    """

    data: bytes = field(default=b"", repr=False)
    format: AudioFormat | None = None
    base64: str = field(default="", repr=False, compare=False)
    url: str | None = None
    file_id: str | None = None
    name: str | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)
    location: str = field(default="the recording", compare=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Args:
        role: Who speaks; `tool` is the result of a call.
        text: Its text; of a turn with recordings, its texts joined.
        tool_calls: Calls that an assistant turn makes.
        tool_call_id: For a tool turn, the id of the call it answers.
        parts: Texts and recordings in their order, if there are recordings; else empty.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    parts: tuple[str | AudioPart, ...] = ()

    @property
    def content(self) -> tuple[str | AudioPart, ...]:
        """Its texts and recordings in their order, without empty texts."""
        return self.parts or ((self.text,) if self.text else ())

    @property
    def audio(self) -> tuple[AudioPart, ...]:
        """Its recordings."""
        return tuple(part for part in self.parts if isinstance(part, AudioPart))

    def with_content(self, content: Iterable[str | AudioPart]) -> "Turn":
        """Return this turn with other content; texts that touch become one."""
        parts: list[str | AudioPart] = []
        for part in content:
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part:
                parts.append(part)
        text = "".join(part for part in parts if isinstance(part, str))
        has_audio = any(isinstance(part, AudioPart) for part in parts)
        return replace(self, text=text, parts=tuple(parts) if has_audio else ())

    def merged_after(self, earlier: "Turn") -> "Turn":
        """Return this turn with another's content before its own, a blank line between texts."""
        before, own = earlier.content, self.content
        texts = before and own and isinstance(before[-1], str) and isinstance(own[0], str)
        return self.with_content([*before, *(["\n\n"] if texts else []), *own])


def max_tokens(turn: Turn) -> int:
    """Return how many tokens a turn has at most, in a moment: a character has four bytes at most.

    Ten stand for what the template has around it.
    """
    tokens = 10 + 4 * len(turn.text)
    if turn.tool_calls:
        tokens += max_json_tokens([(call.name, call.arguments) for call in turn.tool_calls])
    if turn.parts:
        tokens += sum(audio_tokens(part.seconds or 0) for part in turn.audio)
    return tokens
