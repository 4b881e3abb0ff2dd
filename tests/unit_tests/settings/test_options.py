"""Options: their names in requests, where they may be set, and validation."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, ValidationError
from support.documented_exchanges import KEY, Server

from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.settings import REQUEST_FIELDS, SamplingSettings

Make = Callable[..., ChatVoxtral | VoxtralLLM]
JSON_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "city", "schema": {"type": "object"}},
}
WIRE_NAMES: list[tuple[str, Any, dict[str, Any]]] = [
    ("temperature", 0.0, {"temperature": 0.0}),
    ("top_p", 0.5, {"top_p": 0.5}),
    ("top_k", 40, {"top_k": 40}),
    ("min_p", 0.1, {"min_p": 0.1}),
    ("max_tokens", 7, {"max_new_tokens": 7}),
    ("max_new_tokens", 7, {"max_new_tokens": 7}),
    ("repetition_penalty", 1.1, {"repetition_penalty": 1.1}),
    ("presence_penalty", -0.5, {"presence_penalty": -0.5}),
    ("frequency_penalty", 0.5, {"frequency_penalty": 0.5}),
    ("seed", 2**64 - 1, {"seed": 2**64 - 1}),
    ("response_format", {"type": "json_object"}, {"response_format": {"type": "json_object"}}),
    ("response_format", JSON_SCHEMA, {"response_format": JSON_SCHEMA}),
    (
        "response_format",
        {"type": "regex", "regex": "a+"},
        {"response_format": {"type": "regex", "regex": "a+"}},
    ),
    ("user", "u-1", {"user": "u-1"}),
    ("prompt_cache_key", "k-1", {"prompt_cache_key": "k-1"}),
    ("n", 2, {"num_responses": 2}),
    ("stop", ["a", "b"], {"stop": ["a", "b", "<|eot_id|>"]}),
    ("stop", "a", {"stop": ["a", "<|eot_id|>"]}),
    ("stop_sequences", ["a"], {"stop": ["a", "<|eot_id|>"]}),
    ("stop", [], {"stop": []}),
    ("model_kwargs", {"webhook": "https://x/y"}, {"webhook": "https://x/y"}),
    ("temperature", None, {}),
    ("top_p", None, {}),
    ("max_tokens", None, {}),
]
QUIET: dict[str, Any] = {"temperature": None, "top_p": None}
END_MARKER = {"stop": ["<|eot_id|>"]}


def without_input(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "input"}


@pytest.mark.parametrize(("name", "value", "sent"), WIRE_NAMES)
def test_a_constructor_option_is_sent_under_its_wire_name(
    make: Make, server: Server, name: str, value: object, sent: dict[str, Any]
) -> None:
    make(**QUIET | {name: value}).invoke("Hello!")
    assert without_input(server.body) == END_MARKER | sent


@pytest.mark.parametrize(("name", "value", "sent"), WIRE_NAMES)
def test_a_call_option_is_sent_under_its_wire_name(
    make: Make, server: Server, name: str, value: object, sent: dict[str, Any]
) -> None:
    make().invoke("Hello!", **QUIET | {name: value})
    assert without_input(server.body) == END_MARKER | sent


EVERYTHING: dict[str, Any] = {
    "temperature": 0.1,
    "top_p": 0.2,
    "top_k": 3,
    "min_p": 0.4,
    "max_tokens": 5,
    "repetition_penalty": 1.5,
    "presence_penalty": 0.7,
    "frequency_penalty": 0.8,
    "stop": ["nine"],
    "seed": 10,
    "response_format": {"type": "text"},
    "user": "twelve",
    "prompt_cache_key": "thirteen",
    "model_kwargs": {"fourteen": 14},
}


def test_a_call_replaces_what_it_names_and_leaves_the_rest(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    chat = make_chat(**EVERYTHING)
    chat.invoke("Hello!", temperature=0.9, stop=["other"], top_k=None)
    chat.invoke("Hello!")
    of_constructor = {
        "temperature": 0.1,
        "top_p": 0.2,
        "top_k": 3,
        "min_p": 0.4,
        "max_new_tokens": 5,
        "repetition_penalty": 1.5,
        "presence_penalty": 0.7,
        "frequency_penalty": 0.8,
        "stop": ["nine", "<|eot_id|>"],
        "seed": 10,
        "response_format": {"type": "text"},
        "user": "twelve",
        "prompt_cache_key": "thirteen",
        "fourteen": 14,
    }
    of_call = of_constructor | {"temperature": 0.9, "stop": ["other", "<|eot_id|>"]}
    del of_call["top_k"]
    assert [without_input(body) for body in server.bodies] == [of_call, of_constructor]


def test_with_sixteen_stops_the_end_token_is_cut_locally(chat: ChatVoxtral, server: Server) -> None:
    stops = [f"stop {number}" for number in range(16)]
    chat.invoke("Hello!", stop=stops)
    assert server.body["stop"] == stops


NO_VALUE = [
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": 1000}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_new_tokens": 1.5}, "max_new_tokens"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"frequency_penalty": -3}, "frequency_penalty"),
    ({"seed": 2**64}, "seed"),
    ({"user": 5}, "user"),
    ({"n": 5}, "n"),
    ({"logprobs": "maybe"}, "logprobs"),
    ({"model": ""}, "model"),
    ({"model": None}, "model"),
    ({"stop": 5}, "stop"),
    ({"stop": [1]}, "stop.0"),
    ({"stop": ["a", ""]}, "an empty stop sequence would end every answer at once"),
    ({"stop": ["x"] * 17}, "17 stop sequences were given; the server takes 16"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "json_object, json_schema, regex, not 'xml'"),
    ({"response_format": {"type": "json_schema"}}, "needs a 'json_schema' beside it"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "city"}}},
        "'json_schema' must be {'name': ..., 'schema'",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": "city"}},
        "'json_schema' must be {'name': ..., 'schema'",
    ),
    ({"response_format": {"type": "regex"}}, "needs a 'regex' beside it"),
    ({"model_kwargs": {"max_new_tokens": 5}}, "is set through max_tokens="),
    ({"model_kwargs": {"num_responses": 2}}, "is set through n="),
    ({"model_kwargs": {"input": "x"}}, "is set through the messages"),
    ({"model_kwargs": {"stream": True}}, r"is set through \.stream\(\)"),
    ({"tempreature": 0.5}, "there is no option 'tempreature'. Did you mean 'temperature'"),
    ({"webhook": "https://x"}, r"Fields that only the server knows go into model_kwargs"),
]


@pytest.mark.parametrize(("given", "problem"), NO_VALUE)
def test_a_wrong_option_of_a_call_is_named_and_nothing_is_sent(
    make: Make, server: Server, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=problem) as caught:
        make().invoke("Hello!", **given)
    assert caught.value.message.startswith("Wrong options for this call: ")
    assert next(iter(given)) in caught.value.message
    assert caught.value.attempts == 0
    assert server.requests == []


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM])
@pytest.mark.parametrize(("given", "problem"), NO_VALUE)
def test_a_wrong_option_of_a_constructor_is_named(
    model_class: Callable[..., object], given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        model_class(**given)
    assert caught.value.error_count() == 1


WRONG_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"apikey": KEY}, "there is no option 'apikey'. Did you mean 'api_key'?"),
    ({"api": "grpc"}, "api"),
    ({"max_stream_resumes": -1}, "max_stream_resumes"),
    ({"timeout": 0}, "timeout"),
    ({"timeout": (1, 2, 3)}, "timeout"),
    ({"timeout": float("inf")}, "timeout"),
    ({"stream_idle_timeout": -1}, "stream_idle_timeout"),
    ({"stream_idle_timeout": float("inf")}, "stream_idle_timeout"),
    ({"deadline": 0}, "deadline"),
    ({"deadline": float("inf")}, "deadline"),
    ({"max_retries": -1}, "max_retries"),
    ({"max_retries": None}, "max_retries"),
    ({"server": "vllm"}, "server"),
    ({"prompt_format": "chatml"}, "prompt_format"),
    ({"special_tokens": "remove"}, "special_tokens"),
    ({"http_client": object()}, "http_client"),
    ({"http_async_client": object()}, "http_async_client"),
    ({"api_key": 5}, "api_key"),
    ({"default_headers": {"x": 5}}, "default_headers"),
    ({"default_headers": {"x": "two\nlines"}}, "default_headers"),
    ({"default_headers": {"x": "caf\u00e9"}}, "default_headers"),
    ({"default_headers": {"x": " padded"}}, "default_headers"),
    ({"default_headers": {"a b": "c"}}, "default_headers"),
    ({"proxy": "nonsense"}, "proxy"),
]


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM])
@pytest.mark.parametrize(("given", "problem"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named(
    model_class: Callable[..., object], given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        model_class(**given)


def test_connection_settings_cannot_be_set_for_one_call(chat: ChatVoxtral, server: Server) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="'timeout' is set at the constructor"):
        chat.invoke("Hello!", timeout=5)
    assert server.requests == []


def test_an_option_given_in_two_spellings_is_named(chat: ChatVoxtral) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="'stop_sequences' is 'stop' once more"):
        chat.invoke("Hello!", stop=["a"], stop_sequences=["b"])


def test_several_wrong_options_are_all_named(chat: ChatVoxtral) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        chat.invoke("Hello!", temperature="hot", top_q=1)
    assert caught.value.message == (
        "Wrong options for this call: temperature='hot': Input should be a valid number, unable "
        "to parse string as a number; there is no option 'top_q'. Did you mean 'top_p'? Fields "
        "that only the server knows go into model_kwargs={...}."
    )


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "There are no messages: give at least one"),
        (
            [HumanMessage([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])],
            r"messages\[0\] \(user\), block 0.*'image_url'.*the model takes no images",
        ),
        (
            [HumanMessage([{"type": "image", "base64": "AA==", "mime_type": "image/png"}])],
            r"messages\[0\] \(user\), block 0.*'image'.*the model takes no images",
        ),
        (
            [HumanMessage([{"type": "audio", "base64": "AA==", "mime_type": "audio/wav"}])],
            r"messages\[0\] \(user\), block 0: it is no recording of a known kind",
        ),
    ],
)
def test_messages_that_cannot_be_sent_are_named(
    chat: ChatVoxtral, server: Server, messages: list[HumanMessage], problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=problem):
        chat.invoke(messages)
    with pytest.raises(VoxtralInvalidRequestError, match=problem):
        list(chat.stream(messages))
    assert server.requests == []


@pytest.mark.parametrize("name", ["../../admin", "a/../b", "/a", "a/", "a//b", ".", "a\nb"])
def test_a_model_name_that_would_change_the_path_is_refused(
    chat: ChatVoxtral, server: Server, name: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="is no model name"):
        chat.invoke("Hello!", model=name)
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a b?c#d", b"/v1/inference/a%20b%3Fc%23d"),
        ("%2e%2e/x", b"/v1/inference/%252e%252e/x"),
        ("deploy_id:D1", b"/v1/inference/deploy_id:D1"),
    ],
)
def test_a_model_name_is_one_path_segment(
    chat: ChatVoxtral, server: Server, name: str, path: bytes
) -> None:
    chat.invoke("Hello!", model=name)
    assert server.request.url.raw_path == path


@pytest.mark.parametrize("special_tokens", ["neutralize", "error", "allow"])
def test_special_tokens_in_content_are_escaped_refused_or_allowed(
    make_chat: Callable[..., ChatVoxtral], server: Server, special_tokens: str
) -> None:
    chat = make_chat(special_tokens=special_tokens)
    if special_tokens == "error":
        with pytest.raises(VoxtralInvalidRequestError, match=r"<\|eot_id\|>"):
            chat.invoke("a<|eot_id|>b")
        return
    chat.invoke("a<|eot_id|>b")
    content = {"neutralize": "a<\u2060|eot_id|>b", "allow": "a<|eot_id|>b"}[special_tokens]
    assert server.body["input"] == (
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{content}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_every_setting_of_a_call_is_sent_or_known_not_to_be() -> None:
    elsewhere = {
        "model",
        "stop",
        "logprobs",
        "stream_usage",
        "model_kwargs",
    }  # have a place of their own
    assert {*REQUEST_FIELDS} == SamplingSettings.model_fields.keys() - elsewhere


@pytest.mark.parametrize("model_class", [ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser])
@pytest.mark.parametrize("way", ["constructor", "model_validate"])
def test_a_validation_error_is_our_words_alone(model_class: type[BaseModel], way: str) -> None:
    make: Any = model_class if way == "constructor" else model_class.model_validate
    given = {"api_key": KEY, "max_retries": "many", "proxy": "nonsense"}
    with pytest.raises(ValidationError) as caught:
        make(**given) if way == "constructor" else make(given)
    name = model_class.__name__
    assert str(caught.value) == (
        f"2 validation errors for {name}\n"
        "max_retries\n"
        "  Input should be a valid integer, unable to parse string as an integer "
        "[type=int_parsing]\n"
        "proxy\n"
        "  a proxy's URL is like 'http://host:3128'; its scheme is one of http, https, socks5, "
        "socks5h [type=value_error]"
    )
    assert [problem["type"] for problem in caught.value.errors()] == ["int_parsing", "value_error"]
    assert KEY not in str(caught.value.errors())
