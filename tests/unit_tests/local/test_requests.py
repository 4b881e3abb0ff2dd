"""The validation of request bodies."""

import asyncio
import json
from typing import Any

import pytest

from langchain_voxtral.local.api.requests import InferenceRequest, limit_body, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.response_formats import JsonSchema, Regex


def parse(**fields: object) -> InferenceRequest:
    return parse_body(json.dumps({"input": "Hi", **fields}).encode(), InferenceRequest)


def refused(**fields: object) -> list[dict[str, Any]]:
    with pytest.raises(ErrorResponse) as caught:
        parse(**fields)
    assert caught.value.status == 422
    faults = caught.value.body["detail"]
    assert isinstance(faults, list)
    return faults


def test_what_is_not_sent_has_the_documented_default() -> None:
    assert parse().model_dump() == {
        "input": "Hi",
        "max_new_tokens": None,
        "temperature": 0.7,
        "top_p": 0.9,
        "min_p": 0,
        "top_k": 0,
        "repetition_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "stop": None,
        "num_responses": 1,
        "response_format": None,
        "seed": None,
        "user": None,
        "prompt_cache_key": None,
        "webhook": None,
        "stream": False,
    }


BOUNDS: list[tuple[str, object, bool]] = [
    ("max_new_tokens", 1, True),
    ("max_new_tokens", 0, False),
    ("max_new_tokens", 1_000_000, True),
    ("max_new_tokens", 1_000_001, False),
    ("temperature", 0, True),
    ("temperature", -0.1, False),
    ("temperature", 100, True),
    ("temperature", 100.1, False),
    ("top_p", 0, False),
    ("top_p", 0.001, True),
    ("top_p", 1, True),
    ("top_p", 1.1, False),
    ("min_p", 0, True),
    ("min_p", 1, True),
    ("min_p", 1.1, False),
    ("top_k", 999, True),
    ("top_k", 1000, False),
    ("top_k", -1, False),
    ("repetition_penalty", 0.01, True),
    ("repetition_penalty", 0, False),
    ("repetition_penalty", 5, True),
    ("repetition_penalty", 5.1, False),
    ("presence_penalty", -2, True),
    ("presence_penalty", -2.1, False),
    ("frequency_penalty", 2, True),
    ("frequency_penalty", 2.1, False),
    ("stop", ["x"] * 16, True),
    ("stop", ["x"] * 17, False),
    ("stop", [""], False),
    ("stop", [], True),
    ("num_responses", 4, True),
    ("num_responses", 5, False),
    ("num_responses", 0, False),
    ("seed", -(2**63), True),
    ("seed", -(2**63) - 1, False),
    ("seed", 2**64 - 1, True),
    ("seed", 2**64, False),
    ("input", "", False),
]


@pytest.mark.parametrize(("field", "value", "allowed"), BOUNDS)
def test_ranges_are_the_documented_ones(field: str, value: object, allowed: bool) -> None:
    if allowed:
        assert getattr(parse(**{field: value}), field) == value
    else:
        assert [fault["loc"][:2] for fault in refused(**{field: value})] == [["body", field]]


def test_a_fault_has_the_documented_shape() -> None:
    assert refused(temperature=-1) == [
        {
            "type": "greater_than_equal",
            "loc": ["body", "temperature"],
            "msg": "Input should be greater than or equal to 0",
            "input": -1,
        }
    ]


def test_a_missing_input_is_named() -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse_body(b"{}", InferenceRequest)
    assert caught.value.body == {
        "detail": [
            {"type": "missing", "loc": ["body", "input"], "msg": "Field required", "input": {}}
        ]
    }


def test_every_fault_is_reported() -> None:
    assert [fault["loc"] for fault in refused(top_p=2, seed="x")] == [
        ["body", "top_p"],
        ["body", "seed"],
    ]


def test_an_unknown_field_is_refused_not_dropped() -> None:
    assert [(fault["type"], fault["loc"]) for fault in refused(max_tokens=5)] == [
        ("extra_forbidden", ["body", "max_tokens"])
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stream": True, "num_responses": 2}, "num_responses above 1 is incompatible with stream"),
        ({"webhook": "https://example.com"}, "webhook is not offered by the embedded engine"),
    ],
)
def test_what_cannot_be_served_is_refused(fields: dict[str, object], message: str) -> None:
    assert [fault["msg"] for fault in refused(**fields)] == [f"Value error, {message}"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"input": NaN}', b'"\xff"'])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse_body(body, InferenceRequest)
    faults = caught.value.body["detail"]
    assert isinstance(faults, list)
    assert caught.value.status == 422
    assert [(fault["type"], fault["loc"]) for fault in faults] == [("json_invalid", ["body"])]


def test_response_formats_are_distinguished_by_their_type() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    wanted = parse(response_format=schema).response_format
    assert isinstance(wanted, JsonSchema)
    assert wanted.json_schema.schema_ == {"type": "object"}
    assert parse(response_format={"type": "regex", "regex": "a+"}).response_format == Regex(
        type="regex", regex="a+"
    )
    assert refused(response_format={"type": "xml"})[0]["type"] == "union_tag_invalid"


@pytest.mark.parametrize(
    "values", [[1] * 50_000, {str(number): 1 for number in range(50_000)}, [[]] * 50_000]
)
def test_a_body_of_very_many_values_is_refused(values: object) -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse(user=values)
    message = "The request has more than 50000 JSON values"
    assert (caught.value.status, caught.value.body) == (413, {"error": {"message": message}})


def test_of_very_many_faults_the_first_are_listed_and_the_others_counted() -> None:
    *listed, last = refused(**{f"field{number}": 1 for number in range(3_000)})
    assert [fault["loc"] for fault in listed] == [["body", f"field{n}"] for n in range(100)]
    assert last == {
        "type": "too_many_errors",
        "loc": ["body"],
        "msg": "2900 more errors are not listed",
        "input": None,
    }


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"stop": ["a", "a" * 4_001]}, ["body", "stop", 1]),
        (
            {"response_format": {"type": "regex", "regex": "a" * 10_001}},
            ["body", "response_format", "regex", "regex"],
        ),
    ],
)
def test_texts_that_each_token_is_compared_with_are_short(
    fields: dict[str, object], loc: list[object]
) -> None:
    [fault] = refused(**fields)
    assert (fault["type"], fault["loc"]) == ("string_too_long", loc)


async def test_a_body_that_does_not_arrive_is_refused() -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(ErrorResponse) as caught:
        await limit_body(receive, 10, seconds=0)()
    message = "The request did not arrive within 0 seconds"
    assert (caught.value.status, caught.value.body) == (408, {"error": {"message": message}})
