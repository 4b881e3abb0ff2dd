"""Recordings in results of tools, as blocks and as the JSON that LangChain makes of them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from support.mistral_order import mistral_order_fault

from langchain_voxtral.audio.formats import WAV
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn, to_openai, to_turns
from langchain_voxtral.providers import PROVIDERS, TurnOrder

B64 = "UklGRg=="
RIFF, ID3 = AudioPart(b"RIFF"), AudioPart(b"ID3")
BLOCK = {"type": "audio", "base64": B64, "mime_type": "audio/wav"}
OTHER = {"type": "audio", "base64": "SUQz", "mime_type": "audio/mpeg"}
FILE_ID = f"sha256:{'0' * 64}"
NUMBERED = "Recording {}, which a tool returned:"


def calling(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": call_id} for call_id in ids])


def result(content: Any, call_id: str = "a", **more: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id=call_id, **more)


def user_turn(*parts: str | AudioPart) -> Turn:
    return Turn("user").with_content(parts)


def tool_turn(text: str, call_id: str = "a") -> Turn:
    return Turn("tool", text, tool_call_id=call_id)


def turns_after_call(*messages: BaseMessage, ids: str = "a") -> list[Turn]:
    return to_turns([HumanMessage("q"), calling(*ids), *messages])[2:]


FORMS: list[Any] = [
    BLOCK,
    {"type": "audio", "data": B64, "mimeType": "audio/wav"},
    {"type": "audio", "source_type": "base64", "data": B64, "mime_type": "audio/wav"},
    {"type": "audio", "url": f"data:audio/wav;base64,{B64}"},
    {"type": "input_audio", "input_audio": {"data": B64, "format": "wav"}},
    {"type": "input_audio", "input_audio": B64},
    {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{B64}"}},
    {"type": "audio_url", "audio_url": f" DATA:audio/wav;base64,{B64}"},
    {"type": "audio", "data": f"data:audio/wav;base64,{B64}"},
    {"type": "file", "mime_type": "audio/x-wav", "base64": B64, "id": "lc_1"},
    {"type": "media", "mime_type": "application/ogg", "data": B64},
]
"""Of LangChain (new, old), MCP, OpenAI, Mistral, vLLM and Google."""


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_a_recording_that_a_tool_returns_begins_the_users_turn(form: dict[str, Any]) -> None:
    contents: list[Any] = [[form], json.dumps(form), json.dumps([form], ensure_ascii=False)]
    for content in contents:
        assert turns_after_call(result(content)) == [
            tool_turn("(Recording 1 follows.)"),
            user_turn(NUMBERED.format(1), RIFF),
        ]


@pytest.mark.parametrize("key", [{"file_id": FILE_ID}, {"source_type": "id", "id": FILE_ID}])
def test_a_recording_by_reference_is_one_too(key: dict[str, str]) -> None:
    block = {"type": "audio", "mime_type": "audio/wav", **key}
    contents: list[Any] = [[block], json.dumps(block), json.dumps(["", block])]
    for content in contents:
        _, turn = turns_after_call(result(content))
        assert [part.file_id for part in turn.audio] == [FILE_ID]


def test_texts_beside_a_recording_stay_in_the_result_and_show_where_it_was() -> None:
    content = ["Ada:", BLOCK, {"type": "text", "text": "Bob:"}, OTHER, "(end)"]
    expected = [
        tool_turn("Ada:\n(Recording 1 follows.)\nBob:\n(Recording 2 follows.)\n(end)"),
        user_turn(NUMBERED.format(1), RIFF, NUMBERED.format(2), ID3),
    ]
    assert turns_after_call(result(content)) == expected
    assert turns_after_call(result(json.dumps(content))) == expected


def test_recordings_of_results_that_follow_each_other_go_into_one_turn_behind_all() -> None:
    messages = [
        result([OTHER], "b"),
        result("22", "c"),
        result([BLOCK], "a"),
        HumanMessage("Well?"),
    ]
    assert turns_after_call(*messages, ids="abc") == [
        tool_turn("(Recording 1 follows.)", "a"),
        tool_turn("(Recording 2 follows.)", "b"),
        tool_turn("22", "c"),
        user_turn(NUMBERED.format(1), RIFF, NUMBERED.format(2), ID3, "Well?"),
    ]


def test_before_an_answer_the_recordings_are_a_turn_of_their_own() -> None:
    assert turns_after_call(result([BLOCK]), AIMessage("Music.")) == [
        tool_turn("(Recording 1 follows.)"),
        user_turn(NUMBERED.format(1), RIFF),
        Turn("assistant", "Music."),
    ]


def test_numbers_go_on_through_the_conversation() -> None:
    turns = turns_after_call(
        result([BLOCK]), AIMessage("Music."), calling("b"), result([OTHER], "b")
    )
    assert turns[-2:] == [
        tool_turn("(Recording 2 follows.)", "b"),
        user_turn(NUMBERED.format(2), ID3),
    ]


def test_a_failed_result_keeps_its_recording() -> None:
    assert turns_after_call(result([BLOCK], status="error")) == [
        tool_turn("Error: \n(Recording 1 follows.)"),
        user_turn(NUMBERED.format(1), RIFF),
    ]


def test_a_recording_of_a_call_that_is_gone_stays_beside_the_text_of_the_user() -> None:
    head = "Result of the tool 'f' for an earlier call (id 'a'):\n"
    assert to_turns([result(json.dumps(["Ada:", BLOCK]), name="f"), HumanMessage("Who?")]) == [
        user_turn(head + "Ada:", RIFF, "Who?")
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "audio", "title": "Thriller", "url": "https://example.com/a.mp3"}',
        '{"type": "audio", "data": "see the notes"}',
        '{"type": "audio", "audio": {"data": "see the notes"}}',
        '{"type": "audio", "file_id": "file-1"}',
        '{"type": "audio", "id": "sha256:0"}',
        '[{"type": "audio", "artist": "Ada"}]',
        json.dumps([BLOCK, 7]),
        json.dumps([BLOCK, {"seconds": 3}]),
        json.dumps({"audio": BLOCK}),
        json.dumps([[BLOCK]]),
        json.dumps(json.dumps(BLOCK)),
        f"The block is {json.dumps(BLOCK)}",
        f"{json.dumps(BLOCK)} and more",
        json.dumps(BLOCK)[:-1],
        '[{"type": "text", "text": "audio"}]',
        '{"type": "text-plain", "text": "audio"}',
        "[" * 100_000 + '"audio"',
        '[{"type": ["audio"]}, NaN]',
    ],
    ids=lambda text: text[:60],
)
def test_a_text_that_is_not_as_a_whole_blocks_with_a_recording_stays_as_it_is(text: str) -> None:
    assert turns_after_call(result(text)) == [tool_turn(text)]


def test_only_results_of_tools_are_read_so() -> None:
    text = json.dumps(BLOCK)
    assert to_turns([HumanMessage(text), AIMessage(text)]) == [
        Turn("user", text),
        Turn("assistant", text),
    ]


def test_what_cannot_be_sent_beside_a_recording_is_refused_as_in_any_list() -> None:
    blocks = [BLOCK, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}]
    for content in (blocks, json.dumps(blocks)):
        with pytest.raises(VoxtralInvalidRequestError) as raised:
            turns_after_call(result(content))
        assert str(raised.value) == (
            "messages[2] (tool), block 1: a block of type 'image' cannot be sent; the model takes "
            "no images: describe it in a text block."
        )


def test_a_block_in_json_that_should_be_a_recording_and_is_none_is_refused() -> None:
    """As text it would be a megabyte of letters."""
    with pytest.raises(VoxtralInvalidRequestError, match="the recording is no base64"):
        turns_after_call(result(json.dumps({"type": "audio", "base64": "?"})))


# Any results


def to_blocks(pieces: list[str | int]) -> list[Any]:
    """Return the content of a result: texts, and a recording for each number."""
    return [piece if isinstance(piece, str) else sound(piece) for piece in pieces]


def sound(number: int) -> dict[str, Any]:
    return {"type": "audio", "base64": to_base64(number), "mime_type": "audio/wav"}


def to_base64(number: int) -> str:
    return b64encode(b"RIFF" + bytes([number])).decode()


results = st.lists(st.integers(0, 255) | st.text(max_size=5), max_size=4)
after_results = st.sampled_from([[], [HumanMessage("u")], [AIMessage("a")]])
conversations = st.lists(
    st.tuples(st.lists(results, min_size=1, max_size=3), after_results), max_size=3
)


@settings(max_examples=60)
@given(conversations, st.booleans(), st.sampled_from(["any", "mistral"]))
def test_texts_and_recordings_arrive_all_and_in_order(
    conversation: list[tuple[list[list[str | int]], list[BaseMessage]]],
    as_json: bool,
    turn_order: TurnOrder,
) -> None:
    messages: list[BaseMessage] = [HumanMessage("q")]
    for number, (turn, after) in enumerate(conversation):
        ids = [f"{number}_{place}" for place in range(len(turn))]
        contents = [
            json.dumps(to_blocks(pieces)) if as_json else to_blocks(pieces) for pieces in turn
        ]
        messages += [calling(*ids), *map(result, contents, ids), *after]
    loaded = [
        turn.with_content(
            replace(part, format=WAV) if isinstance(part, AudioPart) else part
            for part in turn.content
        )
        for turn in to_turns(messages)
    ]
    sent = to_openai(loaded, audio_part=PROVIDERS["vllm"].audio_part, turn_order=turn_order)
    if turn_order == "mistral":
        assert mistral_order_fault(sent) == ""
    numbers = count(1)
    assert [message["content"] for message in sent if message["role"] == "tool"] == [
        shown(pieces, numbers, as_json=as_json) for turn, _ in conversation for pieces in turn
    ]
    users = [message["content"] for message in sent if message["role"] == "user"]
    parts = [part for content in users if isinstance(content, list) for part in content]
    assert [part["input_audio"]["data"] for part in parts if "input_audio" in part] == [
        to_base64(piece)
        for turn, _ in conversation
        for pieces in turn
        for piece in pieces
        if isinstance(piece, int)
    ]


def shown(pieces: list[str | int], numbers: Iterator[int], *, as_json: bool) -> str:
    """Return the text of a result with numbers for its recordings."""
    if not any(isinstance(piece, int) for piece in pieces):
        texts = [piece for piece in pieces if isinstance(piece, str)]
        return json.dumps(texts) if as_json else "".join(texts)
    runs = groupby(
        [piece for piece in pieces if piece != ""], key=lambda piece: isinstance(piece, str)
    )
    lines: list[str] = []
    for are_texts, run in runs:
        if are_texts:
            lines.append("".join(map(str, run)))
        else:
            lines += [f"(Recording {next(numbers)} follows.)" for _ in run]
    return "\n".join(lines)
