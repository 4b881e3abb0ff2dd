"""Options of the command `langchain-voxtral transcribe`."""

import argparse
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import get_args

from langchain_voxtral.cli.arguments import language_code, some_text
from langchain_voxtral.cli.server_options import add_server_options
from langchain_voxtral.cli.unfinished import default_folder
from langchain_voxtral.providers import Timestamps

_ENDPOINTS = ("transcriptions", "native", "chat")


def add_transcribe_options(transcribe: argparse.ArgumentParser, *, formats: Iterable[str]) -> None:
    """Add the command's description and options.

    Args:
        transcribe: The parser of the command.
        formats: What results can be.
    """
    transcribe.description = (
        "Write down what is said in recordings, of any format and length. After a recording "
        "that fails the others are still transcribed; the exit status is 1 then."
    )
    transcribe.epilog = (
        "DeepInfra's key is read from DEEPINFRA_API_TOKEN; without one the embedded engine "
        "transcribes, with a small model that knows some 100 languages. The keys of --server "
        "mistral and openrouter are MISTRAL_API_KEY and OPENROUTER_API_KEY, that of any other "
        "server VOXTRAL_API_KEY."
    )
    add = transcribe.add_argument
    add("files", nargs="+", metavar="FILE", help="a recording; - is stdin")
    add("--translate", action="store_true", help="translate into English")
    add(
        "--language",
        type=language_code,
        metavar="XX",
        help="the language spoken, as its ISO 639-1 code ('fr')",
    )
    add(
        "--prompt",
        type=some_text,
        metavar="TEXT",
        help="a text that goes before, for names and style",
    )
    add(
        "--format",
        choices=formats,
        default="text",
        help="plain text (default), subtitles, or one JSON line with segments and metadata",
    )
    add(
        "--timestamps",
        choices=get_args(Timestamps),
        help="times that the server must return; those of words are in --format json",
    )
    add("--speakers", action="store_true", help="name who speaks, in subtitles and JSON")
    add(
        "-o",
        "--output",
        type=_folder,
        metavar="DIR",
        help="write a file for each recording, named after it, instead of stdout; files of "
        "earlier runs are replaced",
    )
    add(
        "--skip-existing",
        action="store_true",
        help="leave out recordings whose file is in DIR already: goes on where a run ended",
    )
    keep = transcribe.add_mutually_exclusive_group().add_argument
    keep(
        "--store",
        type=_folder,
        metavar="DIR",
        help="where the texts of finished chunks are kept until the text of the recording is "
        "written, so that a run that was stopped goes on; delete the folder to forget them "
        f"(default: {str(default_folder()).replace('%', '%%')})",
    )
    keep("--no-store", action="store_true", help="keep nothing: a run that was stopped begins anew")
    add_server_options(transcribe)
    add("--endpoint", choices=_ENDPOINTS, help="what is asked there (default: transcriptions)")
    add("--model", type=some_text, metavar="NAME", help="the model's name at the server")
    add(
        "--truncated",
        choices=("error", "keep"),
        help="what to do with a recording that is cut off: report it (default), or keep what can "
        "be decoded",
    )
    add(
        "--max-cost",
        type=_dollars,
        metavar="USD",
        help="send nothing if all recordings together would cost more than this",
    )
    add("--send-silence", action="store_true", help="send chunks without any sound, too")
    add("--quiet", action="store_true", help="nothing but errors and warnings on stderr")


def _dollars(text: str) -> float:
    with suppress(ValueError):
        amount = float(text)
        if math.isfinite(amount) and amount >= 0:
            return amount
    raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars")


def _folder(text: str) -> Path:
    """Return a folder; an empty name, as of a variable that is not set, would be this one."""
    return Path(some_text(text))
