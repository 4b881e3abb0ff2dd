"""Calls of one stream are told apart, however a server numbers, names and splits them."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from support.call_modes import sum_of
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import event, events, json_reply
from support.tool_calls import NOW_TOOL, WEATHER_TOOL, chunks_of
from support.tool_dialects import CHAT

TOOLS = [WEATHER_TOOL, NOW_TOOL]
ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'
Part = dict[str, Any]
Calls = Sequence[tuple[str | None, str, Any]]
"""Id, name and arguments of each call; the id is None if it is generated."""


def part(
    arguments: object = None, call_id: str | None = None, name: str | None = None, **fields: object
) -> Part:
    """An entry of `tool_calls`; `fields` such as the index are added."""
    function = {"name": name, "arguments": arguments}
    return {
        "function": {key: value for key, value in function.items() if value is not None},
        **({} if call_id is None else {"id": call_id}),
        **fields,
    }


def first(arguments: object = None, call_id: str | None = None, name: str | None = None) -> Part:
    """An entry with index 0, which every call of some servers has."""
    return part(arguments, call_id, name, index=0)


def weather(arguments: object = None, call_id: str | None = None) -> Part:
    return first(arguments, call_id, "get_weather")


BOTH = [("a", "get_weather", ROME), ("b", "get_weather", OSLO)]
ONE = [("a", "get_weather", ROME)]

HABITS: dict[str, tuple[list[list[Part]], Calls]] = {
    # An index for each call
    "OpenAI": (
        [
            [weather("", "a")],
            [first('{"city": ')],
            [first('"Rome"}')],
            [part("", "b", "get_weather", index=1)],
            [part(OSLO, index=1)],
        ],
        BOTH,
    ),
    "interleaved": (
        [
            [weather("", "a"), part("", "b", "get_weather", index=1)],
            [first('{"city": '), part('{"city": ', index=1)],
            [part('"Oslo"}', index=1), first('"Rome"}')],
        ],
        BOTH,
    ),
    "an empty id in later parts": ([[weather("", "a")], [first(ROME, "", "")]], ONE),
    "one id for two calls": (
        [[weather(ROME, "a")], [part(OSLO, "a", "get_weather", index=1)]],
        [("a", "get_weather", ROME), (None, "get_weather", OSLO)],
    ),
    "indices as text": (
        [
            [part("", "a", "get_weather", index="0"), part("", "b", "get_weather", index="1")],
            [part(OSLO, index="1")],
            [part(ROME, index="0")],
        ],
        BOTH,
    ),
    "indices from 1 on": (
        [[part(ROME, "a", "get_weather", index=1)], [part(OSLO, "b", "get_weather", index=2)]],
        BOTH,
    ),
    "an index that is used again, then a free one": (
        [
            [weather(ROME, "a")],
            [weather(OSLO, "b")],
            [part("{}", "c", "now", index=1)],
            [part("{}", "d", "now", index=1)],
        ],
        [*BOTH, ("c", "now", "{}"), ("d", "now", "{}")],
    ),
    # One call, whose parts repeat what its first one had
    "the name in every part": (
        [[weather("", "a")], [weather('{"city": ', "a")], [weather('"Rome"}', "a")]],
        ONE,
    ),
    "the name in every part and no id but the first": (
        [[weather('{"city": ', "a")], [weather('"Rome"}')], [weather("")]],
        ONE,
    ),
    "a new id in every part": (
        [
            [weather(None, "a")],
            [first('{"city": ', "b")],
            [first('"Rome"}', "c")],
            [first("", "d")],
        ],
        ONE,
    ),
    "a new id and the name in every part": (
        [
            [weather("", "a")],
            [weather('{"city": ', "b")],
            [weather('"Rome"}', "c")],
            [weather("\n", "d")],
            [weather("", "e")],
        ],
        ONE,
    ),
    "the name before the id": (
        [[weather()], [first('{"city": ', "a")], [first('"Rome"}')]],
        [(None, "get_weather", ROME)],
    ),
    "the id before the name": ([[first("", "a")], [weather()], [first(ROME)]], ONE),
    "the name in pieces": (
        [[first("", "a", "get_")], [first(None, None, "wea")], [first(ROME, "a", "ther")]],
        ONE,
    ),
    # Several calls under index 0
    "whole calls": ([[weather(ROME, "a")], [weather(OSLO, "b")]], BOTH),
    "whole calls in one chunk": ([[weather(ROME, "a"), weather(OSLO, "b")]], BOTH),
    "whole calls of two tools": (
        [[weather(ROME, "a")], [first("{}", "b", "now")], [weather(OSLO, "c")]],
        [*ONE, ("b", "now", "{}"), ("c", "get_weather", OSLO)],
    ),
    "a call twice": (
        [[weather(ROME, "a")], [weather(ROME, "b")]],
        [*ONE, ("b", "get_weather", ROME)],
    ),
    "whole calls with one id": (
        [[weather(ROME, "a")], [weather(OSLO, "a")]],
        [*ONE, (None, "get_weather", OSLO)],
    ),
    "whole calls without ids": (
        [[weather(ROME)], [weather(OSLO)], [first("{}", "", "now")]],
        [(None, "get_weather", ROME), (None, "get_weather", OSLO), (None, "now", "{}")],
    ),
    "calls in parts": (
        [
            [weather("", "a")],
            [first(ROME)],
            [weather("", "b")],
            [first('{"city"')],
            [first(': "Oslo"}')],
        ],
        BOTH,
    ),
    "calls in parts, each with its id": (
        [[weather("", "a")], [first(ROME, "a")], [weather("", "b")], [first(OSLO, "b")]],
        BOTH,
    ),
    "calls in parts, each with its id and name": (
        [[weather("", "a")], [weather(ROME, "a")], [weather("", "b")], [weather(OSLO, "b")]],
        BOTH,
    ),
    "calls in parts, each part with a new id": (
        [[weather("", "a")], [first(ROME, "x")], [weather("", "b")], [first(OSLO, "y")]],
        BOTH,
    ),
    "calls in parts, each part with a new id and the name": (
        [
            [weather('{"city": ', "a")],
            [weather('"Rome"}', "x")],
            [weather('{"city": ', "b")],
            [weather('"Oslo"}', "y")],
        ],
        BOTH,
    ),
    "interleaved parts with ids": (
        [
            [weather("", "a"), weather("", "b")],
            [first('{"city": ', "a"), first('{"city": ', "b")],
            [first('"Oslo"}', "b"), first('"Rome"}', "a")],
        ],
        BOTH,
    ),
    "interleaved parts with ids and names, while the arguments are not whole": (
        [
            [weather('{"city": "Rome"', "a"), weather('{"city": "Oslo"', "b")],
            [first("}", "b"), first("", "a"), first("}", "a")],
        ],
        BOTH,
    ),
    "interleaved parts with ids and names, while a value is missing": (
        [
            [weather('{"city": ', "a"), weather('{"city": ', "b")],
            [first('"Oslo"}', "b"), first('"Rome"}', "a")],
        ],
        BOTH,
    ),
    "calls without arguments": (
        [[first("", "a", "now")], [first("", "b", "now")], [weather(ROME, "c")]],
        [("a", "now", "{}"), ("b", "now", "{}"), ("c", "get_weather", ROME)],
    ),
    "an empty object, then a call without arguments": (
        [
            [first("{}", "a", "now")],
            [first("", "b", "now")],
            [first(None, "c", "get_weather")],
            [first(ROME)],
        ],
        [("a", "now", "{}"), ("b", "now", "{}"), ("c", "get_weather", ROME)],
    ),
    "arguments as objects": (
        [[weather({"city": "Rome"}, "a")], [weather({"city": "Oslo"}, "b")]],
        BOTH,
    ),
    # No index
    "whole calls, no index": (
        [[part(ROME, "a", "get_weather")], [part(OSLO, "b", "get_weather", index=None)]],
        BOTH,
    ),
    "whole calls in one chunk, no index": (
        [
            [part(ROME, "a", "get_weather"), part(OSLO, "b", "get_weather")],
            [part("{}", "c", "now")],
        ],
        [*BOTH, ("c", "now", "{}")],
    ),
    "calls in parts, no index": (
        [
            [part("", "a", "get_weather")],
            [part(ROME)],
            [part("", "b", "get_weather")],
            [part(OSLO)],
        ],
        BOTH,
    ),
    "interleaved parts with ids, no index": (
        [
            [part("", "a", "get_weather"), part("", "b", "get_weather")],
            [part('{"city": "Os', "b")],
            [part(ROME, "a")],
            [part('lo"}', "b")],
        ],
        BOTH,
    ),
    "parts of two calls in each chunk, no index": (
        [
            [part("", "a", "get_weather"), part("", "b", "get_weather")],
            [part('{"city": '), part('{"city": ')],
            [part('"Rome"}'), part('"Oslo"}')],
        ],
        BOTH,
    ),
}
in_each_habit = pytest.mark.parametrize(("deltas", "calls"), HABITS.values(), ids=HABITS)


def streamed(deltas: list[list[Part]], reason: str = "tool_calls") -> Reply:
    return events(*[_chunk({"tool_calls": parts}) for parts in deltas], CHAT.last(reason))


def _chunk(delta: Part, reason: str | None = None) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def made(message: AIMessage) -> Calls:
    """The calls of an answer, all of them valid."""
    assert (message.content, message.invalid_tool_calls) == ("", [])
    ids = [call["id"] for call in message.tool_calls]
    assert len(set(ids)) == len(ids)
    return [
        (call["id"] if len(call["id"] or "") == 1 else None, call["name"], call["args"])
        for call in message.tool_calls
    ]


def arguments_of(calls: Calls) -> Calls:
    values = {ROME: {"city": "Rome"}, OSLO: {"city": "Oslo"}, "{}": {}}
    return [(call_id, name, values[arguments]) for call_id, name, arguments in calls]


@in_each_habit
async def test_calls_are_told_apart(deltas: list[list[Part]], calls: Calls) -> None:
    with ScriptedServer(*[streamed(deltas)] * 2) as server:
        chunks = await chunks_of(CHAT.chat(server).bind_tools(TOOLS), "astream")
        invoked = CHAT.chat(server, streaming=True).bind_tools(TOOLS).invoke("?")
    assert made(sum_of(chunks)) == made(invoked) == arguments_of(calls)
    parts = [one for chunk in chunks for one in chunk.tool_call_chunks]
    assert len({one["index"] for one in parts}) == len(calls)
    assert [one["name"] for one in parts if one["id"]] == [name for _, name, _ in calls]


CUT = '{"city": "Os'


@pytest.mark.parametrize(
    ("deltas", "valid", "invalid"),
    [
        ([[weather(ROME, "a")], [weather(CUT, "b")]], ["a"], ["b"]),
        ([[weather("", "a")], [first(ROME)], [weather("", "b")], [first(CUT)]], ["a"], ["b"]),
        ([[weather(ROME, "a")], [weather("", "b")]], ["a"], ["b"]),
        ([[weather(CUT, "a")], [first("{}", "b", "now")]], ["b"], ["a"]),
        ([[part(ROME, "a", "get_weather")], [part(CUT, "b", "get_weather")]], ["a"], ["b"]),
    ],
)
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_only_the_call_that_is_cut_is_invalid(
    deltas: list[list[Part]], valid: list[str], invalid: list[str], call_mode: str
) -> None:
    with ScriptedServer(streamed(deltas, "length")) as server:
        answer = sum_of(await chunks_of(CHAT.chat(server).bind_tools(TOOLS), call_mode))
    assert [call["id"] for call in answer.tool_calls] == valid
    assert [call["id"] for call in answer.invalid_tool_calls] == invalid


async def test_a_last_part_without_arguments_ends_a_call_whose_name_it_repeats() -> None:
    last = _chunk({"tool_calls": [weather("", "b")]}, "stop")
    with ScriptedServer(events(_chunk({"tool_calls": [weather(ROME, "a")]}), last)) as server:
        answer = sum_of(await chunks_of(CHAT.chat(server).bind_tools(TOOLS), "astream"))
    assert made(answer) == arguments_of(ONE)


@pytest.mark.parametrize("habit", ["whole calls", "calls in parts", "interleaved parts with ids"])
async def test_events_and_content_blocks_have_each_call(habit: str) -> None:
    deltas, calls = HABITS[habit]
    with ScriptedServer(*[streamed(deltas)] * 3) as server:
        chat = CHAT.chat(server).bind_tools(TOOLS)
        with_blocks = CHAT.chat(server, output_version="v1").bind_tools(TOOLS)
        answer = sum_of(await chunks_of(with_blocks, "stream"))
        outputs = [
            one["data"]["output"]
            async for one in chat.astream_events("?", version="v2")
            if one["event"] == "on_chat_model_end"
        ]
        v3: Any = chat.stream_events("?", version="v3")
        outputs.append(v3.output)
    content_blocks: list[Any] = answer.content_blocks
    blocks = [(one["id"], one["name"], one["args"]) for one in content_blocks]
    assert blocks == arguments_of(calls)
    assert [
        [(one["id"], one["name"], one["args"]) for one in output.tool_calls] for output in outputs
    ] == [arguments_of(calls)] * 2


@pytest.mark.parametrize(
    "habit", [name for name in HABITS if name.startswith("whole calls") or "one id" in name]
)
def test_whole_calls_are_told_apart_in_a_response_that_does_not_stream(habit: str) -> None:
    deltas, calls = HABITS[habit]
    sent = [one for parts in deltas for one in parts]
    message = {"content": None, "tool_calls": sent}
    with ScriptedServer(json_reply({"choices": [{"message": message}]})) as server:
        answer = CHAT.chat(server).bind_tools(TOOLS).invoke([HumanMessage("?")])
    assert made(answer) == arguments_of(calls)
