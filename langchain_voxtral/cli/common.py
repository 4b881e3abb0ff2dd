"""What the commands share: which server to ask, and how to say what is wrong."""

import os
import sys
import threading
from contextlib import suppress

from langchain_voxtral.endpoint import DEEPINFRA_KEYS, LOCAL_BASE_URL, local_endpoint
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.transcription.progress import escape_control_characters

__all__ = ["complain", "in_one_line", "say", "server_settings", "start_engine"]


def say(line: str) -> None:
    """Tell the user something on stderr; stdout is for answers alone.

    Names of files and words of servers may have control characters: these are shown, and do
    not reach the terminal as such.
    """
    print(escape_control_characters(line), file=sys.stderr, flush=True)


def complain(error: Exception | str) -> None:
    """Tell the user what went wrong, in one line."""
    text = error if isinstance(error, str) else in_one_line(error)
    say(f"langchain-voxtral: {' '.join(text.split())}")


def in_one_line(error: Exception) -> str:
    """Say what is wrong without what pydantic puts around it."""
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


def server_settings(base_url: str | None) -> dict[str, str]:
    """Return the settings that name the server to ask.

    Only here is a missing key answered by the embedded engine.

    Args:
        base_url: The one on the command line, if any.
    """
    if base_url is not None:
        return {"base_url": base_url}
    has_key = any(os.environ.get(key, "").strip() for key in DEEPINFRA_KEYS)
    if has_key or "VOXTRAL_BASE_URL" in os.environ:
        return {}
    say("No DeepInfra key is set: the embedded engine answers.")
    return {"base_url": LOCAL_BASE_URL}


def start_engine() -> None:
    """Have the embedded engine load while LangChain is imported: each takes most of a second."""
    threading.Thread(target=_load_engine, daemon=True).start()


def _load_engine() -> None:
    with suppress(VoxtralError):  # the first call fails in the same way, and says so
        local_endpoint()
