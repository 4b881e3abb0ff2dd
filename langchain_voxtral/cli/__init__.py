"""The command `langchain-voxtral`: chat, transcribe, and serve the embedded engine."""

# PYTHON_ARGCOMPLETE_OK - where argcomplete completes all commands, it looks for this line

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from langchain_voxtral._version import __version__
from langchain_voxtral.cli.arguments import USAGE_STATUS, CommandParser, existing_file, number
from langchain_voxtral.cli.chat import add_chat
from langchain_voxtral.cli.completion import add_completion, complete
from langchain_voxtral.cli.console import is_usage_error, print_error, warnings_on_stderr
from langchain_voxtral.cli.transcribe import add_transcribe
from langchain_voxtral.errors import VoxtralError

__all__ = ["main"]

_INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells: 128 and the signal's number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments; None takes the process's own.

    Returns:
        The exit status: 0, 1 after an error, 2 if the command line is wrong and nothing was
        started, 130 after Ctrl-C.

    Raises:
        SystemExit: argparse ends the command, after --help or a wrong argument.

    Example:
        ```console
        $ langchain-voxtral chat "What is the capital of France?"
        ```
    """
    if sys.stderr is None:  # closed: else print() would write notices among the answers
        sys.stderr = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale may lack characters of an answer
        sys.stdout.reconfigure(errors="backslashreplace")
    files: Sequence[str] = ()
    try:
        parser = _parser()
        complete(parser)
        arguments = parser.parse_args(argv)
        files = getattr(arguments, "files", ())
        with warnings_on_stderr(quiet=getattr(arguments, "quiet", False), files=files):
            return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        logging.disable()  # other threads are interrupted, and would log it
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone, as `head` is; nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VoxtralError, ValueError, OSError) as error:  # OSError: the disk is full
        print_error(error, files)
        return USAGE_STATUS if is_usage_error(error) else 1


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="langchain-voxtral",
        description="Voxtral Mini through LangChain: on DeepInfra with a key, else from a small "
        "embedded model.",
        epilog="Exit status: 0; 1 after an error; 2 if the command line is wrong, and nothing was "
        "started; 130 after Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_completion(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_chat(commands.add_parser("chat", help="ask the model; the answer streams to stdout"))
    add_transcribe(commands.add_parser("transcribe", help="write down what recordings say"))
    _add_serve(commands.add_parser("serve", help="run the embedded engine as a server"))
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.description = (
        "Serve DeepInfra's native endpoint, and OpenAI's chat completions (below /v1/openai), from "
        "a local model, for development."
    )
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    serve.add_argument(
        "--port",
        type=number(0, 65535, int),
        default=8200,
        help="0 is a free one (default: 8200)",
    )
    serve.add_argument(
        "--model", type=existing_file, metavar="GGUF", help="a model file of your own"
    )
    serve.add_argument(
        "--speech-model",
        metavar="NAME",
        help="what transcribes: the folder of a Whisper model for CTranslate2, or a name that "
        "faster-whisper knows, as small (default: VOXTRAL_WHISPER, else Whisper base)",
    )
    serve.add_argument("--mmproj", type=_reject_projector, help=argparse.SUPPRESS)
    serve.add_argument(
        "--api-key",
        default=os.environ.get("VOXTRAL_API_KEY", ""),
        help="demand this bearer key (default: VOXTRAL_API_KEY, if set)",
    )
    serve.set_defaults(run=_serve)


def _reject_projector(_: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "the embedded engine cannot give recordings to a model of yours: its own speech model "
        "transcribes them; for a Voxtral that takes audio run llama.cpp's `llama-server --model X "
        "--mmproj Y` and use it with --base-url and --server llama_cpp"
    )


def _serve(arguments: argparse.Namespace) -> int:
    from langchain_voxtral.local import serve  # noqa: PLC0415 - an extra, needed only here

    serve(
        host=arguments.host,
        port=arguments.port,
        model=arguments.model,
        speech_model=arguments.speech_model,
        api_key=arguments.api_key,
    )
    return 0
