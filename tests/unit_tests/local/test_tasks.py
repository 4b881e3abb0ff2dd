"""The prompt and the constraint that the model gets."""

import json
from typing import Any

import pytest

from langchain_voxtral.local.api.requests import InferenceRequest, JsonSchema, parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import CHATML
from langchain_voxtral.local.prompting.chat_template import MISTRAL as OF_VOXTRAL
from langchain_voxtral.local.prompting.json_grammar import UNCONSTRAINED
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tasks import Task, plan_input, plan_task
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts import LLAMA3, MISTRAL, PromptFormat, render
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.schema import tool_call_schema


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


def schema_of(task: Task) -> Any:
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
    task = plan_task(reading(*turns), CHATML, None, choice=choice)
    assert (schema_of(task), bool(task.tool_names), task.opening) == (
        schema,
        schema is not None,
        "",
    )


def test_examples_are_of_the_tools_that_may_be_called_now() -> None:
    task = plan_task(reading(Turn("system", "S"), Turn("user", "Weather?")), CHATML, None)
    assert task.prompt == (
        "<|im_start|>system\nS<|im_end|>\n"
        "<|im_start|>user\nget weather: city Paris<|im_end|>\n<|im_start|>assistant\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}<|im_end|>\n'
        "<|im_start|>user\nget weather: city Rome<|im_end|>\n<|im_start|>assistant\n"
        '{"name": "get_weather", "arguments": {"city": "Rome"}}<|im_end|>\n'
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_call_is_validated_against_its_own_schema() -> None:
    is_satisfied = plan_task(reading(ASKED), CHATML, None).constraint.is_satisfied
    texts = {
        '{"name": "add", "arguments": {"a": true}}': True,
        '{"name": "add", "arguments": {"a": 1}}': False,
        '{"name": "add", "parameters": {"a": true}}': False,
        '{"name": "subtract", "arguments": {}}': False,
    }
    assert {text: is_satisfied(text) for text in texts} == texts


def test_a_schema_of_calls_forces_one_whatever_the_choice() -> None:
    wanted = asking_for(tool_call_schema(TOOLS, arguments_key="parameters"))
    task = plan_task(reading(Turn("user", "3+4?")), CHATML, wanted, choice="none")
    assert (schema_of(task), bool(task.tool_names)) == (call("add", "parameters"), True)


def test_an_array_of_calls_is_served_with_one() -> None:
    wanted = asking_for(tool_call_schema(TOOLS, arguments_key="parameters", several=True))
    task = plan_task(reading(Turn("user", "3+4?")), CHATML, wanted)
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
    task = plan_task(reading(Turn("user", question)), CHATML, wanted)
    assert bool(task.tool_names) == is_call
    assert task.constraint.is_satisfied('{"done": true}') != is_call


def test_an_answer_that_is_already_begun_is_no_call() -> None:
    task = plan_task(reading(ASKED, prefill="It is"), CHATML, None)
    assert (bool(task.tool_names), schema_of(task)) == (False, None)


@pytest.mark.parametrize("choice", ["any", "subtract"])
def test_a_choice_without_its_tool_is_refused(choice: str) -> None:
    with pytest.raises(ErrorResponse) as caught:
        plan_task(ParsedPrompt("chat", (ASKED,)), CHATML, None, choice=choice)
    message = f"tool_choice: {choice!r} asks for a tool that is not on offer"
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})


def request(prompt: str, **fields: object) -> InferenceRequest:
    return parse_body(json.dumps({"input": prompt, **fields}).encode(), InferenceRequest)


@pytest.mark.parametrize(
    ("fmt", "opening", "key"), [(LLAMA3, "", "parameters"), (MISTRAL, "[TOOL_CALLS]", "arguments")]
)
def test_a_call_of_the_rules_is_in_the_syntax_of_the_prompt(
    fmt: PromptFormat, opening: str, key: str
) -> None:
    prompt = render([Turn("user", "Weather?")], fmt, tools=TOOLS)
    task = plan_input(request(prompt), CHATML)
    made: object = {"name": "get_weather", key: {"city": "Rome"}}
    if fmt is MISTRAL:
        made = [{"name": "get_weather", key: {"city": "Rome"}, "id": to_mistral_call_id(prompt)}]
    assert bool(task.tool_names)
    assert task.opening == opening
    assert task.constraint.is_satisfied(json.dumps(made))


@pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL])
def test_a_call_of_the_clients_schema_is_bare_json(fmt: PromptFormat) -> None:
    schema = tool_call_schema(TOOLS, arguments_key=fmt.calls.arguments_key)
    wanted = {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}
    prompt = render([Turn("user", "Weather?")], fmt, tools=TOOLS)
    task = plan_input(request(prompt, response_format=wanted), CHATML)
    made = {"name": "get_weather", fmt.calls.arguments_key: {"city": "Rome"}}
    assert (bool(task.tool_names), task.opening) == (True, "")
    assert task.constraint.is_satisfied(json.dumps(made))


def test_another_response_format_is_what_a_native_request_gets() -> None:
    prompt = render([ASKED], LLAMA3, tools=TOOLS)
    task = plan_input(request(prompt, response_format={"type": "json_object"}), CHATML)
    assert bool(task.tool_names) is False
    assert task.constraint.is_satisfied("{}")


def test_every_step_of_a_conversation_gives_its_call_another_id() -> None:
    turns = [ASKED]
    ids = set()
    for name in ("get_weather", "add"):
        prompt = render(turns, MISTRAL, tools=TOOLS)
        schema = schema_of(plan_input(request(prompt), CHATML))
        items = schema["items"].get("anyOf", [schema["items"]])
        [made] = {item["properties"]["id"]["const"] for item in items}
        ids.add(made)
        called = ToolCall(made, name, {})
        turns += [Turn("assistant", "", (called,)), Turn("tool", "1", tool_call_id=called.id)]
    assert len(ids) == 2


@pytest.mark.parametrize("prompt", ["Once upon a time add", "<|im_start|>user\nAdd<|im_end|>\n"])
def test_a_prompt_without_tools_goes_to_the_model_as_it_is(prompt: str) -> None:
    task = plan_input(request(prompt), CHATML)
    assert (task.prompt, task.constraint.fields, bool(task.tool_names)) == (prompt, {}, False)


def test_a_model_that_reads_tools_in_its_prompt_decides_for_itself() -> None:
    prompt = render([Turn("user", "Weather?")], MISTRAL, tools=TOOLS)
    task = plan_input(request(prompt), OF_VOXTRAL)
    assert task == Task(prompt.removeprefix("<s>"), UNCONSTRAINED)
    other = render([Turn("user", "Weather?")], LLAMA3, tools=TOOLS)
    assert plan_input(request(other), OF_VOXTRAL) == task


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
    assert not plan_input(request(prompt), CHATML).tool_names
