"""Token counts of messages: recordings by length, text by the user's counter."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from support.conversations import conversations, texts, tool_names
from support.mistral_oracle import MistralOracle, needs_results
from support.speech_samples import encoded, silence, wav_bytes
from support.template_goldens import GOLDENS, WEATHER

from langchain_voxtral import ChatVoxtral, VoxtralLLM, audio_block
from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralMissingExtraError
from langchain_voxtral.messages import AudioPart, Turn, to_turns
from langchain_voxtral.messages.mistral_order import arrange_for_mistral


def recordings_of(*lengths: float) -> list[dict[str, Any]]:
    return [audio_block(wav_bytes(silence(seconds))) for seconds in lengths]


Make = Callable[..., ChatVoxtral | VoxtralLLM]


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


@pytest.mark.usefixtures("no_tokens_extra")
def test_without_the_extra_texts_are_estimated_as_langchain_does() -> None:
    chat = ChatVoxtral()
    texts = [SystemMessage("Be brief."), HumanMessage("What is said?")]
    estimate = count_tokens_approximately(texts)
    assert chat.get_num_tokens_from_messages(texts) == estimate
    with_recordings = [texts[0], HumanMessage(["What is said?", *recordings_of(1)])]
    assert chat.get_num_tokens_from_messages(with_recordings) == estimate + 376


@pytest.mark.usefixtures("no_tokens_extra")
@pytest.mark.parametrize("make", [ChatVoxtral, VoxtralLLM])
def test_without_the_extra_the_ids_of_a_text_are_an_error_that_names_it(make: Make) -> None:
    with pytest.raises(VoxtralMissingExtraError) as raised:
        make().get_token_ids("Hello!")
    assert raised.value.message == (
        "Counting tokens needs tekken_240911.json of mistral-common, which is not installed: "
        'pip install "langchain-voxtral[tokens]"'
    )


@pytest.mark.usefixtures("no_tokens_extra")
@pytest.mark.parametrize("make", [ChatVoxtral, VoxtralLLM])
@pytest.mark.parametrize("text", ["", "Hi", "Hello!", "Hello, how are you?" * 100])
def test_without_the_extra_the_tokens_of_a_text_are_estimated_as_those_of_messages(
    make: Make, text: str
) -> None:
    of_role = 1  # "user" has four characters
    of_message = count_tokens_approximately([HumanMessage(text)], extra_tokens_per_message=0)
    assert make().get_num_tokens(text) == of_message - of_role
    assert make(custom_get_token_ids=by_letters).get_num_tokens(text) == len(text)


@pytest.mark.parametrize("make", [ChatVoxtral, VoxtralLLM])
def test_the_tokens_of_a_text_are_those_of_the_models_vocabulary(make: Make) -> None:
    model = make()
    assert model.get_token_ids("Hello, how are you?") == [22177, 1044, 2606, 1584, 1636, 1063]
    assert model.get_num_tokens("[INST]Hello![/INST]") == 10
    assert (model.get_token_ids(""), model.get_num_tokens("")) == ([], 0)
    counting = make(custom_get_token_ids=by_letters)
    assert (counting.get_token_ids("abc"), counting.get_num_tokens("abc")) == ([97, 98, 99], 3)


@pytest.mark.parametrize(("turns", "tools", "prompt", "tokens"), GOLDENS.values(), ids=GOLDENS)
def test_messages_have_the_tokens_of_the_goldens(
    turns: list[Turn], tools: list[dict[str, object]], prompt: str, tokens: int
) -> None:
    messages = list(map(to_message, turns))
    assert ChatVoxtral().get_num_tokens_from_messages(messages, tools) == tokens


@pytest.mark.parametrize(
    ("lengths", "text", "tools", "tokens"),
    [
        ([7], "What is said?", [], 383),
        ([31], "", [], 754),
        ([7, 61], "Compare.", [], 1507),
        ([7], "", [WEATHER], 435),
    ],
)
def test_messages_with_recordings_have_the_tokens_of_the_goldens(
    lengths: list[float], text: str, tools: list[dict[str, object]], tokens: int
) -> None:
    recorded, count = recordings_of(*lengths), ChatVoxtral().get_num_tokens_from_messages
    assert count([HumanMessage([*recorded, text])], tools) == tokens
    assert count([HumanMessage([text, *recorded])], tools) == tokens


@needs_results
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    turns=conversations(answers=texts.map(lambda text: f"{text}."), names=tool_names),
    tools=st.sampled_from([[], [WEATHER]]),
)
def test_a_conversation_has_as_many_tokens_as_what_is_sent_has_in_mistral_common(
    turns: list[Turn], tools: list[dict[str, Any]], oracle: MistralOracle
) -> None:
    messages = list(map(to_message, turns))
    sent = arrange_for_mistral(to_turns(messages))
    count = ChatVoxtral().get_num_tokens_from_messages(messages, tools)
    assert count == len(oracle.tokens(sent, tools))


def test_system_text_beside_a_recording_counts_as_the_users(oracle: MistralOracle) -> None:
    """As it is sent; the model takes it in no other way."""
    said = wav_bytes(silence(31))
    sent = [Turn("user").with_content(["Be brief.", AudioPart(said), "Why?"])]
    asked = [SystemMessage("Be brief."), HumanMessage([audio_block(said), "Why?"])]
    count = ChatVoxtral().get_num_tokens_from_messages
    assert count(asked) == len(oracle.tokens(sent, []))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=conversations(names=tool_names), limit=st.integers(20, 300))
def test_what_is_kept_of_any_conversation_has_no_more_tokens_than_asked_for(
    turns: list[Turn], limit: int
) -> None:
    chat = ChatVoxtral()
    kept = trim_messages(
        list(map(to_message, turns)),
        max_tokens=limit,
        token_counter=chat,
        start_on="human",
        include_system=True,
    )
    # The system message stays, however long it is.
    assert len(kept) <= 1 or chat.get_num_tokens_from_messages(kept) <= limit


def to_message(turn: Turn) -> BaseMessage:
    calls = [
        {"id": call.id or "none", "name": call.name, "args": call.arguments}
        for call in turn.tool_calls
    ]
    match turn.role:
        case "system":
            return SystemMessage(turn.text)
        case "user":
            return HumanMessage(turn.text)
        case "tool":
            return ToolMessage(turn.text, tool_call_id=turn.tool_call_id or "none")
    return AIMessage(turn.text, tool_calls=calls)


Q = HumanMessage("Weather in Paris?")  # 5 tokens
CALL = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "abcdef123"}])
RESULT = ToolMessage("22", tool_call_id="abcdef123")


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([], 0),
        ([SystemMessage("Be brief.")], 1 + 5 + 2),
        ([AIMessage("A1")], 1 + 2 + 2),
        ([HumanMessage("Q1"), HumanMessage("Q2")], 8),
        ([HumanMessage("Q1"), SystemMessage("Q2")], 8),
        ([SystemMessage("Q1"), SystemMessage("Q2"), HumanMessage("Q1")], 1 + 5 + 2 + 4),
        ([HumanMessage("Q1"), AIMessage("A1"), AIMessage("A1")], 1 + 4 + 5),
    ],
)
def test_a_part_of_a_conversation_has_the_tokens_with_which_it_would_be_sent(
    messages: list[BaseMessage], tokens: int
) -> None:
    assert ChatVoxtral().get_num_tokens_from_messages(messages) == tokens


def test_a_part_with_half_of_a_call_counts_what_it_has(caplog: pytest.LogCaptureFixture) -> None:
    """`trim_messages` asks for such parts, in the reverse order too."""
    count = ChatVoxtral().get_num_tokens_from_messages
    whole = count([Q, CALL, RESULT])
    question, call, result = (count([message]) - 1 for message in (Q, CALL, RESULT))
    assert 1 + question + call + result == whole
    assert count([CALL, RESULT]) == whole - question + 2  # an empty user's turn begins it
    assert count([RESULT, CALL, Q]) == whole
    between = count([AIMessage("OK."), HumanMessage("q")]) - 3  # parts the user from the result
    then = [Q, CALL, RESULT, HumanMessage("q")]
    assert count(then) == count(then[::-1]) == whole + between
    assert count([Q, CALL]) == whole - result
    assert count([Q, CALL, Q, RESULT]) == whole + question
    assert caplog.messages == []


@pytest.mark.parametrize("counter", COUNTERS)
def test_tools_and_their_calls_are_counted(counter: dict[str, Any]) -> None:
    tool = {"name": "f", "description": "Do f.", "parameters": {"type": "object"}}
    call = AIMessage("", tool_calls=[{"name": "f", "args": {"of": "x" * 100}, "id": "1"}])
    count = ChatVoxtral(**counter).get_num_tokens_from_messages
    assert count([call]) >= count([AIMessage("")]) + 25
    assert count([call], tools=[tool]) >= count([call]) + 10
    assert count([]) == 0


def test_tools_count_by_the_names_that_they_are_sent_under() -> None:
    def named(name: str) -> tuple[dict[str, Any], AIMessage]:
        return {"name": name}, AIMessage("", tool_calls=[{"name": name, "args": {}, "id": "1"}])

    count = ChatVoxtral().get_num_tokens_from_messages
    (generic, call), (sent, sent_call) = named("Page[dict[str, int]]"), named("Page_dict_str_int")
    asked = HumanMessage("q")
    assert count([asked, call], [generic]) == count([asked, sent_call], [sent])
    assert count([asked, call]) != count([asked, sent_call])


def test_what_becomes_messages_is_counted() -> None:
    count = ChatVoxtral().get_num_tokens_from_messages
    assert count("Hello!") == count(["Hello!"]) == count(iter([("human", "Hello!")])) == 5


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


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_conversation_with_recordings_is_trimmed_to_what_fits(counter: dict[str, Any]) -> None:
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
        token_counter=ChatVoxtral(**counter),
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
