"""The command `langchain-voxtral transcribe`: recordings to text, subtitles or JSON."""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_voxtral.cli.common import (
    complain,
    in_one_line,
    say,
    server_settings,
    start_engine,
)
from langchain_voxtral.cli.files import Errand, errands, readable, write
from langchain_voxtral.cli.tally import Tally
from langchain_voxtral.cli.tally import recordings as counted
from langchain_voxtral.endpoint import LOCAL_BASE_URL, local_endpoint
from langchain_voxtral.errors import HOPELESS, VoxtralError
from langchain_voxtral.providers import PROVIDERS

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.documents.base import Blob

    from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
    from langchain_voxtral.transcription.documents import Mode

__all__ = ["add_transcribe"]

# JSON is made of the subtitles, since only these have both the segments and the whole cost.
_MODES: "Mapping[str, Mode]" = {"text": "document", "srt": "srt", "vtt": "vtt", "json": "srt"}
_LOCAL_CHUNK = 60
"""Seconds: the embedded engine takes some 6 for them, and then the bar moves."""
_ENDPOINTS = ("transcriptions", "native", "chat")
_SUFFIXES: Mapping[str, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}


def add_transcribe(transcribe: argparse.ArgumentParser) -> None:
    """Give the command its description, its options and what it runs."""
    transcribe.description = (
        "Write down what is said in recordings, of any format and length. After a recording "
        "that fails the others are still transcribed; the exit status is 1 then."
    )
    transcribe.epilog = (
        "DeepInfra's key is read from DEEPINFRA_API_TOKEN; without one the embedded engine "
        "listens, which knows English only. The key of any other server is VOXTRAL_API_KEY."
    )
    add = transcribe.add_argument
    add("files", nargs="+", metavar="FILE", help="a recording; - is stdin")
    add("--translate", action="store_true", help="translate into English")
    add("--language", metavar="XX", help="the language spoken, as its ISO 639-1 code ('fr')")
    add("--prompt", help="a text that goes before, for names and style")
    add(
        "--format",
        choices=_MODES,
        default="text",
        help="plain text (default), subtitles, or one JSON line with segments and metadata",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write a file for each recording, named after it, instead of stdout; files of "
        "earlier runs are replaced",
    )
    add(
        "--skip-existing",
        action="store_true",
        help="leave out recordings whose file is in DIR already: goes on where a run ended",
    )
    add("--base-url", metavar="URL", help="the server; 'local' is the embedded engine")
    add("--server", choices=PROVIDERS, help="what kind of server that is (default: deepinfra)")
    add("--endpoint", choices=_ENDPOINTS, help="what is asked there (default: transcriptions)")
    add("--model", help="the model's name at the server")
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
    add("--quiet", action="store_true", help="no progress and no cost on stderr")
    transcribe.set_defaults(run=_transcribe)


def _dollars(text: str) -> float:
    with suppress(ValueError):
        amount = float(text)
        if math.isfinite(amount) and amount >= 0:
            return amount
    raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars")


def _transcribe(arguments: argparse.Namespace) -> int:
    """Transcribe one recording after the other; return the exit status."""
    todo = errands(arguments.files, arguments.output, _SUFFIXES[arguments.format])
    if len(todo) > 1 and arguments.output is None and arguments.format in {"srt", "vtt"}:
        raise ValueError(f"several recordings make several {arguments.format} files: give -o DIR")
    tell = _nothing if arguments.quiet else say
    if arguments.skip_existing:
        todo = _missing(todo, tell)
    with ExitStack() as stack:
        given = [(errand, stack.enter_context(readable(errand))) for errand in todo]
        if not given:
            return 0
        parser = _parser(arguments)  # not closed: after Ctrl-C a chunk on its way would be resent
        if parser.base_url == LOCAL_BASE_URL:
            local_endpoint()  # says who listens: before there is a bar, and fails but once
        else:
            tell(f"Asking {parser.model} at {parser.base_url}.")
        if arguments.max_cost is not None:
            _check_cost(parser, [recording for _, recording in given], arguments.max_cost)
        tally = Tally(len(given))
        try:
            for errand, recording in given:
                if _one(parser, errand, recording, arguments.format, tally) and errand.target:
                    tell(f"{errand.name}: wrote {errand.target}.")
        finally:  # what was paid is told after Ctrl-C too
            tell(tally.line())
    return 1 if tally.failed else 0


def _nothing(_: str) -> None:
    pass


def _missing(todo: Sequence[Errand], tell: Callable[[str], None]) -> list[Errand]:
    """Return the errands whose file is not there yet.

    Raises:
        ValueError: There are no files to be written.
    """
    if any(errand.target is None for errand in todo):
        raise ValueError("--skip-existing looks into a folder: give -o DIR")
    missing = [errand for errand in todo if errand.target and not errand.target.exists()]
    if len(missing) < len(todo):
        tell(f"Skipping {counted(len(todo) - len(missing))}: transcribed already.")
    return missing


def _parser(arguments: argparse.Namespace) -> "VoxtralTranscriptionParser":
    names = ("model", "language", "prompt", "server", "endpoint", "truncated")
    given: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    if arguments.base_url is not None or settings.get("server", "deepinfra") == "deepinfra":
        settings |= server_settings(arguments.base_url)
    if settings.get("base_url") == LOCAL_BASE_URL:
        _check_ears()
        start_engine()
        settings["chunk_seconds"] = _LOCAL_CHUNK
    if arguments.translate:
        settings["task"] = "translate"
    if arguments.quiet:
        settings["progress"] = False
    from langchain_voxtral.document_loaders import (  # noqa: PLC0415 - takes a second
        VoxtralTranscriptionParser,
    )

    return VoxtralTranscriptionParser(mode=_MODES[arguments.format], **settings)


def _check_ears() -> None:
    """Return if the embedded engine can hear; else each recording would fail by itself."""
    from langchain_voxtral.local.engine.speech import has_speech_support  # noqa: PLC0415 - as needed

    if not has_speech_support():
        raise ValueError(
            "the embedded engine has no ears yet: pip install "
            '"langchain-voxtral[local-speech,audio]"; or set DEEPINFRA_API_TOKEN, and DeepInfra '
            "is asked"
        )


def _check_cost(
    parser: "VoxtralTranscriptionParser", recordings: "Sequence[str | Blob]", most: float
) -> None:
    """Return if all recordings together cost no more than this.

    Raises:
        ValueError: They cost more, or the price is not known.
    """
    from langchain_voxtral.audio.pricing import Estimate  # noqa: PLC0415 - the same
    from langchain_voxtral.errors import VoxtralAudioError  # noqa: PLC0415 - as needed

    whole = Estimate(0.0, 0, 0, 0.0)
    for recording in recordings:
        with suppress(VoxtralAudioError):  # it costs nothing, and is reported in its turn
            whole += parser.estimate(recording)
    if whole.dollars is None:
        raise ValueError(
            f"--max-cost cannot be checked: the price of {parser.model} at {parser.base_url} is "
            "not known"
        )
    if whole.dollars > most:
        raise ValueError(
            f"{whole.duration:.1f} s of audio would cost about ${whole.dollars:.6f}, more than "
            f"--max-cost {most:g}; nothing was sent"
        )


def _one(
    parser: "VoxtralTranscriptionParser",
    errand: Errand,
    recording: "str | Blob",
    form: str,
    tally: Tally,
) -> bool:
    """Transcribe a recording; tell whether that went well.

    Raises:
        VoxtralError: No other recording would fare better.
        ValueError: The text cannot be written, nor probably others, which would be paid for.
    """
    try:
        [document] = parser.parse(recording)
    except HOPELESS:
        tally.fail()
        raise
    except (VoxtralError, ValueError) as error:
        tally.fail()
        complain(_naming(errand.name, error))
        return False
    tally.pay(document.metadata)
    text = _json(document) if form == "json" else document.page_content
    write(text if text.endswith("\n") else text + "\n", errand.target)
    return True


def _json(document: "Document") -> str:
    """Return the JSON line of a subtitle document: text, segments, and the metadata as it is."""
    from langchain_voxtral.audio.subtitles import read_subtitles  # noqa: PLC0415 - as needed

    cues = read_subtitles(document.page_content)
    report = {
        "text": " ".join(cue.text for cue in cues),
        "segments": [{"start": cue.start, "end": cue.end, "text": cue.text} for cue in cues],
        **document.metadata,
    }
    return json.dumps(report)


def _naming(name: str, error: Exception) -> str:
    """Return what went wrong, with the recording's name if it does not begin with it."""
    said = in_one_line(error)
    return said if said.startswith(name) else f"{name}: {said}"
