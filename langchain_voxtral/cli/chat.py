"""The command `langchain-voxtral chat`: one question, or a conversation."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from langchain_voxtral.cli.console import (
    add_server_options,
    preload_engine,
    print_error,
    print_status,
    server_settings,
)
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers import LOCAL_BASE_URL

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk, BaseMessage

    from langchain_voxtral.chat_models import ChatVoxtral


def add_chat(chat: argparse.ArgumentParser) -> None:
    """Add the command's description, options and function."""
    chat.description = (
        "Ask the model. Without PROMPT the question is read from stdin when that is piped, else "
        "a conversation begins; with PROMPT stdin is left alone."
    )
    chat.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to ask")
    chat.add_argument("--system", help="instructions for the model")
    chat.add_argument(
        "--stop", action="append", metavar="TEXT", help="end the answer here (repeatable)"
    )
    chat.add_argument("--model", help="the model's name at the server")
    add_server_options(chat)
    chat.add_argument("--temperature", type=float)
    chat.add_argument("--max-tokens", type=int)
    chat.add_argument("--seed", type=int)
    chat.add_argument(
        "--json", action="store_true", help="print one JSON line: text, usage, cost, timing"
    )
    chat.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with _make_model(arguments) as chat:
        if arguments.prompt:
            _ask_once(chat, arguments, " ".join(arguments.prompt))
        elif not sys.stdin.isatty():
            _ask_once(chat, arguments, sys.stdin.read().strip())
        else:
            _chat_loop(chat, arguments)
    return 0


def _make_model(arguments: argparse.Namespace) -> "ChatVoxtral":
    names = ("stop", "model", "temperature", "max_tokens", "seed")
    options = {name: getattr(arguments, name) for name in names}
    settings = {name: value for name, value in options.items() if value is not None}
    settings |= server_settings(arguments)
    if settings.get("base_url") == LOCAL_BASE_URL:
        preload_engine()
    from langchain_voxtral.chat_models import ChatVoxtral  # noqa: PLC0415 - takes a second

    chat = ChatVoxtral(**settings)
    if chat.base_url != LOCAL_BASE_URL:
        print_status(f"Asking {chat.model} at {chat.base_url}.")
    return chat


def _system_messages(arguments: argparse.Namespace) -> "list[BaseMessage]":
    from langchain_core.messages import SystemMessage  # noqa: PLC0415 - takes a second

    return [SystemMessage(arguments.system)] if arguments.system else []


def _ask_once(chat: "ChatVoxtral", arguments: argparse.Namespace, question: str) -> None:
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    if not question:
        raise ValueError("there is nothing to ask: give a PROMPT or pipe one in")
    _print_answer(chat, arguments, [*_system_messages(arguments), HumanMessage(question)])


def _chat_loop(chat: "ChatVoxtral", arguments: argparse.Namespace) -> None:
    """Answer questions until end of input; an error does not end the conversation."""
    import readline  # noqa: F401, PLC0415 - its import gives input() line editing

    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    print("Ctrl-C stops an answer, Ctrl-D ends the conversation.", file=sys.stderr)
    messages = _system_messages(arguments)
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            print(file=sys.stderr)
            return
        if not question:
            continue
        try:
            answer = _print_answer(chat, arguments, [*messages, HumanMessage(question)])
        except VoxtralError as error:
            print(file=sys.stderr)
            print_error(error)
        except KeyboardInterrupt:
            print(" (stopped)", file=sys.stderr)
        else:
            messages += [HumanMessage(question), answer]


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
    return AIMessage(text)


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
