"""The command `langchain-voxtral chat`: one question, or a conversation."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from langchain_voxtral.cli.arguments import UsageError, number, some_text
from langchain_voxtral.cli.console import print_error, status_reporter
from langchain_voxtral.cli.conversation import questions
from langchain_voxtral.cli.engine import announce_engine, check_text_support, preload_engine
from langchain_voxtral.cli.server_options import add_server_options, server_settings
from langchain_voxtral.cli.stdin import is_piped, read_piped
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers import LOCAL_BASE_URL

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk, BaseMessage

    from langchain_voxtral.chat_models import ChatVoxtral

MAX_TOKENS = 1024
"""Some 700 words: small models may not stop before their context is full."""
_MAX_STOPS = 16


def add_chat(chat: argparse.ArgumentParser) -> None:
    """Add the command's description, options and function."""
    chat.description = (
        "Ask the model. What is piped in is added below PROMPT; without PROMPT it is the question. "
        "With neither a conversation begins."
    )
    chat.epilog = (
        "If stdin is a pipe that brings nothing for 30 seconds, as supervisors leave one open, "
        "PROMPT is asked alone, with a warning; in a terminal it is waited for. `< /dev/null` "
        "says that there is nothing."
    )
    add = chat.add_argument
    add("prompt", nargs="*", metavar="PROMPT", help="what to ask")
    add("--system", type=some_text, metavar="TEXT", help="instructions for the model")
    add(
        "--stop",
        action="append",
        type=_stop,
        metavar="TEXT",
        help="end the answer before this text (repeatable)",
    )
    add("--model", type=some_text, metavar="NAME", help="the model's name at the server")
    add_server_options(chat)
    add(
        "--temperature",
        type=number(0, 100),
        metavar="X",
        help="randomness, 0 is greedy (default: 0.2)",
    )
    add(
        "--max-tokens",
        type=number(1, 1_000_000, int),
        default=MAX_TOKENS,
        metavar="N",
        help="most tokens of an answer (default: %(default)s)",
    )
    add(
        "--seed",
        type=number(-(2**63), 2**64 - 1, int),
        metavar="N",
        help="for repeatable answers, as far as the server can",
    )
    add("--json", action="store_true", help="print one JSON line: text, usage, cost, timing")
    add("--quiet", action="store_true", help="nothing but errors and warnings on stderr")
    chat.set_defaults(run=_run)


def _stop(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an empty text would end every answer at once")
    return text


def _run(arguments: argparse.Namespace) -> int:
    if arguments.stop and len(arguments.stop) > _MAX_STOPS:
        raise UsageError(f"--stop can be given {_MAX_STOPS} times at most")
    settings = server_settings(arguments)
    question = _question(arguments)
    with _make_model(arguments, settings) as chat:
        if question is None:
            _converse(chat, arguments)
        else:
            _ask_once(chat, arguments, question)
    return 0


def _question(arguments: argparse.Namespace) -> str | None:
    """Return what is asked; None begins a conversation.

    Raises:
        UsageError: It is empty.
    """
    given = bool(arguments.prompt)
    if not given and not is_piped():
        return None
    prompt = " ".join(arguments.prompt).strip()
    if given and not prompt:
        raise UsageError("PROMPT is empty")
    piped = read_piped(status_reporter(arguments), is_optional=given) if is_piped() else ""
    question = "\n\n".join(filter(None, (prompt, piped)))
    if not question:
        raise UsageError("there is nothing to ask: give a PROMPT or pipe one in")
    return question


def _make_model(arguments: argparse.Namespace, settings: dict[str, Any]) -> "ChatVoxtral":
    names = ("stop", "model", "temperature", "max_tokens", "seed")
    options = {name: getattr(arguments, name) for name in names}
    settings |= {name: value for name, value in options.items() if value is not None}
    is_local = settings["base_url"] == LOCAL_BASE_URL
    if is_local:
        check_text_support(arguments)
        preload_engine()
        announce_engine(arguments, text=True, speech=False)
    from langchain_voxtral.chat_models import ChatVoxtral  # noqa: PLC0415 - takes a second

    chat = ChatVoxtral(**settings)
    if not is_local:
        status_reporter(arguments)(f"Asking {chat.model} at {chat.base_url}.")
    return chat


def _system_messages(arguments: argparse.Namespace) -> "list[BaseMessage]":
    from langchain_core.messages import SystemMessage  # noqa: PLC0415 - takes a second

    return [SystemMessage(arguments.system)] if arguments.system else []


def _ask_once(chat: "ChatVoxtral", arguments: argparse.Namespace, question: str) -> None:
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    _print_answer(chat, arguments, [*_system_messages(arguments), HumanMessage(question)])


def _converse(chat: "ChatVoxtral", arguments: argparse.Namespace) -> None:
    """Answer questions until the user ends that; an error does not end it."""
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    history: list[BaseMessage] = []
    for question in questions(status_reporter(arguments), history.clear):
        messages = [*_system_messages(arguments), *history, HumanMessage(question)]
        try:
            answer = _print_answer(chat, arguments, messages)
        except VoxtralError as error:
            print(file=sys.stderr)
            print_error(error)
        except KeyboardInterrupt:
            print(" (stopped)", file=sys.stderr)
        else:
            history += [HumanMessage(question), answer]


def _print_answer(
    chat: "ChatVoxtral", arguments: argparse.Namespace, messages: "list[BaseMessage]"
) -> "BaseMessage":
    """Print an answer as it streams, or as one JSON line; return it."""
    from langchain_core.messages import AIMessage  # noqa: PLC0415 - takes a second

    started = time.perf_counter()
    first: float | None = None
    texts: list[str] = []
    last: AIMessageChunk | None = None
    for chunk in chat.stream(messages):
        if first is None:
            first = time.perf_counter() - started
        texts.append(chunk.text)
        last = chunk
        if not arguments.json:
            print(chunk.text, end="", flush=True)
    total = time.perf_counter() - started
    text = "".join(texts)
    print(json.dumps(_report(text, last, first, total)) if arguments.json else "", flush=True)
    if last is not None and last.response_metadata.get("finish_reason") == "length":
        status_reporter(arguments)(_cut_notice(last, arguments.max_tokens))
    return AIMessage(text)


def _cut_notice(last: "AIMessageChunk", max_tokens: int) -> str:
    """Return that an answer is cut, and at which limit, as far as the server tells."""
    tokens = last.usage_metadata["output_tokens"] if last.usage_metadata else max_tokens
    if tokens < max_tokens:
        return f"The answer is cut after {tokens} tokens: the context of the model is full."
    return f"The answer is cut after {max_tokens} tokens: --max-tokens sets the limit."


def _report(
    text: str, last: "AIMessageChunk | None", first: float | None, total: float
) -> dict[str, Any]:
    """Return the JSON line: the server's metadata, and times in seconds."""
    metadata = last.response_metadata if last is not None else {}
    return {
        "text": text,
        "model": metadata.get("model_name"),
        "provider": metadata.get("model_provider"),
        "finish_reason": metadata.get("finish_reason"),
        "request_id": metadata.get("request_id"),
        "usage": last.usage_metadata if last is not None else None,
        "cost": metadata.get("cost"),
        "seconds_to_first_token": None if first is None else round(first, 4),
        "seconds": round(total, 4),
    }
