"""Servers with a Mistral template get an order of messages that every version of it takes."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call
from support.documented_exchanges import HELLO_ANSWER, KEY, Server, answering
from support.mistral_requests import encode_request
from support.strict_servers import SERVERS, Handler, strict

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.messages.results import MISSING_RESULT
from langchain_voxtral.tools.call_ids import to_mistral_call_id

SOUND = audio_block(wav_header(3_200) + bytes(3_200))
MAX_SOUNDS = 5
"""What vLLM takes in one request."""
ID = to_mistral_call_id("1")
RESULT, NONE, CUT = (
    f"[TOOL_RESULTS]{ID}[TOOL_CONTENT]{text}[/TOOL_RESULTS]"
    for text in ("r", MISSING_RESULT, "Error: it was cut")
)
CALL = f'[TOOL_CALLS][{{"name": "f", "arguments": {{}}, "id": "{ID}"}}]</s>'
CALLED = CALL + RESULT

BROKEN_ARGS = '{"invalid_arguments": "{"}'
BROKEN = invalid_tool_call(name="f", args="{", id="1", error="it was cut")

system, user, ai = SystemMessage, HumanMessage, AIMessage


def calling(text: str, *ids: str | None, name: str = "f") -> AIMessage:
    calls: list[Any] = [{"name": name, "args": {}, "id": call_id} for call_id in ids]
    return AIMessage(text, tool_calls=calls)


def result(call_id: str = "1", content: Any = "r", **more: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id=call_id, **more)


def send(messages: Sequence[BaseMessage], answer: Handler, **fields: Any) -> Any:
    """Return the body of the request that a model sends."""
    server = Server()
    server.answer = answer
    ChatVoxtral(**{"api_key": KEY, **server.settings, **fields}).invoke(list(messages))
    return server.body


def send_to(name: str, messages: Sequence[BaseMessage]) -> Any:
    """Return the body of a chat completions request that a strict server accepts."""
    return send(messages, strict(name), **SERVERS[name], api="chat_completions")


def prompt_of(messages: Sequence[BaseMessage], name: str) -> str:
    """Return the prompt that the server makes of a conversation."""
    body = send_to(name, messages)
    if name == "llama_cpp" and body["messages"][-1]["role"] == "assistant":  # it needs no fields
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return re.sub(r"(\[AUDIO\])+", "", encode_request(body))


ORDERS: dict[str, tuple[list[BaseMessage], str]] = {
    "system in the middle": (
        [user("a"), ai("b"), system("s"), user("c")],
        "[INST]a[/INST]b</s>[INST]s\n\nc[/INST]",
    ),
    "system after the user": ([user("a"), system("s")], "[INST]a\n\ns[/INST]"),
    "system last": ([user("a"), ai("b"), system("s")], "[INST]a[/INST]b</s>[INST]s[/INST]"),
    "system after a result": (
        [user("a"), calling("", "1"), result(), system("s")],
        f"[INST]a[/INST]{CALLED}OK.</s>[INST]s[/INST]",
    ),
    "system between call and result": (
        [user("a"), calling("", "1"), system("s"), result()],
        f"[INST]a[/INST]{CALLED}OK.</s>[INST]s[/INST]",
    ),
    "several system messages": (
        [system("s"), system("t"), user("a")],
        "[SYSTEM_PROMPT]s\n\nt[/SYSTEM_PROMPT][INST]a[/INST]",
    ),
    "system only": ([system("s")], "[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][INST][/INST]"),
    "user after a result": (
        [user("a"), calling("b", "1"), result(), user("c")],
        f"[INST]a[/INST]b{CALLED}OK.</s>[INST]c[/INST]",
    ),
    "assistant after a result": (
        [user("a"), calling("", "1"), result(), ai("b"), user("c")],
        f"[INST]a[/INST]{CALLED}b</s>[INST]c[/INST]",
    ),
    "prefill": ([user("a"), ai("b")], "[INST]a[/INST]b"),
    "prefill after a result": (
        [user("a"), calling("", "1"), result(), ai("b")],
        f"[INST]a[/INST]{CALLED}b",
    ),
    "prefill alone": ([ai("b")], "[INST][/INST]b"),
    "assistant first": ([ai("a"), user("b")], "[INST][/INST]a</s>[INST]b[/INST]"),
    "assistant after system": (
        [system("s"), ai("a"), user("b")],
        "[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][INST][/INST]a</s>[INST]b[/INST]",
    ),
    "several of one role": (
        [user("a"), user("b"), ai("c"), ai("d"), user("e")],
        "[INST]a\n\nb[/INST]c\n\nd</s>[INST]e[/INST]",
    ),
    "empty answer": ([user("a"), ai(""), user("b")], "[INST]a\n\nb[/INST]"),
    "empty prefill": ([user("a"), ai("")], "[INST]a[/INST]"),
    "all empty": ([system(""), user("")], "[SYSTEM_PROMPT][/SYSTEM_PROMPT][INST][/INST]"),
    "calls without results": (
        [user("a"), calling("b", "1"), user("c"), ai("d"), user("e")],
        f"[INST]a[/INST]b{CALL}{NONE}OK.</s>[INST]c[/INST]d</s>[INST]e[/INST]",
    ),
    "calls last": ([user("a"), calling("b", "1")], f"[INST]a[/INST]b{CALL}{NONE}"),
    "calls that could not be parsed": (
        [user("a"), AIMessage("", invalid_tool_calls=[BROKEN]), user("b")],
        f"[INST]a[/INST]{CALL.replace('{}', BROKEN_ARGS)}{CUT}OK.</s>[INST]b[/INST]",
    ),
    "late result": (
        [user("a"), calling("", "1"), user("b"), ai("c"), result()],
        (
            f"[INST]a[/INST]{CALL}{NONE}OK.</s>[INST]b[/INST]c</s>"
            "[INST]Result of the tool 'f' for an earlier call (id '1'):\nr[/INST]"
        ),
    ),
    "result without a call": (
        [result(name="search"), user("a")],
        "[INST]Result of the tool 'search' for an earlier call (id '1'):\nr\n\na[/INST]",
    ),
    "invalid name of a tool": (
        [user("a"), calling("", "1", name="my.tool"), result()],
        f"[INST]a[/INST]{CALLED}".replace('"f"', '"my_tool"'),
    ),
    "no name of a tool": (
        [user("a"), calling("", "1", name=""), result()],
        f"[INST]a[/INST]{CALLED}".replace('"f"', '"unknown"'),
    ),
    "system with audio": (
        [system("s"), user([SOUND]), ai("b"), system("t"), user("c")],
        "[INST]s[BEGIN_AUDIO][/INST]b</s>[INST]t\n\nc[/INST]",
    ),
    "system, then assistant, with audio": (
        [system("s"), ai("a"), user([SOUND])],
        "[INST]s[/INST]a</s>[INST][BEGIN_AUDIO][/INST]",
    ),
    "system before a prefill with audio": (
        [user([SOUND]), system("s"), ai("b")],
        "[INST][BEGIN_AUDIO]s[/INST]b",
    ),
    "audio after a result": (
        [user([SOUND]), calling("", "1"), result(), user([SOUND])],
        f"[INST][BEGIN_AUDIO][/INST]{CALLED}OK.</s>[INST][BEGIN_AUDIO][/INST]",
    ),
    "audio in a result": (
        [user("a"), calling("", "1"), result("1", ["r", SOUND]), user("b")],
        (
            f"[INST]a[/INST]{CALLED}OK.</s>".replace("r[/", "r\n(Recording 1 follows.)[/")
            + "[INST]Recording 1, which a tool returned:[BEGIN_AUDIO]b[/INST]"
        ),
    ),
    "audio in a result before a prefill": (
        [system("s"), user("a"), calling("", "1"), result("1", json.dumps([SOUND])), ai("b")],
        (
            f"[INST]s\n\na[/INST]{CALLED}OK.</s>".replace("r[/", "(Recording 1 follows.)[/")
            + "[INST]Recording 1, which a tool returned:[BEGIN_AUDIO][/INST]b"
        ),
    ),
}


NOT_NATIVE = "audio|name of a tool"
"""The native endpoint takes no audio, and any name."""


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
@pytest.mark.parametrize(("messages", "prompt"), ORDERS.values(), ids=ORDERS)
def test_the_order_is_one_that_mistral_common_encodes(
    messages: list[BaseMessage], prompt: str, name: str
) -> None:
    assert prompt_of(messages, name) == f"<s>{prompt}"


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [ORDERS[key] for key in ORDERS if not re.search(NOT_NATIVE, key)],
    ids=[key for key in ORDERS if not re.search(NOT_NATIVE, key)],
)
def test_a_native_prompt_in_mistrals_format_has_the_same_order(
    messages: list[BaseMessage], prompt: str
) -> None:
    body = send(messages, lambda _: answering(HELLO_ANSWER), prompt_format="mistral")
    assert body["input"] == f"<s>{prompt}"


def test_several_results_stand_in_the_order_of_their_calls_before_what_was_said_meanwhile() -> None:
    ids = [to_mistral_call_id(call_id) for call_id in ("1", "toolu_2", "1_2")]
    messages = [user("a"), calling("", "1", "toolu_2", "1"), result("toolu_2", "2")]
    messages += [result("1", "1"), result("1", "3"), user("b"), calling("c", "9")]
    messages += [calling("d", "8"), user("e"), result("8"), result("9")]
    assert [
        (message["role"], message.get("tool_call_id"), message["content"])
        for message in send_to("vllm", messages)["messages"]
    ] == [
        ("user", None, "a"),
        ("assistant", None, None),
        *(("tool", call_id, text) for call_id, text in zip(ids, "123", strict=True)),
        ("assistant", None, "OK."),
        ("user", None, "b"),
        ("assistant", None, "c\n\nd"),
        ("tool", to_mistral_call_id("9"), "r"),
        ("tool", to_mistral_call_id("8"), "r"),
        ("assistant", None, "OK."),
        ("user", None, "e"),
    ]


def test_only_the_server_that_needs_it_is_told_to_continue_a_prefill() -> None:
    asked = [user("a"), ai("b")]
    fields = {"continue_final_message": True, "add_generation_prompt": False}
    bodies = {name: send_to(name, asked) for name in SERVERS}
    assert {name: fields.items() <= body.items() for name, body in bodies.items()} == {
        name: name == "vllm" for name in SERVERS
    }
    prefixes = {
        name: [one.get("prefix") for one in body["messages"]] for name, body in bodies.items()
    }
    assert prefixes == {
        name: [None, True] if name == "mistral" else [None, None] for name in SERVERS
    }
    assert not fields.keys() & (bodies["deepinfra"].keys() | bodies["llama_cpp"].keys())
    assert not fields.keys() & send_to("vllm", asked[:1]).keys()


def test_other_servers_get_the_messages_as_they_stand() -> None:
    messages = [user("a"), calling("", "1"), system("s"), result(), user("b"), ai("c")]
    body = send_to("deepinfra", messages)
    assert [message["role"] for message in body["messages"]] == [
        "user",
        "assistant",
        "system",
        "tool",
        "user",
        "assistant",
    ]


# Any sequence of messages


ids = st.sampled_from(["1", "1", "2", "call_3", "abcdefghi"])
kinds = st.one_of(
    st.builds(lambda: SystemMessage("")),
    st.builds(lambda: HumanMessage("")),
    st.builds(lambda sound: HumanMessage(["", SOUND] if sound else ""), st.booleans()),
    st.builds(lambda: ChatMessage(content="", role="assistant")),
    st.builds(lambda called: calling("", *called), st.lists(ids | st.none(), max_size=3)),
    st.builds(lambda name, call_id: calling("", call_id, name=name), st.text(max_size=5), ids),
    st.builds(
        lambda call_id: AIMessage(
            "",
            invalid_tool_calls=[{"name": None, "args": "{", "id": call_id, "error": "bad"}],
        ),
        ids,
    ),
    st.builds(
        lambda call_id, sound: result(call_id, ["", SOUND] if sound else ""), ids, st.booleans()
    ),
    st.builds(lambda call_id: result(call_id, "", status="error", name="f"), ids),
)
"""Messages without text, which is put in by number, so that it can be found again."""


def numbered(messages: list[BaseMessage], empty: set[int]) -> list[BaseMessage]:
    """Return the messages with a text of its own in each, but for some."""
    copies = []
    for number, message in enumerate(messages):
        text = "" if number in empty else f"<{number}>"
        has_sound = isinstance(message.content, list) and number < MAX_SOUNDS
        content = [text, SOUND] if has_sound else text
        copies.append(message.model_copy(update={"content": content}))
    return copies


@settings(max_examples=60)
@given(
    messages=st.lists(kinds, min_size=1, max_size=8),
    empty=st.sets(st.integers(0, 7), max_size=3),
    name=st.sampled_from(["vllm", "llama_cpp"]),
)
def test_any_sequence_of_messages_is_encoded_and_no_text_is_lost(
    messages: list[BaseMessage], empty: set[int], name: str
) -> None:
    given_messages = numbered(messages, empty)
    prompt = prompt_of(given_messages, name)
    texts = [f"<{number}>" for number in range(len(messages)) if number not in empty]
    assert sorted(re.findall("<[0-9]>", prompt)) == texts
    said = [
        f"<{number}>"
        for number, message in enumerate(messages)
        if message.type != "tool" and number not in empty
    ]
    # Only results may change their places.
    assert [text for text in re.findall("<[0-9]>", prompt) if text in said] == said
    assert prompt.count("[BEGIN_AUDIO]") == json.dumps(
        [message.content for message in given_messages]
    ).count('"base64"')
