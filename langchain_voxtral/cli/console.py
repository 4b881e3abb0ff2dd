"""What the subcommands share: messages on stderr, and the choice of the server."""

import argparse
import os
import sys
import threading
from contextlib import suppress

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES, LOCAL_BASE_URL, PROVIDERS
from langchain_voxtral.transcription.progress import escape_control_characters


def print_status(line: str) -> None:
    """Print a line on stderr; stdout is for answers.

    Control characters, in names of files and texts of servers, do not reach the terminal.
    """
    print(escape_control_characters(line), file=sys.stderr, flush=True)


def print_error(error: Exception | str) -> None:
    """Print what went wrong, in one line."""
    text = error if isinstance(error, str) else one_line_message(error)
    print_status(f"langchain-voxtral: {' '.join(text.split())}")


def one_line_message(error: Exception) -> str:
    """Return an error's message, without what pydantic adds to it."""
    from pydantic import ValidationError  # noqa: PLC0415 - only when something is wrong

    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ").replace(
            "Value error, ", "", 1
        )
        for problem in problems
    )


def add_server_options(command: argparse.ArgumentParser) -> None:
    """Add the options that choose the server."""
    command.add_argument(
        "--base-url", metavar="URL", help="the server; 'local' is the embedded engine"
    )
    command.add_argument(
        "--server", choices=PROVIDERS, help="what kind of server that is (default: deepinfra)"
    )


def server_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the server: the given one, or the embedded engine without a key."""
    options = {"base_url": arguments.base_url, "server": arguments.server}
    if given := {name: value for name, value in options.items() if value is not None}:
        return given
    has_key = any(os.environ.get(key, "").strip() for key in DEEPINFRA_KEY_VARIABLES)
    if has_key or "VOXTRAL_BASE_URL" in os.environ:
        return {}
    print_status("No DeepInfra key is set: the embedded engine answers.")
    return {"base_url": LOCAL_BASE_URL}


def preload_engine(*, text: bool = True, speech: bool = False) -> None:
    """Load the embedded engine while LangChain is imported: each takes most of a second."""
    threading.Thread(target=_load_engine, args=(text, speech), daemon=True).start()


def start_engine(*, text: bool = True, speech: bool = False) -> None:
    """Start the embedded engine, which prints its models.

    Args:
        text: Whether it must have its language model.
        speech: Whether it must have its speech model.

    Raises:
        VoxtralError: It cannot be set up.
    """
    from langchain_voxtral.connection import resolve_local  # noqa: PLC0415 - loads httpx

    resolve_local(text=text, speech=speech)


def _load_engine(text: bool, speech: bool) -> None:  # noqa: FBT001 - a thread's arguments
    with suppress(VoxtralError):  # the first request fails with it again, and reports it
        start_engine(text=text, speech=speech)


def check_speech_support() -> None:
    """Check that the embedded engine can transcribe, since else each recording would fail."""
    from langchain_voxtral.local.engine.speech import (  # noqa: PLC0415 - as needed
        has_speech_support,
    )

    if not has_speech_support():
        raise ValueError(
            "the embedded engine has no speech support yet: pip install "
            '"langchain-voxtral[local-speech]"; or set DEEPINFRA_API_TOKEN, and DeepInfra '
            "is asked"
        )
