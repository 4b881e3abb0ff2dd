"""How well the embedded engine answers plain questions, and what shows of its own prompt.

    python benchmarks/answers.py [--seeds 3] [--quiet]

Facts, open tasks, conversations of two turns, results of tools and recordings, without a system
message: greedy, and at the package's default temperature with fixed seeds. A leak is a word of the
examples that the engine puts before a conversation, or once put there. Counted apart are claims of
earlier turns that there were not. All answers are printed, to be read: no rule finds all that is
wrong.
"""

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from langchain_voxtral.local.api.requests import InferenceRequest
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.models import TextModel
from langchain_voxtral.local.prompting.chat_template import RECORDING_SAYS
from langchain_voxtral.local.prompting.tool_calling import plan_native
from langchain_voxtral.messages import Role, ToolCall, Turn
from langchain_voxtral.prompts import FORMATS, render
from langchain_voxtral.settings import SamplingSettings

MAX_TOKENS = 200
_MIN_REPEATED_CHARACTERS, _MAX_REPEATS = 11, 2

FACTS: list[tuple[str, str]] = [
    ("What is the capital of France?", "paris"),
    ("What is the capital of Japan?", "tokyo"),
    ("Which planet is known as the red planet?", "mars"),
    ("What is the largest ocean on Earth?", "pacific"),
    ("What is the opposite of hot?", "cold"),
    ("How many days are there in a week?", "7|seven"),
    ("How many months are in a year?", "12|twelve"),
    ("How many legs does a spider have?", "8|eight"),
    ("Who wrote Romeo and Juliet?", "shakespeare"),
    ("Who was the first president of the United States?", "washington"),
    ("What language is spoken in Brazil?", "portuguese"),
    ("What is the chemical formula of water?", "h2o|h₂o"),
    ("What is 3+4?", r"\b(7|seven)\b"),
    ("What is 12 minus 5?", r"\b(7|seven)\b"),
    ("What colour is the sky on a clear day?", "blue"),
    ("What do bees make?", "honey"),
    ("What is the plural of mouse?", "mice"),
    ("At what temperature in Celsius does water boil?", "100"),
    ("Name three colours.", "red|blue|green|yellow"),
    ("What is a baby dog called?", r"\b(is|called) an? (puppy|pup)\b"),
]
"""Questions, and a pattern of the right answer."""

ABOUT_EARLIER_TURNS = [
    "What did I ask before?",
    "Repeat my last question.",
    "Summarise our conversation.",
    "What was your last answer?",
]
OPEN: list[str] = [
    "Hello!",
    "How are you today?",
    "What can you do?",
    "Who are you?",
    "Thank you!",
    "Write a short poem about the sea.",
    "Tell me a joke.",
    "Tell me a short story about a dragon.",
    *ABOUT_EARLIER_TURNS,
    "Give me an example of a JSON object.",
    "Write a Python function that adds two numbers.",
    "Give me some advice for a job interview.",
    "Write an email to my boss: I am ill today.",
    "Make a shopping list.",
    "Explain what a computer is to a child.",
    "Ask me a question.",
    "I feel sad.",
]

TWO_TURNS: list[tuple[str, str, str, str]] = [
    ("My dog is called Rex.", "Rex is a nice name.", "What is my dog's name?", "rex"),
    ("I live in Oslo.", "Oslo is a beautiful city.", "Where do I live?", "oslo"),
    ("I am 30 years old.", "Thank you for telling me.", "How old am I?", "30|thirty"),
    (
        "What is the capital of France?",
        "The capital of France is Paris.",
        "What did I ask before?",
        "france",
    ),
    (
        "What is the capital of Italy?",
        "The capital of Italy is Rome.",
        "Which country is it in?",
        "italy",
    ),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet.", "What else did he write?", "juliet"),
    ("Name three colours.", "Red, green and blue.", "Which one did you name first?", r"\bred\b"),
    ("I have two cats and a horse.", "How lovely!", "Which animals do I have?", "cats.*horse"),
    (
        "How do you say cat in Spanish?",
        "Cat in Spanish is gato.",
        "And how do you say dog?",
        "perro",
    ),
    ("My favourite colour is green.", "Green is calming.", "What is my favourite colour?", "green"),
]
"""A question, its answer, a question about them, and a pattern of the right answer."""

RESULTS: list[tuple[str, dict[str, str], str]] = [
    ("What is the weather in Paris?", {"get_weather": "22 degrees and sunny"}, "22|sunny"),
    ("What is 17 times 23?", {"multiply": "391"}, "391"),
    ("When does the next train to Lyon leave?", {"timetable": "14:05"}, "14:05"),
    ("Who won the match?", {"match_result": "Lyon 2, Nice 1"}, "lyon"),
    ("How much is a Tesla stock?", {"stock_price": "251.3 dollars"}, r"251\.3"),
    ("What is the weather and the time in Lima?", {"weather": "rain", "time": "19:30"}, "19:30"),
    ("Find my appointment with Dr. Weber.", {"calendar": "Tuesday at 10 am"}, "tuesday"),
    ("How many emails did I get today?", {"inbox": '{"unread": 12}'}, "12|twelve"),
    ("How do you say good morning in French?", {"translate": "bonjour"}, "bonjour"),
    ("Is the library open?", {"opening_hours": "no entry found"}, ""),
]
"""A question, results of tools by the tool's name, and a pattern of the right answer."""

_KENNEDY = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for "
    "your country."
)
_SISTER = "Good morning. My sister lives in a small house near the sea."
_PROMPT = "To listen to the next message, press 6. To repeat this message, press 5."
_FRENCH = (
    "Le numéro que vous avez entré n'est pas en service.\" "
    'It means: "The number you have entered is not in service.'
)
_ITALIAN = (
    'Domani mattina andiamo al mercato a comprare il pane e la frutta fresca." '
    'It means: "Tomorrow morning we go to the market to buy bread and fresh fruit.'
)
RECORDINGS: list[tuple[str, str, str]] = [
    (_KENNEDY, "What is said in this recording?", "ask what you can do for your country"),
    (_KENNEDY, "Which people are addressed?", "americans"),
    (_SISTER, "Where does the sister live?", "near the sea"),
    (_SISTER, "Write down what is said.", _SISTER),
    (_SISTER, "What is this about?", "sister"),
    (_PROMPT, "Which key repeats the message?", "5"),
    (_PROMPT, "What is said here?", "press 6.*press 5"),
    (_FRENCH, "What is said, in English?", "the number you have entered is not in service"),
    (_FRENCH, "Is the number in service?", r"\bnot?\b"),
    (_ITALIAN, "What do they want to buy?", "bread.*fruit"),
]
"""What a recording says, a question about it, and a pattern of the right answer."""

LEAKED_WORDS = re.compile(
    r"\b(fruits?|apples?|bananas?)\b|\b(2|two) ?(\+|plus) ?(2|two)\b"
    r"|\b(Anna?|41|shop|bread|sandwich|closed|2 dollars|bus|at nine|red car|Berlin)\b",
    re.IGNORECASE,
)
INVENTED_PAST = re.compile(
    r"\b(you|we)('ve| have|'d| had)? (just |already |previously |recently |also )?"
    r"(asked|said|mentioned|told|discussed|talked|gave|provided|shared|started|been|had)\b"
    r"|\b(last|previous|first|earlier) (question|message|answer|conversation)\b[^.?!]* (was|is)\b",
    re.IGNORECASE,
)
"""Claims of earlier turns, of which a first message has none."""


@dataclass(frozen=True)
class Answer:
    """An answer of the model to a conversation."""

    turns: Sequence[Turn]
    text: str
    tokens: int
    is_cut: bool

    @property
    def leaks(self) -> list[str]:
        """The words of examples that are not in the conversation."""
        said = " ".join(turn.text for turn in self.turns).casefold()
        words = [found[0] for found in LEAKED_WORDS.finditer(self.text)]
        return [word for word in words if word.casefold() not in said]

    @property
    def claims(self) -> list[str]:
        """What an answer to a first message says about earlier ones."""
        claims = [found[0] for found in INVENTED_PAST.finditer(self.text)]
        return claims if len(self.turns) == 1 else []

    @property
    def repeats(self) -> bool:
        """Whether a sentence or line of some length occurs three times."""
        parts = [part.strip().casefold() for part in re.split(r"[\n.!?]+", self.text)]
        seen = Counter(part for part in parts if len(part) >= _MIN_REPEATED_CHARACTERS)
        return any(number > _MAX_REPEATS for number in seen.values())

    def matches(self, pattern: str) -> bool:
        """Whether it is right."""
        return bool(re.search(pattern, self.text, re.IGNORECASE | re.DOTALL))


def ask(model: TextModel, turns: Sequence[Turn], temperature: float, seed: int) -> Answer:
    """Return the answer to a conversation, sent as the chat model sends it."""
    settings = {"max_new_tokens": MAX_TOKENS, "temperature": temperature, "seed": seed}
    prompt = render(turns, FORMATS["llama3"])
    request = InferenceRequest.model_validate({"input": prompt, **settings})
    task = plan_native(request, model.template)
    [fields] = request.engine_requests(task.prompt, model, task.constraint)
    texts: list[str] = []

    def keep(token: Token) -> None:
        texts.append(token.text)

    end = model.engine.generate(fields, keep)
    return Answer(turns, "".join(texts).strip(), end.output_tokens, end.reason == "length")


def conversations() -> dict[str, list[tuple[list[Turn], str]]]:
    """Return the conversations of each kind, each with a pattern of right answers ("" for any)."""
    roles: tuple[Role, ...] = ("user", "assistant", "user")
    return {
        "facts": [([Turn("user", text)], pattern) for text, pattern in FACTS],
        "open tasks": [([Turn("user", text)], "") for text in OPEN],
        "two turns": [
            ([Turn(role, text) for role, text in zip(roles, texts, strict=True)], pattern)
            for *texts, pattern in TWO_TURNS
        ],
        "results": [(_called(text, results), pattern) for text, results, pattern in RESULTS],
        "recordings": [
            ([Turn("user", f'{RECORDING_SAYS} "{said}"\n{text}')], pattern)
            for said, text, pattern in RECORDINGS
        ],
        "later turns": [
            ([*earlier, Turn("user", text)], "")
            for earlier in (
                [*_called(*RESULTS[0][:2]), Turn("assistant", "It is sunny.")],
                [
                    Turn("user", f'{RECORDING_SAYS} "{_SISTER}"\nWhat is said?'),
                    Turn("assistant", f'{RECORDING_SAYS} "{_SISTER}"'),
                ],
            )
            for text in ABOUT_EARLIER_TURNS
        ],
    }


def _called(text: str, results: Mapping[str, str]) -> list[Turn]:
    calls = tuple(ToolCall(f"call{name:.5}", name, {}) for name in results)
    answers = [Turn("tool", results[call.name], tool_call_id=call.id) for call in calls]
    return [Turn("user", text), Turn("assistant", "", calls), *answers]


def measure(answers: Sequence[tuple[Answer, str]]) -> str:
    """Return the columns of the table for answers, each with the pattern of right ones."""
    number = len(answers)
    shares = [
        sum(answer.matches(pattern) for answer, pattern in answers),
        sum(bool(answer.leaks) for answer, _ in answers),
        sum(bool(answer.claims) for answer, _ in answers),
        sum(answer.is_cut for answer, _ in answers),
        sum(answer.repeats for answer, _ in answers),
    ]
    tokens = sum(answer.tokens for answer, _ in answers) / number
    return " | ".join([*(f"{share}/{number}" for share in shares), f"{tokens:.0f}"])


def main() -> None:
    """Print the answers and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quiet", action="store_true", help="print the table only")
    options = parser.parse_args()
    model = TextModel()
    default = float(SamplingSettings().temperature or 0)
    rows = [f"kind | temperature | right | leaks | claims | {MAX_TOKENS} tokens | repeats | tokens"]
    for kind, asked in conversations().items():
        for temperature, seeds in ((0.0, 1), (default, options.seeds)):
            answers = []
            for (turns, pattern), seed in product(asked, range(seeds)):
                answer = ask(model, turns, temperature, seed)
                answers.append((answer, pattern))
                if not options.quiet:
                    wrong = "" if answer.matches(pattern) else "WRONG "
                    found = [*answer.leaks, *answer.claims] or ""
                    print(f"[{kind} {temperature}/{seed}] {turns[-1].text}")
                    print(f"    {wrong}{found}{answer.text!r}")
            if answers:
                rows.append(f"{kind} | {temperature} | {measure(answers)}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
