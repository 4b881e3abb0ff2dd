"""How well the embedded engine calls tools: greedy, over its own planner, no server.

    python benchmarks/tool_calls.py

For each set of tools: how many of the questions are called for the right tool, by the rule alone
(a tool may be called) and when one must be called, and with how many right arguments; and how
often the rule leaves small talk without a call.
"""

import json
from typing import Any

from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.models import TextModel
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tool_calling import plan_chat
from langchain_voxtral.local.prompting.tool_selection import select_tools
from langchain_voxtral.messages import Turn

TEXT: dict[str, object] = {"type": "string"}
INTEGER: dict[str, object] = {"type": "integer"}
LANGUAGE: dict[str, object] = {"type": "string", "enum": ["French", "German", "Spanish"]}


def tool(name: str, description: str, **properties: dict[str, object]) -> dict[str, Any]:
    """Return a tool in OpenAI's form, all of its arguments required."""
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [
    tool("get_weather", "Get the current weather in a city.", city=TEXT),
    tool("add_numbers", "Add two integers.", a=INTEGER, b=INTEGER),
    tool("send_email", "Send an email to a person.", to=TEXT, subject=TEXT),
    tool("set_timer", "Set a timer for some minutes.", minutes=INTEGER),
    tool("translate", "Translate a text into a language.", text=TEXT, language=LANGUAGE),
    tool("stock_price", "Look up the price of a company's stock.", company=TEXT),
    tool("play_music", "Play songs of an artist.", artist=TEXT),
]

QUESTIONS: list[tuple[str, str, dict[str, object]]] = [
    ("What is the weather in Paris?", "get_weather", {"city": "Paris"}),
    ("Is it raining in Tokyo? Check the weather.", "get_weather", {"city": "Tokyo"}),
    ("Tell me the weather in New York today.", "get_weather", {"city": "New York"}),
    ("How hot is it in Berlin?", "get_weather", {"city": "Berlin"}),
    ("What is 3+4?", "add_numbers", {"a": 3, "b": 4}),
    ("Add 17 and 25.", "add_numbers", {"a": 17, "b": 25}),
    ("What is the sum of 120 and 7?", "add_numbers", {"a": 120, "b": 7}),
    ("Please add 1 and 1 for me.", "add_numbers", {"a": 1, "b": 1}),
    ("Email Bob about lunch.", "send_email", {"to": "Bob", "subject": "lunch"}),
    (
        "Send an email to Anna, subject holidays.",
        "send_email",
        {"to": "Anna", "subject": "holidays"},
    ),
    ("Write an email to Tom about the invoice.", "send_email", {"to": "Tom", "subject": "invoice"}),
    (
        "Send Maria an email with the subject Budget.",
        "send_email",
        {"to": "Maria", "subject": "Budget"},
    ),
    ("Set a timer for 5 minutes.", "set_timer", {"minutes": 5}),
    ("I need a timer of 12 minutes for the eggs.", "set_timer", {"minutes": 12}),
    (
        "Translate 'good morning' into French.",
        "translate",
        {"text": "good morning", "language": "French"},
    ),
    (
        "How do you say 'thank you' in German? Translate it.",
        "translate",
        {"text": "thank you", "language": "German"},
    ),
    ("What is the stock price of Apple?", "stock_price", {"company": "Apple"}),
    ("How much is a Tesla stock?", "stock_price", {"company": "Tesla"}),
    ("Play some music by Mozart.", "play_music", {"artist": "Mozart"}),
    ("Put on songs of the artist Adele.", "play_music", {"artist": "Adele"}),
]

SMALL_TALK = [
    "Hello!",
    "How are you?",
    "Tell me a joke about cats.",
    "Who wrote Hamlet?",
    "Thank you very much!",
    "What is your name?",
    "Give me an example of a short poem.",
    "Why is the sky blue?",
    "Can you help me with my homework?",
    "Good night.",
]


def call(model: TextModel, question: str, tools: list[dict[str, Any]], choice: str) -> Any:
    """Return the call that the engine makes, or None."""
    reading = ParsedPrompt("llama3", (Turn("user", question),), "", tuple(tools))
    task = plan_chat(reading, model.template, None, tool_choice=choice)
    if not task.tool_names:
        return None
    texts: list[str] = []

    def keep(token: Token) -> None:
        texts.append(token.text)

    fields = {"prompt": task.prompt, "max_tokens": 200, "temperature": 0, **task.constraint.fields}
    model.engine.generate(fields, keep)
    return json.loads("".join(texts))


def same(given: object, wanted: object) -> bool:
    """Return whether an argument is right, whatever its case."""
    return str(given).strip(".'\"").casefold() == str(wanted).casefold()


def main() -> None:
    """Print the table."""
    model = TextModel()
    for tools in (TOOLS[:3], TOOLS):
        names = [tool["function"]["name"] for tool in tools]
        questions = [question for question in QUESTIONS if question[1] in names]
        for choice in ("auto", "any"):
            named = whole = 0
            for text, name, arguments in questions:
                made = call(model, text, tools, choice)
                is_named = made is not None and made["name"] == name
                is_whole = is_named and all(
                    same(made["arguments"].get(key), value) for key, value in arguments.items()
                )
                named += is_named
                whole += is_whole
                if not is_whole:
                    print(f"    {text} -> {json.dumps(made, ensure_ascii=False)}")
            print(f"{len(tools)} tools, {choice}: of {len(questions)} calls", end=" ")
            print(f"{named} are of the right tool, {whole} right as a whole")
        silent = sum(not select_tools(tools, [Turn("user", text)]) for text in SMALL_TALK)
        print(
            f"{len(tools)} tools, auto: {silent} of {len(SMALL_TALK)} times small talk is no call"
        )


if __name__ == "__main__":
    main()
