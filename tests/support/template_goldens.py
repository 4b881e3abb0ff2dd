"""Conversations in the model's own template, as strings, and how many tokens they have."""

from langchain_voxtral.messages import ToolCall, Turn

WEATHER: dict[str, object] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
T = (
    '[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "get_weather", '
    '"description": "Weather", "parameters": {"type": "object", "properties": '
    '{"city": {"type": "string"}}, "required": ["city"]}}}][/AVAILABLE_TOOLS]'
)
PARIS = ToolCall("abcdef123", "get_weather", {"city": "Paris"})
LYON = ToolCall("abcdef124", "get_weather", {"city": "Lyon"})

GOLDENS: dict[str, tuple[list[Turn], list[dict[str, object]], str, int]] = {
    "user": ([Turn("user", "Hello!")], [], "<s>[INST]Hello![/INST]", 5),
    "system": (
        [Turn("system", "Be brief."), Turn("user", "Hello!")],
        [],
        "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hello![/INST]",
        10,
    ),
    "multi-turn": (
        [Turn("user", "Q1"), Turn("assistant", "A1"), Turn("user", "Q2")],
        [],
        "<s>[INST]Q1[/INST]A1</s>[INST]Q2[/INST]",
        12,
    ),
    "merged": ([Turn("user", "Q1\n\nQ2")], [], "<s>[INST]Q1\n\nQ2[/INST]", 8),
    "unicode": (
        [Turn("user", "Ça va? नमस्ते 😀\n```py\nx=1\n```")],
        [],
        "<s>[INST]Ça va? नमस्ते 😀\n```py\nx=1\n```[/INST]",
        23,
    ),
    "tools": (
        [Turn("user", "Weather in Paris?")],
        [WEATHER],
        f"<s>{T}[INST]Weather in Paris?[/INST]",
        63,
    ),
    "system and tools": (
        [Turn("system", "You are terse."), Turn("user", "Weather in Paris?")],
        [WEATHER],
        f"<s>[SYSTEM_PROMPT]You are terse.[/SYSTEM_PROMPT]{T}[INST]Weather in Paris?[/INST]",
        69,
    ),
    "call and result": (
        [
            Turn("user", "Weather in Paris?"),
            Turn("assistant", "", (PARIS,)),
            Turn("tool", '{"temp": 22}', tool_call_id="abcdef123"),
        ],
        [WEATHER],
        (
            f"<s>{T}[INST]Weather in Paris?[/INST]"
            '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, '
            '"id": "abcdef123"}]'
            '</s>[TOOL_RESULTS]abcdef123[TOOL_CONTENT]{"temp": 22}[/TOOL_RESULTS]'
        ),
        109,
    ),
    "two calls, then user": (
        [
            Turn("user", "q"),
            Turn("assistant", "", (PARIS, LYON)),
            Turn("tool", "22", tool_call_id="abcdef123"),
            Turn("tool", "23", tool_call_id="abcdef124"),
            Turn("assistant", "22 and 23."),
            Turn("user", "thanks"),
        ],
        [WEATHER],
        (
            "<s>[INST]q[/INST]"
            '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, '
            '"id": "abcdef123"}, '
            '{"name": "get_weather", "arguments": {"city": "Lyon"}, "id": "abcdef124"}]</s>'
            "[TOOL_RESULTS]abcdef123[TOOL_CONTENT]22[/TOOL_RESULTS]"
            "[TOOL_RESULTS]abcdef124[TOOL_CONTENT]23[/TOOL_RESULTS]"
            f"22 and 23.</s>{T}[INST]thanks[/INST]"
        ),
        150,
    ),
}
