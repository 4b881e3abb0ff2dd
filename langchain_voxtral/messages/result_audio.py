"""Recordings in results of tools: no server takes them there, so the user's turn brings them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from langchain_voxtral.audio_store import is_like_file_id
from langchain_voxtral.messages.audio_blocks import (
    DATA_URL,
    RECORDING_KEYS,
    content_of,
    is_audio_block,
)
from langchain_voxtral.messages.turns import AudioPart, Turn

INTRODUCTION = "Recording {}, which a tool returned:"
"""Stands before a recording in the user's turn."""

_HINTS = ("audio", "video/", "/ogg")
"""One of them is in every block of a recording; most results are spared the parsing."""
_TYPE_KEYS = ("mime_type", "mimeType", "media_type")
"""Keys of a media type; MCP writes it in camel case."""


def read_blocks(text: str) -> list[str | dict[str, object]] | None:
    """Return the content blocks of a tool that became JSON; None if the text is anything else.

    LangChain and LangGraph write JSON of results with types that they do not know, audio among
    them. Only a text that is, as a whole, a block or a list of blocks and texts counts, and only
    if there is a recording in it: the sound itself, or the hash of a stored one. The address of
    one may be a result about it, so it stays text.
    """
    if not text.startswith(("[", "{")) or not any(hint in text for hint in _HINTS):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    blocks = value if isinstance(value, list) else [value]
    are_blocks = all(
        isinstance(block, str) or (isinstance(block, dict) and isinstance(block.get("type"), str))
        for block in blocks
    )
    return blocks if are_blocks and any(map(_holds_recording, blocks)) else None


def _holds_recording(block: str | dict[str, object]) -> bool:
    if isinstance(block, str) or not is_audio_block(block):
        return False
    content = content_of(block)
    if not isinstance(content, Mapping):
        return False
    file_id = content.get("id" if content.get("source_type") == "id" else "file_id")
    found = {key: content[key] for key in RECORDING_KEYS if isinstance(content.get(key), str)}
    is_typed = content is not block or any(isinstance(block.get(key), str) for key in _TYPE_KEYS)
    return (
        not found.keys().isdisjoint({"base64", "file_data"} | ({"data"} if is_typed else set()))
        or any(DATA_URL.match(value.strip()) for value in found.values())
        or is_like_file_id(str(file_id))
    )


def move_recordings_behind_results(turns: Sequence[Turn]) -> list[Turn]:
    """Return a conversation whose results of tools have no recordings.

    Those of results that follow each other begin the user's turn behind them, in their order.
    Each has a number, over the whole conversation, that tells which result it belongs to.
    """
    numbers = count(1)
    moved: list[Turn] = []
    waiting: list[str | AudioPart] = []
    for turn in turns:
        if turn.role == "tool":
            result, recordings = _split(turn, numbers)
            moved.append(result)
            waiting += recordings
            continue
        recorded = Turn("user").with_content(waiting)
        waiting = []
        if turn.role == "user":
            moved.append(turn.merged_after(recorded))
        else:
            moved += [recorded, turn] if recorded.parts else [turn]
    return [*moved, Turn("user").with_content(waiting)] if waiting else moved


def text_as_sent(turn: Turn) -> str:
    """Return the text of a turn with what is said of recordings, if it is a result of a tool."""
    if turn.role != "tool" or not turn.parts:
        return turn.text
    return "".join(moved.text for moved in move_recordings_behind_results([turn]))


def _split(result: Turn, numbers: Iterator[int]) -> tuple[Turn, list[str | AudioPart]]:
    """Return a result that says where its recordings are, and these, each after its number."""
    if not result.parts:
        return result, []
    texts: list[str] = []
    recordings: list[str | AudioPart] = []
    for part in result.parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        number = next(numbers)
        texts.append(f"(Recording {number} follows.)")
        recordings += [INTRODUCTION.format(number), part]
    return replace(result, text="\n".join(texts), parts=()), recordings
