"""What counting tokens costs, beside `mistral-common` itself, on which the counts are checked.

    PYTHONPATH=tests python benchmarks/token_counts.py

The first call is that of a fresh process, with what it imports; the median of five. The others
are microseconds for each 1,000 characters, the best of seven rounds, in turns: texts, and a
conversation with tools, as messages to `get_num_tokens_from_messages` (the first time, and again)
and as a request to `encode_chat_completion`.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import mistral_common
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
from mistral_common.protocol.instruct.messages import SystemMessage as MistralSystemMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Function, Tool
from pydantic import SecretStr
from support.mistral_oracle import MistralOracle
from support.template_goldens import WEATHER

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.tokens import vocabulary

ROOT = Path(__file__).parent.parent
ROUNDS = 7
VOCABULARY = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"

OURS = """
from langchain_voxtral import ChatVoxtral
chat = ChatVoxtral(api_key="none")
start, cpu = time.perf_counter(), time.process_time()
assert chat.get_num_tokens("Hello!") == 2
"""
THEIRS = f"""
start, cpu = time.perf_counter(), time.process_time()
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
assert len(Tekkenizer.from_file({str(VOCABULARY)!r}).encode("Hello!", False, False)) == 2
"""


def first_call(script: str) -> str:
    """Return the seconds of a first call, and those of the processor."""
    script = f"import time\n{script}\nprint(time.perf_counter() - start, time.process_time() - cpu)"
    runs = [
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
        )
        for _ in range(5)
    ]
    wall, cpu = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    return f"{median(wall):.2f} s ({median(cpu):.2f} s of the processor)"


def microseconds(*calls: Callable[[], object]) -> list[float]:
    """Return the microseconds of each call."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[index] = min(best[index], (time.perf_counter() - start) * 1e6)
    return best


def check_equal(ours: object, theirs: object) -> None:
    """Fail if the two do not agree."""
    if ours != theirs:
        raise SystemExit(f"The package says {ours}, mistral-common {theirs}.")


def print_row(name: str, characters: int, *figures: float) -> None:
    """Print figures for each 1,000 characters."""
    per_thousand = "".join(f"{1000 * figure / characters:13.1f}" for figure in figures)
    print(f"{name:<28}{per_thousand}")


def main() -> None:
    """Print the tables."""
    print(f"first call: {first_call(OURS)}; mistral-common {first_call(THEIRS)}")
    with TemporaryDirectory() as folder:
        theirs: Any = MistralOracle(Path(folder))._tokenizer  # noqa: SLF001
    chat = ChatVoxtral(api_key=SecretStr("none"))
    print(f"\n{'us per 1,000 characters':<28}{'package':>13}{'mistral-common':>15}")
    texts = {
        "English": (ROOT / "README.md").read_text(),
        "Python": (ROOT / "langchain_voxtral" / "chat_models.py").read_text(),
        "Hindi": "नमस्ते, आप कैसे हैं? मैं ठीक हूँ, धन्यवाद। " * 400,
    }
    encode = theirs.instruct_tokenizer.tokenizer.encode
    for name, text in texts.items():
        check_equal(chat.get_token_ids(text), encode(text, bos=False, eos=False))
        figures = microseconds(
            lambda text=text: chat.get_token_ids(text),  # type: ignore[misc]
            lambda text=text: encode(text, bos=False, eos=False),  # type: ignore[misc]
        )
        print_row(name, len(text), *figures)
    said = texts["English"][:800]
    messages: list[BaseMessage] = [SystemMessage(said)]
    sent: list[Any] = [MistralSystemMessage(content=said)]
    for start in range(0, 16_000, 800):
        said = texts["English"][start : start + 800] + "."
        messages += [HumanMessage(said), AIMessage(said)]
        sent += [UserMessage(content=said), AssistantMessage(content=said)]
    tools: list[Any] = [Tool(function=Function(**WEATHER["function"]))]  # type: ignore[arg-type]

    def count() -> int:
        return chat.get_num_tokens_from_messages(messages[:-1], [WEATHER])

    def count_anew() -> int:
        vocabulary._counts.clear()  # noqa: SLF001
        return count()

    def encode_request() -> int:
        request: Any = ChatCompletionRequest(messages=sent[:-1], tools=tools)
        return len(theirs.encode_chat_completion(request).tokens)

    check_equal(count(), encode_request())
    characters = sum(len(str(message.content)) for message in messages[:-1])
    figures = microseconds(count_anew, count, encode_request)
    print(f"\n{count():,} tokens of {len(messages) - 1} messages")
    print_row("conversation, package", characters, figures[0])
    print_row("the same again, package", characters, figures[1])
    print_row("the same, mistral-common", characters, figures[2])


main()
