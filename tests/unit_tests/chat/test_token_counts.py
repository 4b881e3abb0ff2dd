"""Token counts of messages: recordings by length, text by the user's counter."""

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from support.speech_samples import encoded, silence, wav_bytes

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.errors import VoxtralInvalidRequestError


def recordings_of(*lengths: float) -> list[dict[str, Any]]:
    return [audio_block(wav_bytes(silence(seconds))) for seconds in lengths]


def by_letters(text: str) -> list[int]:
    return [*text.encode()]


COUNTERS: list[dict[str, Any]] = [{}, {"custom_get_token_ids": by_letters}]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (["Well?", *recordings_of(1)], 5 + 376),
        (recordings_of(30), 376),
        (recordings_of(30.1), 751),
        (recordings_of(1, 1), 2 * 376),
        ([audio_block(encoded("flac")), "?"], 1 + 376),
        ("Hello!", 6),
    ],
)
def test_recordings_are_counted_by_their_length_and_texts_by_the_users_counter(
    content: Any, tokens: int
) -> None:
    chat = ChatVoxtral(custom_get_token_ids=by_letters)
    role = len("Human: ")
    assert chat.get_num_tokens_from_messages([HumanMessage(content)]) == role + tokens
    several = [SystemMessage("Be brief."), HumanMessage(content), HumanMessage(content)]
    expected = len("System: Be brief.") + 2 * (role + tokens)
    assert chat.get_num_tokens_from_messages(several) == expected


def test_without_a_counter_texts_are_estimated_as_langchain_does() -> None:
    chat = ChatVoxtral()
    texts = [SystemMessage("Be brief."), HumanMessage("What is said?")]
    estimate = count_tokens_approximately(texts)
    assert chat.get_num_tokens_from_messages(texts) == estimate
    with_recordings = [texts[0], HumanMessage(["What is said?", *recordings_of(1)])]
    assert chat.get_num_tokens_from_messages(with_recordings) == estimate + 376


@pytest.mark.parametrize("settings", COUNTERS)
def test_tools_and_their_calls_are_counted(settings: dict[str, Any]) -> None:
    tool = {"name": "f", "description": "Do f.", "parameters": {"type": "object"}}
    call = AIMessage("", tool_calls=[{"name": "f", "args": {"of": "x" * 100}, "id": "1"}])
    count = ChatVoxtral(**settings).get_num_tokens_from_messages
    assert count([call]) >= count([AIMessage("")]) + 25
    assert count([call], tools=[tool]) >= count([call]) + 10
    assert count([]) == 0


def test_any_part_of_a_conversation_is_counted() -> None:
    """`trim_messages` also counts results whose call was trimmed."""
    result = ToolMessage("22", tool_call_id="1")
    count = ChatVoxtral(custom_get_token_ids=by_letters).get_num_tokens_from_messages
    assert count([result]) == len("Tool: 22")
    recorded = ToolMessage(json.dumps(["22", *recordings_of(1)]), tool_call_id="1")
    said = "\n(Recording 1 follows.)Recording 1, which a tool returned:"
    assert count([recorded]) == len("Tool: 22" + said) + 376


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            audio_block("https://example.org/a.wav"),
            (
                "the recording is a URL, and how long it is is not known before it is fetched: "
                "send the recording itself (audio_block(path))."
            ),
        ),
        (
            {"type": "image", "url": "https://example.org/a.png"},
            (
                "a block of type 'image' cannot be sent; the model takes no images: describe it in "
                "a text block."
            ),
        ),
    ],
)
def test_content_that_cannot_be_counted_is_refused(block: dict[str, Any], problem: str) -> None:
    messages: list[BaseMessage] = [HumanMessage("a"), HumanMessage([block])]
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        ChatVoxtral(allow_audio_urls=True).get_num_tokens_from_messages(messages)
    assert str(raised.value) == f"messages[1] (user), block 0: {problem}"


@pytest.mark.parametrize("settings", COUNTERS)
def test_a_conversation_with_recordings_is_trimmed_to_what_fits(settings: dict[str, Any]) -> None:
    [minute] = recordings_of(60)
    conversation = [
        SystemMessage("Be brief."),
        *(HumanMessage([minute, "What is said?"]), AIMessage("This.")),
        *(HumanMessage([minute, "And here?"]), AIMessage("That.")),
        HumanMessage("Thanks."),
    ]
    kept = trim_messages(
        conversation,
        max_tokens=1_000,
        token_counter=ChatVoxtral(**settings),
        start_on="human",
        include_system=True,
    )
    assert kept == [conversation[0], *conversation[3:]]


def test_a_recording_does_not_make_langchain_summarise() -> None:
    """LangChain's own counter counts base64 as text, and would drop the recording."""
    middleware = pytest.importorskip("langchain.agents.middleware", reason="the floor has it not")
    chat, runtime = ChatVoxtral(), object()
    messages: list[BaseMessage] = [HumanMessage([*recordings_of(60), "What is said?"])] * 3
    settings = {"model": chat, "trigger": ("tokens", 2_300), "keep": ("messages", 1)}
    count = chat.get_num_tokens_from_messages
    assert count(messages) < 2_300
    summarising = middleware.SummarizationMiddleware(token_counter=count, **settings)
    assert summarising.before_model({"messages": messages}, runtime) is None
