"""Tool calls in text: what is a call, what is text, and what is held back."""

import pytest
from support.parsed_calls import Found, parse

from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.call_parser import ToolCallParser

F = '{"name": "f", "parameters": {"a": 1}}'
CALL_F = (None, "f", '{"a": 1}')


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (F, [CALL_F]),
        ('{"name": "f", "arguments": {"a": 1}}', [CALL_F]),
        ('{"type": "function", "name": "f", "parameters": {"a": 1}}', [CALL_F]),
        ('{"name":"f","type":"function","parameters":{"a": 1}}', [CALL_F]),
        ('{"parameters": {"a": 1}, "name": "f"}', [CALL_F]),
        ('{ "name"\n: "\\u0066" , "parameters" :\t{"a": 1} }', [CALL_F]),
        (f"<|python_tag|>{F}", [CALL_F]),
        (f" \n {F} \n", [CALL_F]),
        (f"{F}\n{F}", [CALL_F, CALL_F]),
        (f"{F}; {F};", [CALL_F, CALL_F]),
        (f"{F};;\n{F},\n,", [CALL_F, CALL_F]),
        (f"{F},{F}", [CALL_F, CALL_F]),
        (f"[{F}, {F}]\n", [CALL_F, CALL_F]),
        ('{"name": "f", "parameters": {}, "id": "1"}', [(None, "f", "{}")]),
        ('{"name": "f", "id": "1", "parameters": {}}', [("1", "f", "{}")]),
        (
            '{"name": "f", "parameters": {"a": "}\\"]\\\\", "b": [{}, "{"]} }',
            [(None, "f", '{"a": "}\\"]\\\\", "b": [{}, "{"]}')],
        ),
        # The model omitted the last bracket.
        (f"[{F[:-1]}", [CALL_F]),
        (f"{F[:-1]}\n{F[:-1]}", [CALL_F, CALL_F]),
    ],
)
def test_calls_of_known_tools(answer: str, calls: object) -> None:
    assert parse(answer) == ("", calls)
    assert parse("Let me see.\n" + answer.lstrip()) == ("Let me see.", calls)


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (
            """[TOOL_CALLS][{"name": "x", "arguments": {"a": [1]}, "id": "1"},
            {"arguments": {}, "id": "2", "name": "y"}, {"id": "3", "name": "z", "arguments": {}}
            ]""",
            [(None, "x", '{"a": [1]}'), ("2", "y", "{}"), ("3", "z", "{}")],
        ),
        ('[TOOL_CALLS] {"name": "x", "arguments": {}}', [(None, "x", "{}")]),
        ('[TOOL_CALLS][{"name": "x"}]', [(None, "x", "")]),
        ('[TOOL_CALLS][{"name": "x", "arguments": "{}"}]', [(None, "x", '"{}"')]),
        ('[TOOL_CALLS][{"name": "x", "arguments": null }]', [(None, "x", "null")]),
        ("[TOOL_CALLS]x[ARGS]{}", [(None, "x", "{}")]),
        (
            '[TOOL_CALLS]x[CALL_ID]abcdef123[ARGS]{"a": 1}[TOOL_CALLS]y[ARGS] {}',
            [("abcdef123", "x", '{"a": 1}'), (None, "y", "{}")],
        ),
    ],
)
def test_after_a_special_token_any_name_is_a_call(answer: str, calls: object) -> None:
    assert parse(answer) == ("", calls)
    assert parse("So: " + answer) == ("So: ", calls)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n\n ",
        "Hello!\n\nHow are you?\n",
        '{"name": "Alice", "age": 3}',
        '{"name": "f"}',
        '{"name": "f", "parameters": "none"}',
        '{"name": "f", "parameters": [1]}',
        '{"name": "f", "description": "It adds.", "parameters": {}}',
        '{"name": "f", "name": "f", "parameters": {}}',
        '{"name": "other", "parameters": {}}',
        '{"type": "object", "parameters": {}}',
        '{"parameters": {"a": 1}, "b": 2}',
        '[{"name": "Alice", "parameters": {}}]',
        '{"name": "f',
        f'I would write {F} or "[{F}]".',
        "[1] see below\n[2] there\n[TOOL",
        "[TOOL_CALLS] begins a call, [TOOL_CALLS]name[ARGS] too.",
        "[TOOL_CALLS][]",
        "<|python_tag|>print(1)\n<b>",
        '{"name": "f\n", "parameters": {}}',
        '{"name": "f\\x", "parameters": {}}',
        '{"name": "' + "f" * 2000,
    ],
)
def test_text_without_calls_is_unchanged(answer: str) -> None:
    assert parse(answer) == (answer, [])
    assert parse(*answer) == (answer, [])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (f"a\n\n{F}", "a\n"),  # only the line break of the renderer
        (f"{F}\nand more\n", "\nand more\n"),
        (f"a\n{F}; b", "a; b"),
        (f'{F[:-1]}, "x": 1}}', ', "x": 1}'),
        (f'[{F}, {{"name": "Alice"}}]', ', {"name": "Alice"}]'),
        (f'{{"name":\n  {F}', '{"name":'),
        (f"[TOOL\n{F}", "[TOOL"),
        (f'{F[:-1]}, "id": {F}', f', "id": {F}'),
    ],
)
def test_text_around_a_call(answer: str, text: str) -> None:
    assert parse(answer) == (text, [CALL_F])


@pytest.mark.parametrize(
    ("cut", "found"),
    [
        ('{"name": "f", "parameters": {"a', ("", [(None, "f", '{"a')])),
        ('{"name": "f", "parameters": ', ("", [(None, "f", '{"name": "f", "parameters": ')])),
        ('[{"name": "f", "par', ("", [(None, "f", '[{"name": "f", "par')])),
        (f'{F}\n{{"name": "f"', ("", [CALL_F, (None, "f", '{"name": "f"')])),
        ("[TOOL_CALLS]f", ("", [(None, "", "[TOOL_CALLS]f")])),
        ('[TOOL_CALLS][{"na', ("", [(None, "", '[TOOL_CALLS][{"na')])),
        (
            '[TOOL_CALLS][{"name": "x", "arguments": {}}, {"na',
            ("", [(None, "x", "{}"), (None, "", '{"na')]),
        ),
        (
            '[TOOL_CALLS][{"name": "x", "argu',
            ("", [(None, "x", '[TOOL_CALLS][{"name": "x", "argu')]),
        ),
        ("[TOOL_CALLS]x[ARGS]", ("", [(None, "x", "[TOOL_CALLS]x[ARGS]")])),
    ],
)
def test_cut_calls(cut: str, found: Found) -> None:
    assert parse(cut) == found
    assert parse(*cut) == found


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (F, ("", [CALL_F])),
        (f"[{F}, {F}]", ("", [CALL_F, CALL_F])),
        ('{"name": "other", "parameters": {}}', ("", [(None, "other", "{}")])),
        ('{"name": "f", "par', ("", [(None, "f", '{"name": "f", "par')])),
        ('[{"na', ("", [(None, "", '[{"na')])),
        ("[", ("", [(None, "", "[")])),
        ("[]", ("", [(None, "", "[]")])),
        # Complete JSON must not be taken as the arguments of the tool that it names.
        ('{"name": "f", "city": "Rome"}', ("", [(None, "", '{"name": "f", "city": "Rome"}')])),
        (f'[{F}, {{"name": "g"', ("", [CALL_F, (None, "g", '{"name": "g"')])),
        ("Sorry, I cannot.", ("Sorry, I cannot.", [])),
        (f"Sure!\n{F}", ("Sure!", [CALL_F])),
        ('Sure!\n{"name": "other"}', ('Sure!\n{"name": "other"}', [])),
    ],
)
def test_forced_answers_are_calls_even_when_they_are_broken(answer: str, found: Found) -> None:
    assert parse(answer, forced=True) == found
    assert parse(*answer, forced=True) == found


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " a",
        "a ",
        "{ }",
        "{'",
        '{"b',
        '{"names',
        '{"name": 1',
        '{"name": "A',
        '{"name": "get_p',
        '{"name": "get_time", "x',
        '{"name": "get_time", "parameters": 1',
        '{"type": "o',
        "[1",
        '["',
        "[[{",
        "a [b",
        "a [TO ",
        "a {",
        "a <|",
        "<b",
        "a\n<|e",
        "a\n{b",
        "[TOOL_CALLS]a b",
        "[TOOL_CALLS]a[ARGS]1",
        '[TOOL_CALLS][{"name": "' + "a" * 1025,
    ],
)
def test_what_cannot_become_a_call_is_not_held(text: str) -> None:
    assert ToolCallParser(["get_time"]).feed(text) == [text]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a\n", "\n"),
        ("a\n\n  ", "\n  "),
        ("a [TOO", "[TOO"),
        ("a\n [", "\n ["),
        ('a\n{"name": "get_', '\n{"name": "get_'),
        ('a\n<|python_tag|> {"', '\n<|python_tag|> {"'),
    ],
)
def test_what_may_become_a_call_is_held(text: str, held: str) -> None:
    parser = ToolCallParser(["get_time"])
    assert parser.feed(text) == [text.removesuffix(held)]
    assert parser.close() == [held]


def test_names_and_arguments_are_emitted_as_soon_as_possible() -> None:
    parser = ToolCallParser(["f"])
    assert [
        parser.feed(piece) for piece in ('Hi\n{"name": "f"', ', "parameters": {', '"a"}', "}")
    ] == [
        ["Hi"],
        [ToolCallChunk(0, name="f"), ToolCallChunk(0, arguments="{")],
        [ToolCallChunk(0, arguments='"a"}')],
        [],
    ]


def test_arguments_before_the_name_may_be_long() -> None:
    parser = ToolCallParser(["f"])
    parser.feed('{"parameters": {"a": "')
    for _ in range(20_000):
        parser.feed("word ")
    assert parser.feed('"}, "name": "f"}')[0] == ToolCallChunk(0, name="f")
