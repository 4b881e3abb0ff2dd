"""What the subcommands share: messages on stderr, and the choice of the server."""

import argparse
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.wording import flag_of, in_flags
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers import (
    DEEPINFRA_KEY_VARIABLES,
    LOCAL_BASE_URL,
    PROVIDERS,
    ProviderName,
    default_base_url,
    normalize_base_url,
)
from langchain_voxtral.providers.addresses import BASE_URL_VARIABLE
from langchain_voxtral.transcription.progress import escape_control_characters

Report = Callable[[str], None]


def print_status(line: str) -> None:
    """Print a line on stderr; stdout is for answers.

    Control characters, in names of files and texts of servers, do not reach the terminal.
    """
    print(escape_control_characters(line), file=sys.stderr, flush=True)


def status_reporter(arguments: argparse.Namespace) -> Report:
    """Return what prints notices: with --quiet nothing does."""
    return _ignore if arguments.quiet else print_status


def _ignore(_: str) -> None:
    pass


def print_error(error: Exception | str) -> None:
    """Print what went wrong, in one line."""
    text = error if isinstance(error, str) else one_line_message(error)
    print_status(f"langchain-voxtral: {' '.join(text.split())}")


def is_usage_error(error: Exception) -> bool:
    """Return whether the command line is wrong, so that nothing was started."""
    from pydantic import ValidationError  # noqa: PLC0415 - only when something is wrong

    return isinstance(error, UsageError | ValidationError)


def one_line_message(error: Exception) -> str:
    """Return an error's message with the names of flags, without what pydantic adds to it."""
    from pydantic import ValidationError  # noqa: PLC0415 - only when something is wrong

    if not isinstance(error, ValidationError):
        return in_flags(str(error))
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{flag_of('.'.join(map(str, problem['loc'])))}: "
        f"{in_flags(problem['msg'].replace('Value error, ', '', 1))}".removeprefix(": ")
        for problem in problems
    )


@contextmanager
def warnings_on_stderr(*, quiet: bool) -> Iterator[None]:
    """Print what the package logs and warns of as lines of the command.

    The engine's own notice is left to `announce`; with --quiet all of its notices are left out.
    """
    handler = _LinePrinter(logging.WARNING)
    logger = logging.getLogger("langchain_voxtral")
    notices = logging.getLogger("langchain_voxtral.local" + ("" if quiet else ".notice"))
    level = notices.level
    notices.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        logger.removeHandler(handler)
        notices.setLevel(level)


class _LinePrinter(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print_status(in_flags(" ".join(record.getMessage().split())))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_status(in_flags(" ".join(str(message).split())))


def add_server_options(command: argparse.ArgumentParser) -> None:
    """Add the options that choose the server."""
    command.add_argument(
        "--base-url", metavar="URL", help="the server; 'local' is the embedded engine"
    )
    command.add_argument(
        "--server", choices=PROVIDERS, help="what kind of server that is (default: deepinfra)"
    )


def server_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the server: the given one, or the embedded engine without a key.

    Raises:
        UsageError: What is given is no address of such a server.
    """
    options = {"base_url": arguments.base_url, "server": arguments.server}
    given: dict[str, str] = {name: value for name, value in options.items() if value is not None}
    has_key = any(os.environ.get(key, "").strip() for key in DEEPINFRA_KEY_VARIABLES)
    if not (given or has_key or BASE_URL_VARIABLE in os.environ):
        return {"base_url": LOCAL_BASE_URL}
    server: ProviderName = arguments.server or "deepinfra"
    try:
        if arguments.base_url is not None:
            base_url = normalize_base_url(arguments.base_url, server)
        else:
            base_url = default_base_url(server)
    except ValueError as error:
        flag = "--base-url: " if arguments.base_url is not None else ""
        raise UsageError(flag + in_flags(str(error))) from None
    return given | {"base_url": base_url}


def announce_engine(arguments: argparse.Namespace, *, text: bool, speech: bool) -> None:
    """Tell which models of the embedded engine work, and why it does.

    Args:
        arguments: Those of the command.
        text: Whether its language model is used.
        speech: Whether its speech model is.
    """
    # These take a second, which the engine needs, too.
    from langchain_voxtral.local.engine.speech import SpeechEngine  # noqa: PLC0415
    from langchain_voxtral.local.models import TextModel  # noqa: PLC0415
    from langchain_voxtral.local.server import introduction  # noqa: PLC0415

    models: list[TextModel | SpeechEngine] = [TextModel()] if text else []
    models += [SpeechEngine()] if speech else []
    is_chosen = arguments.base_url is not None or BASE_URL_VARIABLE in os.environ
    reason = "" if is_chosen else "No DeepInfra key is set. "
    status_reporter(arguments)(f"{reason}{introduction(models)}.")


def preload_engine(*, text: bool = True, speech: bool = False) -> None:
    """Load the embedded engine while LangChain is imported: each takes most of a second."""
    threading.Thread(target=_load_engine, args=(text, speech), daemon=True).start()


def start_engine(*, text: bool = True, speech: bool = False) -> None:
    """Start the embedded engine.

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
