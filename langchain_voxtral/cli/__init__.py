"""The command `langchain-voxtral`: talk to the model, transcribe, serve the embedded engine."""

import argparse
import io
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_voxtral._version import __version__
from langchain_voxtral.cli.common import complain, say, server_settings, start_engine
from langchain_voxtral.cli.transcribe import add_transcribe
from langchain_voxtral.endpoint import LOCAL_BASE_URL
from langchain_voxtral.errors import VoxtralError

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk, BaseMessage

    from langchain_voxtral.chat_models import ChatVoxtral

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 and the signal's number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments; None takes the process's own.

    Returns:
        The exit status: 0, 1 after an error, 130 after Ctrl-C.

    Example:
        ```console
        $ langchain-voxtral chat "What is the capital of France?"
        ```
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale may know fewer characters than answers
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        logging.disable()  # what is cut off now, in other threads, is no news
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VoxtralError, ValueError, OSError) as error:  # the last one of a full disk
        complain(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="langchain-voxtral",
        description="Voxtral Mini through LangChain: on DeepInfra with a key, else from a small "
        "embedded model.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_chat(commands.add_parser("chat", help="ask the model; the answer streams to stdout"))
    add_transcribe(commands.add_parser("transcribe", help="write down what recordings say"))
    _add_serve(commands.add_parser("serve", help="run the embedded engine as a server"))
    return parser


def _add_chat(chat: argparse.ArgumentParser) -> None:
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
    chat.add_argument("--base-url", help="the server; 'local' is the embedded engine")
    chat.add_argument("--temperature", type=float)
    chat.add_argument("--max-tokens", type=int)
    chat.add_argument("--seed", type=int)
    chat.add_argument(
        "--json", action="store_true", help="print one JSON line: text, usage, cost, timing"
    )
    chat.set_defaults(run=_chat)


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.description = (
        "Serve DeepInfra's native endpoint, and OpenAI's chat completions (below /v1/openai), from "
        "a local model, for development."
    )
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8200)
    serve.add_argument("--model", metavar="GGUF", help="a model file of your own")
    serve.add_argument("--mmproj", type=_no_projector, help=argparse.SUPPRESS)
    serve.add_argument(
        "--api-key",
        default=os.environ.get("VOXTRAL_API_KEY", ""),
        help="demand this bearer key (default: VOXTRAL_API_KEY, if set)",
    )
    serve.set_defaults(run=_serve)


def _no_projector(_: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "the embedded engine cannot hand recordings to a model of yours, its own speech model "
        "hears them; for a Voxtral that hears run llama.cpp's `llama-server --model X --mmproj Y` "
        "and use it with base_url= and server='llama_cpp'"
    )


def _serve(arguments: argparse.Namespace) -> int:
    from langchain_voxtral.local import serve  # noqa: PLC0415 - an extra, needed only here

    serve(
        host=arguments.host,
        port=arguments.port,
        model=arguments.model,
        api_key=arguments.api_key,
    )
    return 0


def _chat(arguments: argparse.Namespace) -> int:
    chat = _model(arguments)
    with chat:
        if arguments.prompt:
            _ask_once(chat, arguments, " ".join(arguments.prompt))
        elif not sys.stdin.isatty():
            _ask_once(chat, arguments, sys.stdin.read().strip())
        else:
            _converse(chat, arguments)
    return 0


def _model(arguments: argparse.Namespace) -> "ChatVoxtral":
    names = ("stop", "model", "temperature", "max_tokens", "seed")
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    given |= server_settings(arguments.base_url)
    if given.get("base_url") == LOCAL_BASE_URL:
        start_engine()
    from langchain_voxtral.chat_models import ChatVoxtral  # noqa: PLC0415 - takes a second

    chat = ChatVoxtral(**given)
    if chat.base_url != LOCAL_BASE_URL:
        say(f"Asking {chat.model} at {chat.base_url}.")
    return chat


def _system(arguments: argparse.Namespace) -> "list[BaseMessage]":
    from langchain_core.messages import SystemMessage  # noqa: PLC0415 - takes a second

    return [SystemMessage(arguments.system)] if arguments.system else []


def _ask_once(chat: "ChatVoxtral", arguments: argparse.Namespace, question: str) -> None:
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    if not question:
        raise ValueError("there is nothing to ask: give a PROMPT or pipe one in")
    _tell(chat, arguments, [*_system(arguments), HumanMessage(question)])


def _converse(chat: "ChatVoxtral", arguments: argparse.Namespace) -> None:
    """Keep asking; what went wrong with one question does not end the conversation."""
    import readline  # noqa: F401, PLC0415 - line editing for input(), by being imported

    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - takes a second

    print("Ctrl-C stops an answer, Ctrl-D ends the conversation.", file=sys.stderr)
    messages = _system(arguments)
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            print(file=sys.stderr)
            return
        if not question:
            continue
        try:
            answer = _tell(chat, arguments, [*messages, HumanMessage(question)])
        except VoxtralError as error:
            print(file=sys.stderr)
            complain(error)
        except KeyboardInterrupt:
            print(" (stopped)", file=sys.stderr)
        else:
            messages += [HumanMessage(question), answer]


def _tell(
    chat: "ChatVoxtral", arguments: argparse.Namespace, messages: "list[BaseMessage]"
) -> "BaseMessage":
    """Print an answer as it streams, or as one JSON line; return it."""
    from langchain_core.messages import AIMessage  # noqa: PLC0415 - takes a second

    began = time.perf_counter()
    first: float | None = None
    texts: list[str] = []
    last: AIMessageChunk | None = None
    for chunk in chat.stream(messages):
        if first is None:
            first = time.perf_counter() - began
        texts.append(chunk.text)
        last = chunk
        if not arguments.json:
            print(chunk.text, end="", flush=True)
    total = time.perf_counter() - began
    text = "".join(texts)
    print(json.dumps(_report(text, last, first, total)) if arguments.json else "", flush=True)
    return AIMessage(text)


def _report(
    text: str, last: "AIMessageChunk | None", first: float | None, total: float
) -> dict[str, Any]:
    """Return the JSON line: metadata as the server told it, times in seconds."""
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
