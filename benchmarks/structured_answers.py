"""How well the embedded engine fills schemas, and what its examples of calls leak into them.

    python benchmarks/structured_answers.py [--seeds 2] [--quiet]

Each question is asked by both methods of `with_structured_output`, greedy and at the package's
default temperature with fixed seeds. Counted are the fields that are right (a field that the
question says nothing about is right if it is left out or null), the answers with a value of an
example that is not in the question, and the values that are in neither.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_voxtral.local.api.requests import InferenceRequest
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.models import TextModel
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.local.prompting.tool_calling import plan_chat
from langchain_voxtral.local.response_formats import JsonSchema
from langchain_voxtral.messages import Turn
from langchain_voxtral.settings import SamplingSettings

TEXT: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
MAYBE_TEXT: dict[str, Any] = {"anyOf": [TEXT, {"type": "null"}], "default": None}
MAYBE_INTEGER: dict[str, Any] = {"anyOf": [INTEGER, {"type": "null"}], "default": None}
EMPTY = {"", "0", "0.0", "nobody@example.com", "0001-01-01"}
"""Values that say nothing: what remains if a schema demands a value and the question has none."""
ANY: Any = object()
"""An expected value that may be anything, but no example's."""
WRITTEN: Any = object()
"""An expected text that the model writes itself."""


def schema(name: str, description: str, /, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return a function in OpenAI's form; properties with a default are optional."""
    required = [key for key, part in properties.items() if "default" not in part]
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "parameters": parameters}


PERSON = schema("Person", "A person.", name=TEXT, age=INTEGER)
PERSON_WITH_MAIL = schema("Person", "A person.", name=TEXT, age=MAYBE_INTEGER, email=MAYBE_TEXT)
CONTACT = schema(
    "Contact",
    "How somebody can be reached.",
    name=TEXT,
    email={"type": "string", "format": "email"},
    phone=MAYBE_TEXT,
)
MOVIE = schema("Movie", "A movie.", title=TEXT, year=INTEGER, director=MAYBE_TEXT)
EVENT = schema(
    "Event", "An event.", title=TEXT, date={"type": "string", "format": "date"}, place=MAYBE_TEXT
)
INVOICE = schema(
    "Invoice", "An invoice.", number=TEXT, total=NUMBER, currency={"enum": ["dollars", "euros"]}
)
SENTIMENT = schema("Sentiment", "How a text feels.", label={"enum": ["positive", "negative"]})
RECIPE = schema("Recipe", "A recipe.", name=TEXT, ingredients={"type": "array", "items": TEXT})
ADDRESS = {"type": "object", "properties": {"street": TEXT, "city": TEXT}}
RESIDENT = schema("Resident", "", name=TEXT, address={**ADDRESS, "required": ["street", "city"]})
ORDER = schema("Order", "An order.", item=TEXT, quantity=INTEGER, note=MAYBE_TEXT)
FLIGHT = schema("Flight", "A flight.", origin=TEXT, destination=TEXT, airline=MAYBE_TEXT)
SEARCH = schema(
    "Search",
    "What a customer looks for.",
    product=TEXT,
    colour=MAYBE_TEXT,
    size=MAYBE_TEXT,
    max_price=MAYBE_INTEGER,
)
CAPITAL = schema("Country", "A country.", country=TEXT, capital=TEXT, population=MAYBE_INTEGER)
JOKE = schema("Joke", "Joke to tell user.", setup=TEXT, punchline=TEXT, rating=MAYBE_INTEGER)
BOOK = schema("Book", "A book.", title=TEXT, author=TEXT, pages=MAYBE_INTEGER)
JUSTIFIED = schema(
    "AnswerWithJustification",
    "An answer to the user question along with justification for the answer.",
    answer=TEXT,
    justification=TEXT,
)
PEOPLE = schema(
    "People",
    "All people of a text.",
    people={"type": "array", "items": PERSON["parameters"]},
)
TICKET = schema(
    "Ticket",
    "A request for help.",
    product=TEXT,
    urgent={"type": "boolean"},
    order_number=MAYBE_TEXT,
)

POEM = schema("Poem", "A poem.", title=TEXT, lines={"type": "array", "items": TEXT})
MAIL = schema("Mail", "A mail to write.", to=TEXT, subject=TEXT, body=TEXT)

CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (PERSON, "Anna is 31 years old.", {"name": "Anna", "age": 31}),
    (PERSON_WITH_MAIL, "Bob is 45.", {"name": "Bob", "age": 45, "email": None}),
    (PERSON_WITH_MAIL, "My name is Eva.", {"name": "Eva", "age": None, "email": None}),
    (PERSON, "Hello!", {"name": ANY, "age": ANY}),
    (
        CONTACT,
        "Write to Maria at maria@web.org.",
        {"name": "Maria", "email": "maria@web.org", "phone": None},
    ),
    (CONTACT, "What a lovely day!", {"name": ANY, "email": ANY, "phone": None}),
    (
        MOVIE,
        "The film Alien came out in 1979.",
        {"title": "Alien", "year": 1979, "director": None},
    ),
    (
        EVENT,
        "The opera concert is on 2024-05-17.",
        {"title": "opera concert", "date": "2024-05-17", "place": None},
    ),
    (
        INVOICE,
        "Invoice A77 is about 120.5 euros.",
        {"number": "A77", "total": 120.5, "currency": "euros"},
    ),
    (SENTIMENT, "I love this phone!", {"label": "positive"}),
    (
        RECIPE,
        "Pancakes need flour, milk and eggs.",
        {"name": "Pancakes", "ingredients": ["flour", "milk", "eggs"]},
    ),
    (
        RESIDENT,
        "Tom lives in Baker Street in London.",
        {"name": "Tom", "address": {"street": "Baker Street", "city": "London"}},
    ),
    (ORDER, "I would like 3 pizzas.", {"item": "pizzas", "quantity": 3, "note": None}),
    (
        FLIGHT,
        "Book a flight from Madrid to Lima.",
        {"origin": "Madrid", "destination": "Lima", "airline": None},
    ),
    (
        SEARCH,
        "Show me red shoes.",
        {"product": "shoes", "colour": "red", "size": None, "max_price": None},
    ),
    (
        CAPITAL,
        "What is the capital of France?",
        {"country": "France", "capital": "Paris", "population": None},
    ),
    (JOKE, "Tell me a joke about cats.", {"setup": WRITTEN, "punchline": WRITTEN, "rating": ANY}),
    (
        BOOK,
        "Moby Dick was written by Herman Melville.",
        {"title": "Moby Dick", "author": "Herman Melville", "pages": None},
    ),
    (
        JUSTIFIED,
        "What weighs more, a pound of bricks or a pound of feathers?",
        {"answer": WRITTEN, "justification": WRITTEN},
    ),
    (POEM, "Write a poem about the sea.", {"title": WRITTEN, "lines": WRITTEN}),
    (
        MAIL,
        "Write to Tom that the meeting is on Monday.",
        {"to": "Tom", "subject": WRITTEN, "body": WRITTEN},
    ),
    (
        PEOPLE,
        "Anna is 31 and Ben is 28.",
        {"people": [{"name": "Anna", "age": 31}, {"name": "Ben", "age": 28}]},
    ),
    (
        TICKET,
        "My printer is broken!",
        {"product": "printer", "urgent": ANY, "order_number": None},
    ),
    (
        CONTACT,
        "Hans Müller hat die Adresse mueller@post.de.",
        {"name": "Hans Müller", "email": "mueller@post.de", "phone": None},
    ),
]
"""A schema, a text or question, and what the answer has to be."""


def ask(
    model: TextModel, function: Mapping[str, Any], question: str, *, is_call: bool, **fields: float
) -> tuple[Any, str]:
    """Return an object of a schema, and the prompt that it answers."""
    tool: dict[str, object] = {"type": "function", "function": dict(function)}
    turns = (Turn("user", question),)
    if is_call:
        prompt = ParsedPrompt("llama3", turns, "", (tool,))
        task = plan_chat(prompt, model.template, None, tool_choice=function["name"])
    else:
        asked = {"name": function["name"], "schema": function["parameters"]}
        form = JsonSchema.model_validate({"type": "json_schema", "json_schema": asked})
        task = plan_chat(ParsedPrompt("llama3", turns), model.template, form)
    request = InferenceRequest.model_validate({"input": "-", "max_new_tokens": 300, **fields})
    [engine_fields] = request.engine_requests(task.prompt, model, task.constraint)
    texts: list[str] = []

    def keep(token: Token) -> None:
        texts.append(token.text)

    model.engine.generate(engine_fields, keep)
    try:
        answer = json.loads("".join(texts))
    except ValueError:
        return None, task.prompt
    return answer["arguments"] if is_call else answer, task.prompt


def leaves(value: Any) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value."""
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(part)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def example_values(prompt: str) -> set[str]:
    """Return the values of the examples of calls in a prompt."""
    answers = re.findall(r"<\|im_start\|>assistant\n(\{.*\})<\|im_end\|>", prompt)
    values = {leaf.casefold() for answer in answers for leaf in leaves(json.loads(answer))}
    return values - EMPTY


def choices(schema: Any) -> set[str]:
    """Return the values that a schema lists."""
    if not isinstance(schema, Mapping):
        return set()
    own = {str(value).casefold() for value in schema.get("enum", ())}
    parts = schema["properties"].values() if "properties" in schema else ()
    return own.union(*map(choices, parts))


def judge(function: Mapping[str, Any], question: str, wanted: Any, answer: Any, prompt: str) -> Any:
    """Return counts of an answer's fields: right ones, leaked values, invented values."""
    asked = question.casefold()
    known = choices(function["parameters"])
    new = [leaf for leaf in map(str.casefold, leaves(answer)) if leaf and leaf not in asked]
    new = [leaf for leaf in new if leaf not in known]
    examples = example_values(prompt)
    leaked = [
        leaf
        for leaf in new
        if any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", leaf) for value in examples)
    ]
    fields = [(key, value) for key, value in wanted.items() if value is not ANY]
    given = answer if isinstance(answer, Mapping) else {}
    right = sum(
        bool(given.get(key)) if value is WRITTEN else same(given.get(key), value)
        for key, value in fields
    )
    has_free = any(value in (ANY, WRITTEN) for value in wanted.values())
    invented = [] if has_free else [leaf for leaf in new if leaf not in leaked]
    return right, len(fields), leaked, invented


def same(given: Any, wanted: Any) -> bool:
    """Return whether a value is right, whatever its case."""
    return json.dumps(given).casefold() == json.dumps(wanted).casefold()


def main() -> None:
    """Print the answers and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quiet", action="store_true", help="print the table only")
    options = parser.parse_args()
    model = TextModel()
    warm = float(SamplingSettings().temperature or 0)
    runs = [(0.0, [0]), (warm, [*range(options.seeds)])]
    rows: list[str] = []
    for is_call, method in ((True, "function_calling"), (False, "json_schema")):
        for temperature, seeds in runs:
            counts: Counter[str] = Counter()
            for function, question, wanted in CASES:
                for seed in seeds:
                    answer, prompt = ask(
                        model,
                        function,
                        question,
                        is_call=is_call,
                        temperature=temperature,
                        seed=seed,
                    )
                    right, fields, leaked, invented = judge(
                        function, question, wanted, answer, prompt
                    )
                    counts += Counter(
                        answers=1,
                        invalid=answer is None,
                        right=right,
                        fields=fields,
                        leaks=bool(leaked),
                        invented=bool(invented),
                    )
                    if not options.quiet:
                        marks = f"LEAK {leaked} " if leaked else ""
                        marks += f"({right}/{fields})"
                        print(f"{question} {temperature}/{seed} {marks} -> {json.dumps(answer)}")
            total = counts["answers"]
            rows.append(
                f"{method:<16} | {temperature} | {counts['right']}/{counts['fields']} | "
                f"{counts['leaks']}/{total} | {counts['invented']}/{total} | "
                f"{counts['invalid']}/{total}"
            )
    print("method | temperature | right fields | leaks | inventions | no JSON")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
