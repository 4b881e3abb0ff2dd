"""Turns with recordings: merged in order, written as parts, never with system text."""

import pytest
from langchain_core.messages import HumanMessage

from langchain_voxtral.audio.formats import MP3, WAV
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn, to_openai, to_turns
from langchain_voxtral.messages.openai import merge_system_into_user
from langchain_voxtral.prompts import LLAMA3, MISTRAL, PromptFormat, render
from langchain_voxtral.providers import PROVIDERS

ONE, TWO = AudioPart(b"RIFF", WAV), AudioPart(b"ID3", MP3)
ONE_BLOCK = {"type": "audio", "base64": "UklGRg=="}
RIFF = AudioPart(b"RIFF")
WAV_PART = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
MP3_PART = {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}


def user_turn(*parts: str | AudioPart) -> Turn:
    return Turn("user").with_content(parts)


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_messages_of_one_user_merge_with_a_blank_line_between_texts_only() -> None:
    messages = [
        HumanMessage(["a", ONE_BLOCK, "b", {"type": "text", "text": "c"}]),
        HumanMessage("d"),
        HumanMessage(""),
        HumanMessage([ONE_BLOCK, "e"]),
        HumanMessage([ONE_BLOCK]),
    ]
    assert to_turns(messages) == [user_turn("a", RIFF, "bc\n\nd", RIFF, "e", RIFF)]
    assert to_turns(messages)[0].text == "abc\n\nde"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (["Hi", ONE_BLOCK], ("Ada: Hi", RIFF)),
        ([ONE_BLOCK, "Hi"], ("Ada: ", RIFF, "Hi")),
        ([ONE_BLOCK], ("Ada: ", RIFF)),
    ],
)
def test_a_name_goes_before_all(content: list[str | dict[str, str]], parts: object) -> None:
    [turn] = to_turns([HumanMessage(content, name="Ada")])
    assert turn.parts == parts


def test_turns_with_recordings_become_lists_of_parts() -> None:
    turns = [
        user_turn("a", ONE, "b"),
        Turn("assistant", "c"),
        user_turn(TWO, ONE),
        Turn("assistant", "d"),
    ]
    assert to_openai(turns, audio_part=PROVIDERS["deepinfra"].audio_part) == [
        {"role": "user", "content": [text_part("a"), WAV_PART, text_part("b")]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": [MP3_PART, WAV_PART]},
        {"role": "assistant", "content": "d"},
    ]


def test_an_instruction_with_recordings_is_the_users() -> None:
    """It is system text, which the model does not accept together with audio."""
    turns = [Turn("system", "s"), user_turn(ONE)]
    write = PROVIDERS["vllm"].audio_part
    messages = [{"role": "user", "content": [text_part("s\n\nAnswer in JSON."), WAV_PART]}]
    assert to_openai(turns, instruction="Answer in JSON.", audio_part=write) == messages


@pytest.mark.parametrize(
    ("turns", "merged"),
    [
        ([Turn("system", "s"), user_turn("u", ONE)], [user_turn("s\n\nu", ONE)]),
        ([Turn("system", "s"), user_turn(ONE, "u")], [user_turn("s", ONE, "u")]),
        ([Turn("system", ""), user_turn(ONE)], [user_turn(ONE)]),
        (
            [Turn("system", "s"), Turn("assistant", "a"), user_turn(ONE)],
            [Turn("assistant", "a"), user_turn("s", ONE)],
        ),
        (
            [user_turn(ONE, "u"), Turn("system", "s"), Turn("user", "v")],
            [user_turn(ONE, "u\n\ns\n\nv")],
        ),
        ([user_turn(ONE), Turn("system", "s")], [user_turn(ONE, "s")]),
        (
            [user_turn(ONE), Turn("assistant", "a"), Turn("system", "s")],
            [user_turn(ONE), Turn("assistant", "a"), Turn("user", "s")],
        ),
        (
            [
                Turn("system", "s"),
                Turn("assistant", "a"),
                Turn("system", "t"),
                user_turn(ONE),
                Turn("assistant", "b"),
                Turn("user", "u"),
            ],
            [
                Turn("assistant", "a"),
                user_turn("s\n\nt", ONE),
                Turn("assistant", "b"),
                Turn("user", "u"),
            ],
        ),
    ],
)
def test_system_text_begins_the_users_turn_that_follows(
    turns: list[Turn], merged: list[Turn]
) -> None:
    assert merge_system_into_user(turns) == merged


def test_a_recording_that_was_not_loaded_is_never_sent() -> None:
    part = AudioPart(url="https://x/y", location="messages[0] (user), block 0")
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_openai([user_turn(part)], audio_part=PROVIDERS["vllm"].audio_part)
    assert str(raised.value) == (
        "messages[0] (user), block 0: a recording cannot be sent: it has not been loaded."
    )


def test_a_server_without_audio_is_sent_none() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="the server takes no recordings"):
        to_openai([user_turn(ONE)])


@pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL])
def test_an_input_string_carries_no_audio(fmt: PromptFormat) -> None:
    [turn] = to_turns([HumanMessage(["Well?", ONE_BLOCK])])
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        render([Turn("system", "s"), turn], fmt)
    assert str(raised.value) == (
        "messages[0] (user), block 1: the raw prompt of the native endpoint carries no audio: "
        "leave api='auto', or pass api='chat_completions', or send what is said in the recording "
        "as text."
    )
