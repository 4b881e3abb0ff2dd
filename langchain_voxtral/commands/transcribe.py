"""The command `langchain-voxtral transcribe`: recordings to text, subtitles or JSON."""

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_voxtral.commands.common import complain, in_one_line, say, server_settings
from langchain_voxtral.endpoint import LOCAL
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralNotFoundError,
    VoxtralPermissionDeniedError,
)

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
    from langchain_voxtral.transcribing.documents import Mode

__all__ = ["add_transcribe"]

# JSON is made of the subtitles, since only these have both the segments and the whole cost.
_MODES: "Mapping[str, Mode]" = {"text": "document", "srt": "srt", "vtt": "vtt", "json": "srt"}
_SUFFIXES: Mapping[str, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}

_HOPELESS = (VoxtralAuthenticationError, VoxtralPermissionDeniedError, VoxtralNotFoundError)
"""Failures that would befall every other recording too."""


def add_transcribe(transcribe: argparse.ArgumentParser) -> None:
    """Give the command its description, its options and what it runs."""
    transcribe.description = (
        "Write down what is said in recordings, of any format and length. After a recording "
        "that fails the others are still transcribed; the exit status is 1 then."
    )
    transcribe.add_argument("files", nargs="+", metavar="FILE", help="a recording")
    transcribe.add_argument("--translate", action="store_true", help="translate into English")
    transcribe.add_argument(
        "--language", metavar="XX", help="the language spoken, as its ISO 639-1 code ('fr')"
    )
    transcribe.add_argument(
        "--format",
        choices=_MODES,
        default="text",
        help="plain text (default), subtitles, or one JSON line with segments and metadata",
    )
    transcribe.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="write a file for each recording, named after it, instead of stdout; files of "
        "earlier runs are replaced",
    )
    transcribe.add_argument("--model", help="the model's name at the server")
    transcribe.add_argument("--base-url", help="the server; 'local' is the embedded engine")
    transcribe.add_argument("--prompt", help="a text that goes before, for names and style")
    transcribe.add_argument(
        "--max-cost",
        type=_dollars,
        metavar="USD",
        help="send nothing if all recordings together would cost more than this",
    )
    transcribe.add_argument(
        "--quiet", action="store_true", help="no progress and no cost on stderr"
    )
    transcribe.set_defaults(run=_transcribe)


def _dollars(text: str) -> float:
    with suppress(ValueError):
        amount = float(text)
        if math.isfinite(amount) and amount >= 0:
            return amount
    raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars")


def _transcribe(arguments: argparse.Namespace) -> int:
    """Transcribe one recording after the other; return the exit status."""
    targets = _targets(arguments.files, arguments.output, arguments.format)
    tally = _Tally()
    with _parser(arguments) as parser:
        if arguments.max_cost is not None:
            _check_cost(parser, arguments.files, arguments.max_cost)
        try:
            for file, target in zip(arguments.files, targets, strict=True):
                try:
                    _one(parser, file, target, arguments.format, tally)
                except _HOPELESS:
                    tally.failed += 1
                    raise
                except (VoxtralError, ValueError) as error:
                    tally.failed += 1
                    complain(_naming(file, error))
        finally:  # what was paid is told after Ctrl-C too
            if not arguments.quiet:
                say(tally.line())
    return 1 if tally.failed else 0


def _parser(arguments: argparse.Namespace) -> "VoxtralTranscriptionParser":
    settings: dict[str, Any] = server_settings(arguments.base_url)
    from langchain_voxtral.document_loaders import (  # noqa: PLC0415 - takes a second
        VoxtralTranscriptionParser,
    )

    for name in ("model", "language", "prompt"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    if arguments.translate:
        settings["task"] = "translate"
    if arguments.quiet:
        settings["progress"] = False
    parser = VoxtralTranscriptionParser(mode=_MODES[arguments.format], **settings)
    if parser.base_url != LOCAL and not arguments.quiet:
        say(f"Asking {parser.model} at {parser.base_url}.")
    return parser


def _targets(files: Sequence[str], folder: Path | None, form: str) -> list[Path | None]:
    """Return where each recording's text goes; None is stdout.

    Raises:
        ValueError: Two would get in each other's way, or the folder cannot be made.
    """
    if folder is None:
        if len(files) > 1 and form in {"srt", "vtt"}:
            raise ValueError(f"several recordings make several {form} files: give -o DIR for them")
        return [None for _ in files]
    targets = [folder / (Path(file).stem + _SUFFIXES[form]) for file in files]
    target, count = Counter(targets).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} of the recordings would be written to {target}: rename them")
    recordings = {Path(file).resolve() for file in files}
    for target in targets:
        if target.resolve() in recordings:
            raise ValueError(f"{target} is one of the recordings and would be overwritten")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return [*targets]


def _check_cost(parser: "VoxtralTranscriptionParser", files: Sequence[str], most: float) -> None:
    """Return if all recordings together cost no more than this.

    Raises:
        ValueError: They cost more, or the price is not known.
    """
    from langchain_voxtral.audio.errors import VoxtralAudioError  # noqa: PLC0415 - as needed
    from langchain_voxtral.estimates import Estimate  # noqa: PLC0415 - the same

    whole = Estimate(0.0, 0, 0, 0.0)
    for file in files:
        with suppress(VoxtralAudioError):  # it costs nothing, and is reported in its turn
            whole += parser.estimate(file)
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
    file: str,
    target: Path | None,
    form: str,
    tally: "_Tally",
) -> None:
    [document] = parser.parse(file)
    tally.add(document.metadata)
    text = _json(document) if form == "json" else document.page_content
    text = text if text.endswith("\n") else text + "\n"
    if target is None:
        print(text, end="", flush=True)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}") from error


def _json(document: "Document") -> str:
    """Return the JSON line of a subtitle document: text, segments, and the metadata as it is."""
    from langchain_voxtral.audio.subtitles import read_subtitles  # noqa: PLC0415 - as needed

    cues = read_subtitles(document.page_content)
    report = {
        "text": " ".join(cue.text for cue in cues),
        "segments": [{"start": cue.start, "end": cue.end, "text": cue.text} for cue in cues],
        **document.metadata,
    }
    return json.dumps(report, ensure_ascii=False)


def _naming(file: str, error: Exception) -> str:
    """Return what went wrong, with the recording's name if it is not in it."""
    said = in_one_line(error)
    return said if file in said else f"{file}: {said}"


@dataclass(slots=True)
class _Tally:
    """What was transcribed so far, and what it cost.

    Args:
        seconds: How long each recording is.
        costs: US dollars for each; None if not known.
        sources: Who told the costs that are known: `"server"`, `"estimated"`.
        failed: Recordings that failed.
    """

    seconds: list[float] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    failed: int = 0

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Count a recording in."""
        self.seconds.append(metadata["duration"])
        self.costs.append(metadata.get("cost"))
        if "cost" in metadata:
            self.sources.add(metadata["cost_source"])

    def line(self) -> str:
        """Return the last line: how much, for how much, and who says so."""
        line = f"{_recordings(len(self.seconds))}, {sum(self.seconds):.1f} s of audio"
        known = [cost for cost in self.costs if cost is not None]
        if known:
            by_server = self.sources == {"server"}
            line += f", ${sum(known):.6f} ({'told by the server' if by_server else 'estimated'})"
        if unknown := len(self.costs) - len(known):
            which = f"{_recordings(unknown)} " if known else ""
            line += f", {which}at a price that is not known"
        if self.failed:
            line += f"; not counted: {_recordings(self.failed)} that failed"
        return line


def _recordings(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"
