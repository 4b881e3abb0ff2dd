"""Any JSON in a chat completion: a documented response, and the engine keeps working."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.json_strategies import HUGE, response_formats, schemas, texts, values, written
from support.local_responses import (
    CHAT,
    FUZZ,
    PLAIN_CHAT,
    assert_documented,
    event_data,
    parse_strict_json,
)


@pytest.fixture(autouse=True)
def _works_afterwards(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After any request, a plain request succeeds, and no failure was logged."""
    yield
    assert http.post(CHAT, json=PLAIN_CHAT).json()["usage"]["completion_tokens"] == 1
    assert [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


QUESTION = "What is the weather in Paris? Add 2 + 2."
NAMES = ("get_weather", "add")
names = st.sampled_from(NAMES)
ids = st.sampled_from(["a", "b"])
contents = texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}))
calls = st.fixed_dictionaries(
    {
        "id": ids,
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": names | st.text(min_size=1),
                "arguments": st.dictionaries(texts, values, max_size=2).map(written),
            }
        ),
    }
)
chat_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": contents},
    optional={"name": texts},
)
asked = st.just({"role": "user", "content": QUESTION})
called = calls.map(lambda call: {"role": "assistant", "content": None, "tool_calls": [call]})
answered = st.builds(
    lambda call, content: [
        call,
        {"role": "tool", "content": content, "tool_call_id": call["tool_calls"][0]["id"]},
    ],
    called,
    contents,
)
conversations = st.builds(
    lambda *groups: [message for group in groups for message in group],
    st.lists(chat_messages, max_size=2),
    st.lists(asked, max_size=1),
    st.just([]) | answered,
    st.lists(chat_messages | asked | called, min_size=1, max_size=1),
)
tools = st.lists(
    st.fixed_dictionaries(
        {"name": names},
        optional={
            "description": texts,
            "parameters": schemas
            | st.fixed_dictionaries(
                {"type": st.just("object"), "properties": st.dictionaries(texts, schemas)}
            ),
            "strict": st.booleans(),
        },
    ),
    max_size=2,
    unique_by=lambda function: str(function["name"]),
).map(lambda functions: [{"type": "function", "function": one} for one in functions])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1, exclude_min=True),
    "stop": st.text(min_size=1) | st.lists(st.text(min_size=1, max_size=5), max_size=16),
    "response_format": response_formats.filter(lambda wanted: isinstance(wanted, dict)),
    "seed": st.integers(-(2**63), 2**64 - 1),
    "tools": tools,
    "tool_choice": st.sampled_from(["auto", "none"]),
    "parallel_tool_calls": st.booleans(),
    "logprobs": st.booleans(),
}
streams = st.fixed_dictionaries(
    {"stream": st.just(True)},
    optional={"stream_options": st.fixed_dictionaries({"include_usage": st.booleans()})},
)
forced = st.builds(
    lambda offered, choice: {"tools": offered, "tool_choice": choice},
    tools.filter(bool),
    st.just("required") | names.map(lambda name: {"type": "function", "function": {"name": name}}),
)
valid = st.builds(
    lambda fields, manner, choice, messages: (
        PLAIN_CHAT | fields | manner | choice | {"messages": messages, "max_tokens": 8}
    ),
    st.fixed_dictionaries({}, optional=FIELDS),
    streams | st.fixed_dictionaries({}, optional={"n": st.sampled_from([1, 2])}),
    st.just({}) | forced,
    conversations,
)
# Valid requests ask for eight tokens at most.
few_tokens = st.sampled_from([1, 8, -1, 1.5, "2", HUGE, 10**30, []])
wrong_messages = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "tool_call_id"]) | texts,
        values | st.sampled_from(["user", "assistant", "tool", "developer"]) | st.lists(calls),
        max_size=4,
    ),
    max_size=3,
)
wrong = st.one_of(
    st.dictionaries(
        st.sampled_from([*FIELDS, "model", "stream", "n", "max_completion_tokens", ""]) | texts,
        values,
        max_size=2,
    ),
    st.fixed_dictionaries({"max_tokens": few_tokens}),
    st.fixed_dictionaries({"messages": wrong_messages | values}),
)
bodies = valid | st.builds(lambda body, fields: body | fields, valid, wrong)


@settings(FUZZ, max_examples=30)
@given(body=bodies)
@example(body=PLAIN_CHAT | {"temperature": HUGE})
@example(body=PLAIN_CHAT | {"messages": [[[[]]]] * 100, "seed": "9" * 5000})
@example(body=PLAIN_CHAT | {"messages": []})
def test_any_values_of_the_fields(http: httpx.Client, body: Any) -> None:
    answer = http.post(CHAT, content=written(body), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 404, 422}
    assert_documented(answer.status_code, answer.headers["content-type"], answer.content)
    if answer.status_code == 200 and body.get("stream"):
        *data, last = event_data(answer.text)
        for event in data:
            parse_strict_json(event)
        assert last == "[DONE]" or "error" in parse_strict_json(last)
    elif answer.status_code == 200:
        parse_strict_json(answer.content)
