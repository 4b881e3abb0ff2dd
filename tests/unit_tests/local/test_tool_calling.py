"""The prompt and the constraint that the model gets."""

import json
from typing import Any

import pytest

from langchain_voxtral.local.api.requests import InferenceRequest, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import SMOLLM2_TEMPLATE, ChatTemplate
from langchain_voxtral.local.prompting.json_grammar import UNCONSTRAINED
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tool_calling import ModelInput, plan_chat, plan_native
from langchain_voxtral.local.response_formats import JsonSchema
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts import LLAMA3, MISTRAL, PromptFormat, render
from langchain_voxtral.tools.call_schema import tool_call_schema


def tool(name: str, **properties: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER = tool("get_weather", city={"enum": ["Paris", "Rome"]})
ADD = tool("add", a={"type": "boolean"})
TOOLS = (WEATHER, ADD)
ASKED = Turn("user", "What is the weather in Paris and what is 3+4?")
FINAL = {"type": "object", "properties": {"done": {"type": "boolean"}}, "required": ["done"]}


def reading(*turns: Turn, prefill: str = "") -> ParsedPrompt:
    return ParsedPrompt("llama3", turns, prefill, TOOLS)


def asking_for(schema: dict[str, Any]) -> JsonSchema:
    return JsonSchema.model_validate({"type": "json_schema", "json_schema": {"schema": schema}})


def call(name: str, key: str = "arguments") -> dict[str, Any]:
    function = next(t["function"] for t in TOOLS if t["function"]["name"] == name)
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            key: {**function["parameters"], "additionalProperties": False},
        },
        "required": ["name", key],
        "additionalProperties": False,
    }


def schema_of(task: ModelInput) -> Any:
    schema = task.constraint.fields.get("json_schema")
    if not isinstance(schema, dict):
        return None
    return {key: value for key, value in schema.items() if key != "x-guidance"}


@pytest.mark.parametrize(
    ("choice", "turns", "schema"),
    [
        ("auto", [ASKED], {"anyOf": [call("get_weather"), call("add")]}),
        ("auto", [Turn("user", "Weather?")], call("get_weather")),
        ("auto", [Turn("user", "Hello!")], None),
        ("none", [ASKED], None),
        ("any", [Turn("user", "Weather?")], call("get_weather")),
        ("any", [Turn("user", "Hi")], {"anyOf": [call("get_weather"), call("add")]}),
        ("add", [Turn("user", "Weather?")], call("add")),
    ],
)
def test_the_choice_and_the_rule_say_which_tool_is_called(
    choice: str, turns: list[Turn], schema: dict[str, Any] | None
) -> None:
    task = plan_chat(reading(*turns), SMOLLM2_TEMPLATE, None, tool_choice=choice)
    assert (schema_of(task), bool(task.tool_names), task.prefix) == (
        schema,
        schema is not None,
        "",
    )


def test_examples_are_of_the_tools_that_may_be_called_now() -> None:
    task = plan_chat(reading(Turn("system", "S"), Turn("user", "Weather?")), SMOLLM2_TEMPLATE, None)
    assert task.prompt == (
        "<|im_start|>system\nS<|im_end|>\n"
        "<|im_start|>user\nget weather: city Paris<|im_end|>\n<|im_start|>assistant\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}<|im_end|>\n'
        "<|im_start|>user\nget weather: city Rome<|im_end|>\n<|im_start|>assistant\n"
        '{"name": "get_weather", "arguments": {"city": "Rome"}}<|im_end|>\n'
        "<|im_start|>user\nget weather<|im_end|>\n<|im_start|>assistant\n"
        '{"name": "get_weather", "arguments": {"city": "Rome"}}<|im_end|>\n'
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_call_is_validated_against_its_own_schema() -> None:
    is_satisfied = plan_chat(reading(ASKED), SMOLLM2_TEMPLATE, None).constraint.is_satisfied
    texts = {
        '{"name": "add", "arguments": {"a": true}}': True,
        '{"name": "add", "arguments": {"a": 1}}': False,
        '{"name": "add", "parameters": {"a": true}}': False,
        '{"name": "subtract", "arguments": {}}': False,
    }
    assert {text: is_satisfied(text) for text in texts} == texts


def test_a_schema_of_calls_forces_one_whatever_the_choice() -> None:
    wanted = asking_for(tool_call_schema(TOOLS, arguments_key="parameters"))
    task = plan_chat(reading(Turn("user", "3+4?")), SMOLLM2_TEMPLATE, wanted, tool_choice="none")
    assert (schema_of(task), bool(task.tool_names)) == (call("add", "parameters"), True)


def test_an_array_of_calls_is_served_with_one() -> None:
    wanted = asking_for(tool_call_schema(TOOLS, arguments_key="parameters", several=True))
    task = plan_chat(reading(Turn("user", "3+4?")), SMOLLM2_TEMPLATE, wanted)
    one = {"type": "array", "minItems": 1, "maxItems": 1, "items": call("add", "parameters")}
    assert schema_of(task) == one
    assert task.constraint.is_satisfied('[{"name": "add", "parameters": {"a": true}}]')


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("question", "is_call"), [("Weather?", True), ("Hello!", False)])
def test_with_a_response_schema_the_rule_decides(
    question: str, several: bool, is_call: bool
) -> None:
    wanted = asking_for(
        tool_call_schema(TOOLS, arguments_key="parameters", several=several, final=FINAL)
    )
    task = plan_chat(reading(Turn("user", question)), SMOLLM2_TEMPLATE, wanted)
    assert bool(task.tool_names) == is_call
    assert task.constraint.is_satisfied('{"done": true}') != is_call


def test_an_answer_that_is_already_begun_is_no_call() -> None:
    task = plan_chat(reading(ASKED, prefill="It is"), SMOLLM2_TEMPLATE, None)
    assert (bool(task.tool_names), schema_of(task)) == (False, None)


@pytest.mark.parametrize("choice", ["any", "subtract"])
def test_a_choice_without_its_tool_is_refused(choice: str) -> None:
    with pytest.raises(ErrorResponse) as caught:
        plan_chat(ParsedPrompt("chat", (ASKED,)), SMOLLM2_TEMPLATE, None, tool_choice=choice)
    message = f"tool_choice: {choice!r} asks for a tool that is not on offer"
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})


def request(prompt: str, **fields: object) -> InferenceRequest:
    return parse_body(json.dumps({"input": prompt, **fields}).encode(), InferenceRequest)


@pytest.mark.parametrize(
    ("fmt", "prefix", "key"), [(LLAMA3, "", "parameters"), (MISTRAL, "[TOOL_CALLS]", "arguments")]
)
def test_a_call_of_the_rules_is_in_the_syntax_of_the_prompt(
    fmt: PromptFormat, prefix: str, key: str
) -> None:
    prompt = render([Turn("user", "Weather?")], fmt, tools=TOOLS)
    task = plan_native(request(prompt), SMOLLM2_TEMPLATE)
    made: object = {"name": "get_weather", key: {"city": "Rome"}}
    if fmt is MISTRAL:
        [call_id] = ids_in(task)
        made = [{"name": "get_weather", key: {"city": "Rome"}, "id": call_id}]
    assert bool(task.tool_names)
    assert task.prefix == prefix
    assert task.constraint.is_satisfied(json.dumps(made))


def ids_in(task: ModelInput) -> set[str]:
    items = schema_of(task)["items"]
    return {item["properties"]["id"]["const"] for item in items.get("anyOf", [items])}


def test_every_step_of_a_conversation_gives_its_call_another_id() -> None:
    turns = [ASKED]
    ids: set[str] = set()
    for name in ("get_weather", "add"):
        [made] = ids_in(plan_native(request(render(turns, MISTRAL, tools=TOOLS)), SMOLLM2_TEMPLATE))
        ids.add(made)
        turns.append(Turn("assistant", "", (ToolCall(made, name, {}),)))
        turns.append(Turn("tool", "1", tool_call_id=made))
    assert len(ids) == 2


@pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL])
def test_a_call_of_the_clients_schema_is_bare_json(fmt: PromptFormat) -> None:
    schema = tool_call_schema(TOOLS, arguments_key=fmt.calls.arguments_key)
    wanted = {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}
    prompt = render([Turn("user", "Weather?")], fmt, tools=TOOLS)
    task = plan_native(request(prompt, response_format=wanted), SMOLLM2_TEMPLATE)
    made = {"name": "get_weather", fmt.calls.arguments_key: {"city": "Rome"}}
    assert (bool(task.tool_names), task.prefix) == (True, "")
    assert task.constraint.is_satisfied(json.dumps(made))


def test_another_response_format_is_what_a_native_request_gets() -> None:
    prompt = render([ASKED], LLAMA3, tools=TOOLS)
    task = plan_native(request(prompt, response_format={"type": "json_object"}), SMOLLM2_TEMPLATE)
    assert bool(task.tool_names) is False
    assert task.constraint.is_satisfied("{}")


@pytest.mark.parametrize("prompt", ["Once upon a time add", "<|im_start|>user\nAdd<|im_end|>\n"])
def test_a_prompt_without_tools_goes_to_the_model_as_it_is(prompt: str) -> None:
    task = plan_native(request(prompt), SMOLLM2_TEMPLATE)
    assert (task.prompt, task.constraint.fields, bool(task.tool_names)) == (prompt, {}, False)


def test_a_model_that_reads_tools_in_its_prompt_decides_for_itself() -> None:
    template = ChatTemplate(lambda prompt: f"{len(prompt.tools)} tools, {prompt.turns[-1].text}")
    for fmt in (LLAMA3, MISTRAL):
        prompt = render([Turn("user", "Weather?")], fmt, tools=TOOLS)
        task = plan_native(request(prompt), template)
        assert task == ModelInput("2 tools, Weather?", UNCONSTRAINED)


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"type": "function"},
        {"function": "add"},
        {"function": {"name": 3}},
        {"function": {"name": "add", "parameters": []}},
    ],
)
def test_an_invalid_tool_cannot_be_called(tool: dict[str, Any]) -> None:
    prompt = f"<s>[AVAILABLE_TOOLS]{json.dumps([tool])}[/AVAILABLE_TOOLS][INST]Add[/INST]"
    assert not plan_native(request(prompt), SMOLLM2_TEMPLATE).tool_names


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([tool(f"t{n}", a={"enum": [*range(99)]}) for n in range(100)], "10000 values"),
        ([tool(f"t{n}", a={"enum": ["x" * 3_000]}) for n in range(100)], "262144 bytes"),
        ([tool(f"t{n}", a={}, b={}) for n in range(500)], "2000 schemas in it"),
    ],
)
def test_tools_that_are_too_large_together_are_refused_as_tools(
    tools: list[dict[str, Any]], reason: str
) -> None:
    conversation = ParsedPrompt("llama3", (ASKED,), tools=tuple(tools))
    with pytest.raises(ErrorResponse) as caught:
        plan_chat(conversation, SMOLLM2_TEMPLATE, None, tool_choice="any")
    message = f"tools: the schema has more than {reason}"
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})
