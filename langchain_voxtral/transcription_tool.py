"""Transcription as a tool for agents: `transcribe_audio_tool`."""

from collections.abc import Sequence
from functools import cache
from os import PathLike
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.transcribers import check_text_output, joined
from langchain_voxtral.transcription.documents import has_no_speech
from langchain_voxtral.transport import is_in_event_loop, to_thread

__all__ = ["transcribe_audio_tool"]

_MAX_NAMES = 30
_NO_SPEECH = "No speech was found in this recording."
"""The tool's answer instead of an empty text, which models take for a failure or fill in."""


def transcribe_audio_tool(
    parser: VoxtralTranscriptionParser, *, root: str | PathLike[str], name: str = "transcribe_audio"
) -> BaseTool:
    """Return a tool that transcribes recordings of one folder for an agent.

    The model gives a path within the folder. A path that leads out of it (`..`, an absolute path,
    a symbolic link) is rejected, and no message tells the model where the folder is. Errors that
    the model can correct (a wrong path, a file that is no recording) are the tool's answer, with
    the names of the files; all other errors are raised. Where there is no speech, the answer says
    so. Upper and lower case are ignored if only one file matches.

    In traces the requests are runs below the tool's, with their cost (see
    `VoxtralTranscriptionParser`). They are no messages of a graph's stream.

    Args:
        parser: The parser that transcribes.
        root: The folder. The model may have any file in and below it transcribed.
        name: The tool's name.

    Raises:
        VoxtralInvalidRequestError: The parser puts failures, speakers or times into metadata, or
            the folder does not exist. In an event loop, which a disk would block, the folder is
            looked at by the first call.

    Example:
        ```python
        from langchain_voxtral import VoxtralTranscriptionParser, transcribe_audio_tool

        parser = VoxtralTranscriptionParser(base_url="local")
        tool = transcribe_audio_tool(parser, root=".")
        print(tool.invoke({"path": "talk.mp3"}))
        ```
    """
    check_text_output(parser, "a parser without it")

    @cache
    def folder() -> Path:
        resolved = Path(root).resolve()
        if not resolved.is_dir():
            raise VoxtralInvalidRequestError(f"root={str(root)!r} is no folder.")
        return resolved

    if not is_in_event_loop():
        folder()

    def blob_at(path: str) -> Blob:
        return Blob(path=_within(folder(), path), metadata={"source": path})

    def transcribe_audio(path: str) -> str:
        try:
            return _answer(parser.parse(blob_at(path)))
        except VoxtralAudioError as error:
            raise ToolException(str(error)) from error

    async def atranscribe_audio(path: str) -> str:
        try:
            blob = await to_thread(blob_at, path)  # it reads the folder
            return _answer(await parser.aparse(blob))
        except VoxtralAudioError as error:
            raise ToolException(str(error)) from error

    form = "translated into English" if parser.task == "translate" else "word for word"
    return StructuredTool.from_function(
        transcribe_audio,
        atranscribe_audio,
        name=name,
        description=(
            f"Return what is said in an audio recording, {form}. "
            "path: the recording's file, relative to the folder of recordings."
        ),
        handle_tool_error=True,
    )


def _answer(documents: Sequence[Document]) -> str:
    return _NO_SPEECH if has_no_speech(documents) else joined(documents)


def _within(folder: Path, path: str) -> Path:
    """Return the path of a file in the folder.

    Raises:
        ToolException: There is no such file, or it lies outside.
    """
    problem = "there is no such file"
    try:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder):
            problem = "it is outside the folder of recordings"
        elif found.is_file():
            return found
        elif matches := [each for each in found.parent.iterdir() if _matches(each, found)]:
            if len(matches) == 1 and (only := matches[0].resolve()).is_relative_to(folder):
                return only
        elif found.is_dir():
            problem = f"it is a folder, of {_names_in(found)}"
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
        pass
    raise ToolException(
        f"{path!r} cannot be transcribed: {problem}. The folder of recordings has "
        f"{_names_in(folder)}."
    )


def _matches(file: Path, wanted: Path) -> bool:
    return file.name.casefold() == wanted.name.casefold() and file.is_file()


def _names_in(folder: Path) -> str:
    """Return some names in a folder; those of folders end with a slash."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries[:_MAX_NAMES]]
    more = len(entries) - len(names)
    return ", ".join(map(repr, names)) + (f" and {more} more" if more else "") or "nothing"
