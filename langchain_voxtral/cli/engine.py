"""The embedded engine, where it answers the command."""

import argparse
import os
import threading
from contextlib import suppress
from importlib.util import find_spec

from langchain_voxtral.cli.console import status_reporter
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.providers.addresses import BASE_URL_VARIABLE


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
    reason = "" if _is_chosen(arguments) else "No DeepInfra key is set. "
    status_reporter(arguments)(f"{reason}{introduction(models)}.")


def preload_engine() -> None:
    """Load the engine for chats while LangChain is imported: each takes most of a second."""
    threading.Thread(target=_load_engine, daemon=True).start()


def _load_engine() -> None:
    with suppress(VoxtralError):  # the first request fails with it again, and reports it
        start_engine(text=True, speech=False)


def start_engine(*, text: bool, speech: bool) -> None:
    """Start the embedded engine.

    Args:
        text: Whether it must have its language model.
        speech: Whether it must have its speech model.

    Raises:
        VoxtralError: It cannot be set up.
    """
    from langchain_voxtral.connection import resolve_local  # noqa: PLC0415 - loads httpx

    resolve_local(text=text, speech=speech)


def check_text_support(arguments: argparse.Namespace) -> None:
    """Check that the embedded engine can chat, before it is announced."""
    libraries = ("xllamacpp", "starlette", "uvicorn", "jsonschema")
    if any(find_spec(name) is None for name in libraries):
        raise _missing(arguments, "is not installed", "local")


def check_speech_support(arguments: argparse.Namespace) -> None:
    """Check that the embedded engine can transcribe, since else each recording would fail."""
    from langchain_voxtral.local.engine.speech import (  # noqa: PLC0415 - as needed
        has_speech_support,
    )

    if not has_speech_support():
        raise _missing(arguments, "has no speech support yet", "local-speech")


def _missing(arguments: argparse.Namespace, problem: str, extra: str) -> ValueError:
    other = "; or set DEEPINFRA_API_TOKEN, and DeepInfra is asked"
    return ValueError(
        f'the embedded engine {problem}: pip install "langchain-voxtral[{extra}]"'
        f"{'' if _is_chosen(arguments) else other}"
    )


def _is_chosen(arguments: argparse.Namespace) -> bool:
    """Return whether the user named the engine: else it stands in for DeepInfra."""
    return arguments.base_url is not None or BASE_URL_VARIABLE in os.environ
