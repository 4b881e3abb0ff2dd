"""The command `langchain-voxtral transcribe`: recordings to text, subtitles or JSON."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from langchain_voxtral.cli.console import (
    add_server_options,
    check_speech_support,
    one_line_message,
    preload_engine,
    print_error,
    print_status,
    server_settings,
    start_engine,
)
from langchain_voxtral.cli.files import TranscribeTask, open_recording, plan_outputs, write_text
from langchain_voxtral.cli.json_line import json_line
from langchain_voxtral.cli.summary import RunSummary, count_recordings, describe_result
from langchain_voxtral.errors import PERMANENT_ERRORS, VoxtralAudioError, VoxtralError
from langchain_voxtral.providers import LOCAL_BASE_URL, Timestamps

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
    from langchain_voxtral.transcription.chunk_sender import NoTimestamps
    from langchain_voxtral.transcription.documents import Mode
    from langchain_voxtral.transcription.pipeline import TranscriptionJob

# JSON needs the server's times, as subtitles do.
_MODES: "Mapping[str, Mode]" = {"text": "document", "srt": "srt", "vtt": "vtt", "json": "srt"}
_SETTINGS = (
    "model",
    "language",
    "prompt",
    "endpoint",
    "timestamps",
    "speakers",
    "truncated",
    "send_silence",
)
"""Options that are settings of the same name."""
_ENDPOINTS = ("transcriptions", "native", "chat")
_SUFFIXES: Mapping[str, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}


def add_transcribe(transcribe: argparse.ArgumentParser) -> None:
    """Add the command's description, options and function."""
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
    add("--language", metavar="XX", help="the language spoken, as its ISO 639-1 code ('fr')")
    add("--prompt", help="a text that goes before, for names and style")
    add(
        "--format",
        choices=_MODES,
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
    add_server_options(transcribe)
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
    add("--send-silence", action="store_true", help="send chunks without any sound, too")
    add("--quiet", action="store_true", help="nothing but errors and warnings on stderr")
    transcribe.set_defaults(run=_run)


def _dollars(text: str) -> float:
    with suppress(ValueError):
        amount = float(text)
        if math.isfinite(amount) and amount >= 0:
            return amount
    raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars")


def _run(arguments: argparse.Namespace) -> int:
    """Transcribe one recording after the other; return the exit status."""
    tasks = plan_outputs(arguments.files, arguments.output, _SUFFIXES[arguments.format])
    if len(tasks) > 1 and arguments.output is None and arguments.format in {"srt", "vtt"}:
        raise ValueError(f"several recordings make several {arguments.format} files: give -o DIR")
    if arguments.speakers and arguments.format == "text":
        raise ValueError("plain text names no speakers: give --format srt, vtt or json")
    if arguments.timestamps == "word" and arguments.format != "json":
        raise ValueError("only JSON has times of words: give --format json")
    report = _ignore if arguments.quiet else print_status
    if arguments.skip_existing:
        tasks = _missing_tasks(tasks, report)
    if not tasks:
        return 0
    parser = _make_parser(arguments)  # not closed: after Ctrl-C a chunk on its way would be resent
    with ExitStack() as stack:
        summary = RunSummary(len(tasks))
        jobs = _make_jobs(parser, tasks, summary, stack)
        if parser.base_url == LOCAL_BASE_URL:
            # It prints its model before there is a bar, and fails only once.
            start_engine(**_engine_models(arguments))
        else:
            report(f"Asking {parser.model} at {parser.base_url}.")
        if arguments.max_cost is not None:
            _check_cost(parser, [job for _, job in jobs], arguments.max_cost)
        try:
            for task, job in jobs:
                metadata = _transcribe(task, job, arguments.format, summary)
                if metadata and (result := describe_result(metadata, task.target)):
                    report(f"{task.name}: {result}.")
        finally:  # after Ctrl-C too: it reports what was paid
            report(summary.text())
    return 1 if summary.failed else 0


def _ignore(_: str) -> None:
    pass


def _missing_tasks(
    tasks: Sequence[TranscribeTask], report: Callable[[str], None]
) -> list[TranscribeTask]:
    """Return the tasks whose file does not exist yet.

    Raises:
        ValueError: The output is stdout.
    """
    if any(task.target is None for task in tasks):
        raise ValueError("--skip-existing looks into a folder: give -o DIR")
    missing = [task for task in tasks if task.target and not task.target.exists()]
    if len(missing) < len(tasks):
        report(f"Skipping {count_recordings(len(tasks) - len(missing))}: transcribed already.")
    return missing


def _make_parser(arguments: argparse.Namespace) -> "VoxtralTranscriptionParser":
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _SETTINGS}
    settings = {name: value for name, value in options.items() if value is not None}
    settings |= server_settings(arguments)
    if settings.get("base_url") == LOCAL_BASE_URL:
        check_speech_support()
        preload_engine(**_engine_models(arguments))
    if arguments.translate:
        settings["task"] = "translate"
    if arguments.quiet:
        settings["progress"] = False
    from langchain_voxtral.document_loaders import (  # noqa: PLC0415 - takes a second
        VoxtralTranscriptionParser,
    )

    return VoxtralTranscriptionParser(mode=_MODES[arguments.format], **settings)


def _engine_models(arguments: argparse.Namespace) -> dict[str, bool]:
    """Return which models the embedded engine needs: its language model is asked in chats only."""
    return {"text": arguments.endpoint == "chat", "speech": True}


def _make_jobs(
    parser: "VoxtralTranscriptionParser",
    tasks: Sequence[TranscribeTask],
    summary: RunSummary,
    stack: ExitStack,
) -> "list[tuple[TranscribeTask, TranscriptionJob]]":
    """Return jobs for the recordings, without those that can never be opened."""
    # These take a second.
    from langchain_voxtral.transcription.pipeline import TranscriptionJob  # noqa: PLC0415
    from langchain_voxtral.transcription_client import TranscriptionClient  # noqa: PLC0415

    client = TranscriptionClient(parser)
    no_timestamps: NoTimestamps = set()
    jobs = []
    for task in tasks:
        try:
            source = stack.enter_context(open_recording(task))
        except VoxtralError as error:
            summary.add_failure()
            print_error(_named(task.name, error))
        else:
            jobs.append((task, TranscriptionJob(source, {}, parser, client, no_timestamps)))
    return jobs


def _check_cost(
    parser: "VoxtralTranscriptionParser", jobs: "Sequence[TranscriptionJob]", limit: float
) -> None:
    """Check that all recordings together cost no more than the limit.

    Raises:
        ValueError: They cost more, or the price is not known.
    """
    from langchain_voxtral.audio.pricing import Estimate  # noqa: PLC0415 - as needed

    total = Estimate(0.0, 0, 0, 0.0)
    for job in jobs:
        with suppress(VoxtralAudioError):  # it costs nothing, and is reported in its turn
            job.open()
            total += job.estimate()
    if total.dollars is None:
        raise ValueError(
            f"--max-cost cannot be checked: the price of {parser.model} at {parser.base_url} is "
            "not known"
        )
    if total.dollars > limit:
        raise ValueError(
            f"{total.duration:.1f} s of audio would cost about ${total.dollars:.6f}, more than "
            f"--max-cost {limit:g}; nothing was sent"
        )


def _transcribe(
    task: TranscribeTask, job: "TranscriptionJob", output_format: str, summary: RunSummary
) -> "Mapping[str, Any] | None":
    """Transcribe a recording; return the metadata of its document, or None if that failed.

    Raises:
        VoxtralError: Any other recording would fail with it, too.
        ValueError: The text cannot be written, and others could probably not either.
    """
    try:
        plain, document, segments = _results(job)
    except PERMANENT_ERRORS:
        summary.add_failure()
        raise
    except (VoxtralError, ValueError) as error:
        summary.add_failure()
        print_error(_named(task.name, error))
        return None
    summary.add(document.metadata)
    text = document.page_content
    if output_format == "json":
        text = json_line(plain, document, segments)
    write_text(text if text.endswith("\n") else text + "\n", task.target)
    return document.metadata


def _results(job: "TranscriptionJob") -> "tuple[str, Document, list[Document]]":
    """Return the text of a recording, its document, and those of its segments."""
    job.open()
    whole = job.document_builder(job.settings.mode)
    by_segment = job.document_builder("segment")
    texts: list[str] = []
    segments: list[Document] = []
    with closing(job.results()) as results:
        for result in results:
            texts.append(result.text)
            whole.add(result)
            segments += by_segment.add(result)
    [document] = whole.finish()
    return " ".join(filter(None, texts)), document, segments


def _named(name: str, error: Exception) -> str:
    """Return an error's message, preceded by the recording's name unless it starts with it."""
    message = one_line_message(error)
    return message if message.startswith(name) else f"{name}: {message}"
