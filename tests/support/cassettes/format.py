"""The file format of cassettes: readable YAML without secrets.

A body is stored under one of four names: `json` (parsed), `form` (the fields of a multipart form),
`text` (UTF-8, such as an event stream) or `base64`. Recordings in requests are stored as length and
hash (`audio.py`). Only headers of an allow-list are written, so that a cookie, a key or the name of
an account is left out under any header.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import yaml
from support.cassettes.audio import FORM, boundary_of, form_in, without_sound

REQUEST_HEADERS = frozenset({"accept", "content-type"})
RESPONSE_HEADERS = frozenset(
    {"content-type", "retry-after", "retry-after-ms", "x-request-id", "x-voxtral-model"}
)
SECRET_HEADERS = frozenset({"authorization", "xi-api-key", "x-api-key", "proxy-authorization"})
"""Headers whose values are removed from everything that is written."""

_SHORTEST_SECRET = 8
"""The least length of a cookie that is removed from bodies; `seen=1` would match too much."""
REDACTED = "[redacted]"
_LOOPBACK = "127.0.0.1"


class CassetteFormat:
    """A serializer for vcrpy.

    Args:
        source: Where the exchanges come from; written at the top of the cassette.
    """

    def __init__(self, source: str = "") -> None:
        self._source = source

    def serialize(self, cassette: Mapping[str, Any]) -> str:
        """Return the cassette as YAML, without anything secret.

        Raises:
            ValueError: A body is compressed, or a secret would be written.
        """
        interactions = cassette["interactions"]
        secrets = sorted(_secrets(interactions), key=len, reverse=True)
        document = {
            "source": self._source,
            "version": cassette["version"],
            "interactions": [
                {
                    "request": _written_request(interaction["request"], secrets),
                    "response": _written_response(interaction["response"], secrets),
                }
                for interaction in interactions
            ],
        }
        text = yaml.dump(
            document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000
        )
        if any(secret in text for secret in secrets):
            raise ValueError("A secret of the recorded requests would be written; nothing was.")
        return text

    def deserialize(self, text: str) -> dict[str, Any]:
        """Return a cassette as vcrpy represents it."""
        document = yaml.safe_load(text)
        interactions = [
            {
                "request": {
                    "method": interaction["request"]["method"],
                    "uri": interaction["request"]["uri"],
                    "headers": interaction["request"]["headers"],
                    "body": read_body(interaction["request"]),
                },
                "response": {
                    "status": interaction["response"]["status"],
                    "headers": interaction["response"]["headers"],
                    "body": {"string": read_body(interaction["response"])},
                },
            }
            for interaction in document["interactions"]
        ]
        return {"version": document["version"], "interactions": interactions}


def written_body(body: bytes) -> dict[str, Any]:
    """Return a body under the name of its format; nothing if it is empty."""
    if not body:
        return {}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
    try:
        value = json.loads(text, parse_constant=_no_json)
        json_bytes(value)
    except (ValueError, RecursionError):  # also half a surrogate pair, which YAML cannot hold
        return {"text": text}
    return {"json": value} if isinstance(value, dict | list) else {"text": text}


def read_body(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a request's or a response's body."""
    for name in ("json", "form"):
        if name in message:
            return json_bytes(message[name])
    if "base64" in message:
        return base64.b64decode(message["base64"])
    return str(message.get("text", "")).encode()


def json_bytes(value: object) -> bytes:
    """Return JSON in UTF-8, keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _written_request(request: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    written = {
        "method": request["method"],
        "uri": _portless(request["uri"]),
        "headers": _kept(request["headers"], REQUEST_HEADERS),
    }
    written |= _written_sound(request, secrets)
    return {name: _scrubbed(value, secrets) for name, value in written.items()}


def _written_sound(request: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Return the body of a request without recordings, and the type of a form."""
    types = _kept(request["headers"], frozenset({"content-type"})).get("content-type", [""])
    boundary = boundary_of(types[0])
    if boundary is not None:
        # Secrets in its fields are replaced when they are text again.
        headers = _kept(request["headers"], REQUEST_HEADERS) | {"content-type": [FORM]}
        return {"headers": headers, "form": form_in(_clean(request["body"], ()), boundary)}
    written = written_body(_clean(request["body"], secrets))
    return {name: without_sound(value) for name, value in written.items()}


def _written_response(response: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    if any(name.lower() == "content-encoding" for name in response["headers"]):
        raise ValueError("A recorded body is compressed; record with a smaller Accept-Encoding.")
    written = {
        "status": response["status"],
        "headers": _kept(response["headers"], RESPONSE_HEADERS),
    }
    written |= written_body(_clean(response["body"]["string"], secrets))
    return {name: _scrubbed(value, secrets) for name, value in written.items()}


def _kept(headers: Mapping[str, list[str]], names: frozenset[str]) -> dict[str, list[str]]:
    return {name.lower(): values for name, values in headers.items() if name.lower() in names}


def _portless(uri: str) -> str:
    """Return a loopback URI without its port, which differs in every run."""
    parts = urlsplit(uri)
    return parts._replace(netloc=_LOOPBACK).geturl() if parts.hostname == _LOOPBACK else uri


def _secrets(interactions: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the keys of the requests and the cookies of both sides."""
    found: set[str] = set()
    for interaction in interactions:
        for message in (interaction["request"], interaction["response"]):
            for name, values in message["headers"].items():
                for value in values:
                    found.update(_secret_parts(name.lower(), value))
    return found


def _secret_parts(name: str, value: str) -> Iterator[str]:
    if name in SECRET_HEADERS:
        # `Bearer KEY`: the key is what may come back in a body.
        yield from value.split()[-1:]
    elif name in {"cookie", "set-cookie"}:
        values = (morsel.value for morsel in SimpleCookie(value).values())
        yield from (value for value in values if len(value) >= _SHORTEST_SECRET)


def _clean(body: bytes | str | None, secrets: Iterable[str]) -> bytes:
    cleaned = body.encode() if isinstance(body, str) else body or b""
    for secret in secrets:
        cleaned = cleaned.replace(secret.encode(), REDACTED.encode())
    return cleaned


def _scrubbed(value: Any, secrets: Iterable[str]) -> Any:
    """Return a value with every secret in its strings replaced, after JSON unescaping."""
    if isinstance(value, dict):
        return {_scrubbed(key, secrets): _scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
    return value


_OTHER_LINE_BREAKS = frozenset("\x85\u2028\u2029")
"""To YAML 1.1 these end a line too: unescaped, they would be read as another character."""


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    escaped = not _OTHER_LINE_BREAKS.isdisjoint(text)
    style = '"' if escaped else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
