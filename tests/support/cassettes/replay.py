"""Record and replay cassettes with vcrpy.

During replay no socket can be opened, a request must equal the recorded one in every field of its
body, and every recorded exchange must be requested.
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest_socket
import vcr
from support.cassettes.audio import FORM, boundary_of, form_in, without_sound
from support.cassettes.format import CassetteFormat
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.serialize import deserialize, serialize

CASSETTES = Path(__file__).parents[3] / "cassettes"

MATCH_ON = ("method", "path", "query", "whole_body")
"""Without the host: the embedded engine has another port in every run."""


@contextmanager
def replay(path: Path) -> Iterator[Any]:
    """Answer requests from a cassette only.

    Args:
        path: The cassette's file.

    Raises:
        FileNotFoundError: There is no such cassette.
        vcr.errors.CannotOverwriteExistingCassetteException: A request is not in it, or was made
            more often than it was recorded.
        AssertionError: An exchange in it was not requested.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; cassettes/README.md says how it is made.")
    player = _recorder(CassetteFormat())
    with no_sockets(), player.use_cassette(path, record_mode=RecordMode.NONE) as cassette:
        yield cassette
    require_all_played(cassette)


def require_all_played(cassette: Any) -> None:
    """Check that every exchange of a cassette was requested.

    Raises:
        AssertionError: One was not; the message names it.
    """
    unplayed = [
        f"{number + 1}. {request.method} {request.uri}"
        for number, request in enumerate(cassette.requests)
        if not cassette.play_counts.get(number)
    ]
    if unplayed:
        raise AssertionError("Exchanges that were not requested: " + "; ".join(unplayed))


@contextmanager
def record(path: Path, source: str) -> Iterator[Any]:
    """Send requests to the server and write the exchanges, replacing an older cassette.

    Nothing is written when the block fails, or when only ids and times differ.

    Args:
        path: The cassette's file.
        source: Where the exchanges come from.
    """
    recorder = _recorder(CassetteFormat(source))
    with recorder.use_cassette(
        path,
        record_mode=RecordMode.ALL,
        drop_unused_requests=True,
        record_on_exception=False,
    ) as cassette:
        yield cassette


@contextmanager
def no_sockets() -> Iterator[None]:
    """Forbid sockets and name look-ups, loopback included.

    Sockets of the Unix family stay allowed: an event loop wakes itself through a pair of them.
    """
    before = {name: getattr(socket, name) for name in ("socket", "getaddrinfo", "gethostbyname")}
    pytest_socket.disable_socket(allow_unix_socket=True)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(socket, name, value)


def _recorder(cassette_format: CassetteFormat) -> Any:
    recorder = vcr.VCR(match_on=MATCH_ON, serializer="readable", decode_compressed_response=True)
    recorder.register_serializer("readable", cassette_format)
    recorder.register_matcher("whole_body", whole_body)
    recorder.register_persister(_Utf8Files)
    return recorder


def whole_body(sent: Any, recorded: Any) -> None:
    """Compare the bodies and media types of two requests.

    JSON is compared by value and type (1, 1.0 and true are three values), forms by their fields,
    recordings by name, type and hash.

    Raises:
        AssertionError: They differ; vcrpy shows both.
    """
    one, other = _canonical(sent), _canonical(recorded)
    if FORM in one and FORM in other:
        one[FORM] = _as_far_as_known(one[FORM], other[FORM])
    sent_text, expected = (
        json.dumps(body, ensure_ascii=False, sort_keys=True) for body in (one, other)
    )
    if sent_text != expected:
        raise AssertionError(f"sent: {sent_text}\nrecorded: {expected}")


def _canonical(request: Any) -> dict[str, Any]:
    """Return a body under its media type, as it would be written."""
    content_type = request.headers.get("content-type", "")
    boundary = boundary_of(content_type)
    if boundary is not None:
        return {FORM: form_in(request.body, boundary)}
    text = (request.body or b"").decode(errors="backslashreplace")
    media_type = content_type.partition(";")[0]
    try:
        return {media_type: without_sound(json.loads(text))}
    except ValueError:
        return {f"{media_type}, no JSON": text}


def _as_far_as_known(sent: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a sent form with {} for every file that the recorded one leaves open.

    Documented requests do: their page does not print the file.
    """
    return {
        name: {} if recorded.get(name) == {} and isinstance(value, dict) else value
        for name, value in sent.items()
    }


_VARIABLE = re.compile(r'^source: .*|"?(?:runtime_ms|created)"?: ?\d+')
"""What differs between two recordings of one scenario, besides ids."""


def _without_variable_parts(text: str) -> str:
    """Return a cassette without the parts that differ in every recording."""
    for request_id in re.findall(r"^ +x-request-id:\n +- (.+)$", text, re.MULTILINE):
        text = text.replace(request_id, "")
    return _VARIABLE.sub("", text)


class _Utf8Files:
    """Files in UTF-8; vcrpy would use the locale's encoding.

    A file stays as it is if only ids and times would change.
    """

    @staticmethod
    def load_cassette(path: str | Path, serializer: CassetteFormat) -> Any:
        if not Path(path).is_file():
            raise CassetteNotFoundError
        return deserialize(Path(path).read_text(encoding="utf-8"), serializer)

    @staticmethod
    def save_cassette(path: str | Path, cassette: Any, serializer: CassetteFormat) -> None:
        text = serialize(cassette, serializer)
        if Path(path).is_file() and _without_variable_parts(text) == _without_variable_parts(
            Path(path).read_text("utf-8")
        ):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8", newline="\n")
