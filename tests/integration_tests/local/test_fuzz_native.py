"""Any JSON in any field of the native endpoint: a documented response from a healthy engine."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.json_strategies import HUGE, response_formats, texts, values, written
from support.local_responses import (
    FUZZ,
    INFER,
    PLAIN,
    assert_documented,
    event_data,
    parse_strict_json,
)

from langchain_voxtral.local.api.requests import InferenceRequest, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.json_grammar import constrain


@pytest.fixture(autouse=True)
def _works_afterwards(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After any request, a plain request succeeds, and no failure was logged."""
    yield
    assert http.post(INFER, json=PLAIN).json()["num_tokens"] == 1
    assert [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "input": st.text(min_size=1, max_size=20),
    "temperature": st.floats(0, 100),
    "top_p": st.floats(0, 1, exclude_min=True),
    "top_k": st.integers(0, 999),
    "min_p": st.floats(0, 1),
    "repetition_penalty": st.floats(0.01, 5),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "stop": st.lists(st.text(min_size=1, max_size=5), max_size=16),
    "num_responses": st.sampled_from([1, 2]),
    "response_format": response_formats,
    "seed": st.integers(-(2**63), 2**64 - 1),
    "stream": st.booleans(),
    "user": texts,
    "prompt_cache_key": texts,
}
valid_fields = st.fixed_dictionaries({}, optional=FIELDS)
wrong_fields = st.dictionaries(
    st.sampled_from([*FIELDS, "webhook", "max_tokens", ""]) | texts, values, max_size=2
)
# Valid requests ask for two tokens at most.
few_tokens = st.sampled_from([1, 2]) | st.sampled_from([0, -1, 1.5, "2", HUGE, 10**30, [], "\0"])
bodies = st.builds(
    lambda fields, wrong, count: PLAIN | fields | wrong | {"max_new_tokens": count},
    valid_fields,
    st.just({}) | wrong_fields,
    st.just(1) | few_tokens,
)


@FUZZ
@given(body=bodies)
@example(body=PLAIN | {"temperature": HUGE})
@example(body=PLAIN | {"input": [[[[[]]]]] * 100, "seed": "9" * 5000})
def test_any_values_of_the_fields(http: httpx.Client, body: Any) -> None:
    answer = http.post(INFER, content=written(body), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 422}
    assert_documented(answer.status_code, answer.headers["content-type"], answer.content)
    if answer.status_code == 200 and body.get("stream"):
        for event in event_data(answer.text):
            parse_strict_json(event)
    elif answer.status_code == 200:
        parse_strict_json(answer.content)


@pytest.mark.parametrize(
    ("schema", "status"),
    [
        ({"type": "integer", "maximum": 10**30}, 400),
        ({"const": HUGE}, 400),
        ({"default": {"a": [2**64]}}, 400),
        ({"type": "array", "minItems": 10**9}, 400),
        ({"maxItems": 20_000}, 400),
        ({"type": "string", "maxLength": 10**9}, 200),
        ({"$ref": "#"}, 200),
        ({"enum": [2**64 - 1, -(10**18)]}, 200),
        ({"const": {"a": -(2**63)}}, 400),
        ({"type": "integer", "maximum": -1e300}, 400),
    ],
)
def test_a_schema_that_would_break_or_block_the_engine_is_refused(
    http: httpx.Client, schema: object, status: int
) -> None:
    """Some numbers would crash the process or the request; long arrays take minutes to compile."""
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    body = written(PLAIN | {"response_format": wanted})
    answer = http.post(INFER, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert_documented(status, answer.headers["content-type"], answer.content)


@FUZZ
@given(wanted=response_formats, text=texts | values.map(json.dumps))
@example(wanted={"type": "regex", "regex": "a{99999999999}"}, text="a")
@example(
    wanted={"type": "json_schema", "json_schema": {"schema": {"properties": {"": None}}}},
    text='{"": null}',
)
@example(wanted={"type": "regex", "regex": "(" * 1000 + ")" * 1000}, text="a")
def test_every_answer_can_be_checked_against_its_format(wanted: Any, text: str) -> None:
    try:
        asked = parse_body(
            written({"input": "Hi", "response_format": wanted}).encode(), InferenceRequest
        )
        constraint = constrain(asked.response_format)
    except ErrorResponse:
        return
    assert constraint.is_satisfied(text) in {True, False}
