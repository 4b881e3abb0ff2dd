"""The command `langchain-voxtral transcribe`: recordings to text, subtitles or JSON."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.console import (
    Report,
    one_line_message,
    print_error,
    status_reporter,
)
from langchain_voxtral.cli.engine import announce_engine, check_speech_support, start_engine
from langchain_voxtral.cli.files import (
    TranscribeTask,
    check_readable,
    open_recording,
    plan_outputs,
    write_text,
)
from langchain_voxtral.cli.json_line import json_line
from langchain_voxtral.cli.server_options import server_settings
from langchain_voxtral.cli.summary import RunSummary, count_recordings, describe_result
from langchain_voxtral.cli.transcribe_options import add_transcribe_options
from langchain_voxtral.cli.unfinished import UnfinishedStore, open_unfinished
from langchain_voxtral.errors import PERMANENT_ERRORS, VoxtralAudioError, VoxtralError
from langchain_voxtral.providers import LOCAL_BASE_URL

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
_SUFFIXES: Mapping[str, str] = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}


def add_transcribe(transcribe: argparse.ArgumentParser) -> None:
    """Add the command's description, options and function."""
    add_transcribe_options(transcribe, formats=_MODES)
    transcribe.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Transcribe one recording after the other; return the exit status."""
    tasks = plan_outputs(arguments.files, arguments.output, _SUFFIXES[arguments.format])
    _check_formats(arguments, len(tasks))
    report = status_reporter(arguments)
    if arguments.skip_existing:
        tasks = _missing_tasks(tasks, report)
    if not tasks:
        return 0
    settings = server_settings(arguments)
    summary = RunSummary(len(tasks))
    tasks = _readable_tasks(tasks, summary)
    if tasks:
        _transcribe_all(arguments, settings, tasks, summary, report)
    else:
        report(summary.text())
    return 1 if summary.failed else 0


def _check_formats(arguments: argparse.Namespace, recordings: int) -> None:
    """Check that the format has what is asked for.

    Raises:
        UsageError: It has not.
    """
    if recordings > 1 and arguments.output is None and arguments.format in {"srt", "vtt"}:
        raise UsageError(f"several recordings make several {arguments.format} files: give -o DIR")
    if arguments.speakers and arguments.format == "text":
        raise UsageError("plain text names no speakers: give --format srt, vtt or json")
    if arguments.timestamps == "word" and arguments.format != "json":
        raise UsageError("only JSON has times of words: give --format json")


def _readable_tasks(tasks: Sequence[TranscribeTask], summary: RunSummary) -> list[TranscribeTask]:
    """Return the tasks whose file can be read, and report the others."""
    readable = []
    for task in tasks:
        if problem := check_readable(task):
            summary.add_failure()
            print_error(problem)
        else:
            readable.append(task)
    return readable


def _transcribe_all(
    arguments: argparse.Namespace,
    settings: dict[str, Any],
    tasks: Sequence[TranscribeTask],
    summary: RunSummary,
    report: Report,
) -> None:
    store = open_unfinished(arguments, report)
    # Not closed: after Ctrl-C a chunk on its way would be resent.
    parser = _make_parser(arguments, settings, store)
    with ExitStack() as stack:
        jobs = _make_jobs(parser, tasks, summary, stack)
        if not jobs:
            report(summary.text())
            return
        if parser.base_url == LOCAL_BASE_URL:
            # It says which model works before there is a bar, and fails only once.
            announce_engine(arguments, **_engine_models(arguments))
            start_engine(**_engine_models(arguments))
        else:
            report(f"Asking {parser.model} at {parser.base_url}.")
        if arguments.max_cost is not None:
            _check_cost(parser, store, [job for _, job in jobs], arguments.max_cost)
        has_titles = len(arguments.files) > 1 and arguments.format == "text"
        try:
            for task, job in jobs:
                metadata = _transcribe(
                    task, job, store, arguments.format, summary, has_title=has_titles
                )
                if metadata and (result := describe_result(metadata, task.target)):
                    report(f"{task.name}: {result}.")
        finally:  # after Ctrl-C too: it reports what was paid
            report(summary.text())


def _missing_tasks(tasks: Sequence[TranscribeTask], report: Report) -> list[TranscribeTask]:
    """Return the tasks whose file does not exist yet.

    Raises:
        UsageError: The output is stdout.
    """
    if any(task.target is None for task in tasks):
        raise UsageError("--skip-existing looks into a folder: give -o DIR")
    missing = [task for task in tasks if task.target and not task.target.exists()]
    if len(missing) < len(tasks):
        report(f"Skipping {count_recordings(len(tasks) - len(missing))}: transcribed already.")
    return missing


def _make_parser(
    arguments: argparse.Namespace, settings: dict[str, Any], store: UnfinishedStore | None
) -> "VoxtralTranscriptionParser":
    options: dict[str, Any] = {name: getattr(arguments, name) for name in _SETTINGS}
    settings |= {name: value for name, value in options.items() if value is not None}
    if settings["base_url"] == LOCAL_BASE_URL:
        check_speech_support(arguments)
    if arguments.translate:
        settings["task"] = "translate"
    if arguments.quiet:
        settings["progress"] = False
    from langchain_voxtral.document_loaders import (  # noqa: PLC0415 - takes a second
        VoxtralTranscriptionParser,
    )

    return VoxtralTranscriptionParser(mode=_MODES[arguments.format], store=store, **settings)


def _engine_models(arguments: argparse.Namespace) -> dict[str, bool]:
    """Return which models the embedded engine needs: its language model is asked in chats only."""
    return {"text": arguments.endpoint == "chat", "speech": True}


def _make_jobs(
    parser: "VoxtralTranscriptionParser",
    tasks: Sequence[TranscribeTask],
    summary: RunSummary,
    stack: ExitStack,
) -> "list[tuple[TranscribeTask, TranscriptionJob]]":
    """Return jobs for the recordings, without those that are none or can never be opened."""
    # These take a second.
    from langchain_voxtral.audio.decoder import known_format  # noqa: PLC0415
    from langchain_voxtral.transcription.pipeline import TranscriptionJob  # noqa: PLC0415
    from langchain_voxtral.transcription_client import TranscriptionClient  # noqa: PLC0415

    client = TranscriptionClient(parser)
    no_timestamps: NoTimestamps = set()
    jobs = []
    for task in tasks:
        try:
            source = stack.enter_context(open_recording(task))
            with source.open() as file:
                known_format(file)
        except VoxtralError as error:
            summary.add_failure()
            print_error(_named(task.name, error))
        else:
            jobs.append((task, TranscriptionJob(source, {}, parser, client, no_timestamps)))
    return jobs


def _check_cost(
    parser: "VoxtralTranscriptionParser",
    store: UnfinishedStore | None,
    jobs: "Sequence[TranscriptionJob]",
    limit: float,
) -> None:
    """Check that all recordings together cost no more than the limit.

    Raises:
        VoxtralInvalidRequestError: They cost more, or the price is not known.
    """
    from langchain_voxtral.audio.pricing import Estimate, check_cost  # noqa: PLC0415 - as needed

    total = Estimate(0.0, 0, 0, 0.0)
    # With a store recordings are decoded, to find out what is in it.
    has_store = store is not None and not store.is_empty
    settings = parser if has_store else parser.model_copy(update={"store": None})
    for job in [replace(job, settings=settings) for job in jobs]:
        with suppress(VoxtralAudioError):  # it costs nothing, and is reported in its turn
            job.open()
            total += job.estimate()
    check_cost(total, limit, count_recordings(len(jobs)))


def _transcribe(
    task: TranscribeTask,
    job: "TranscriptionJob",
    store: UnfinishedStore | None,
    output_format: str,
    summary: RunSummary,
    *,
    has_title: bool,
) -> "Mapping[str, Any] | None":
    """Transcribe a recording; return the metadata of its document, or None if that failed.

    Raises:
        VoxtralError: Any other recording would fail with it, too.
        ValueError: The text cannot be written, and others could probably not either.
    """
    if store is not None:
        store.begin_recording()
    try:
        plain, document, segments = _results(job)
    except PERMANENT_ERRORS:
        summary.add_failure()
        raise
    except (VoxtralError, ValueError) as error:
        summary.add_failure()
        print_error(_named(task.name, error))
        return None
    is_first = not summary.seconds
    summary.add(document.metadata)
    text = document.page_content
    if output_format == "json":
        text = json_line(plain, document, segments)
    title = task.title(is_first=is_first) if has_title else ""
    write_text(title + (text if text.endswith("\n") else text + "\n"), task.target)
    if store is not None:
        store.end_recording()
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
    message = one_line_message(error, [name])
    return message if message.startswith(name) else f"{name}: {message}"
