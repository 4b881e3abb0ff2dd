"""Recordings in the requests of cassettes: length and hash instead of the bytes.

A form (multipart/form-data) becomes a mapping of its fields, without its boundary; so forms match
whatever their boundary, and a recording matches only itself. The `data` of `input_audio` parts in
JSON is treated alike.
"""

import base64
import binascii
import hashlib
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

FORM = "multipart/form-data"


def boundary_of(content_type: str) -> str | None:
    """Return the boundary in a Content-Type of a form; None if it is another, or has none."""
    head = Message()
    head["content-type"] = content_type
    return head.get_boundary() if head.get_content_type() == FORM else None


def form_in(body: bytes, boundary: str) -> dict[str, Any]:
    r"""Return a form's fields by name: text, the digest of a file, or a list of these.

    Args:
        body: The body as it is sent.
        boundary: The boundary of its parts.

    Raises:
        ValueError: The form is malformed, or a text in it is not UTF-8.

    Example:
        ```python
        from support.cassettes.audio import form_in

        body = b'--B\r\ncontent-disposition: form-data; name="task"\r\n\r\ntranscribe\r\n--B--\r\n'
        assert form_in(body, "B") == {"task": "transcribe"}
        ```
    """
    mark = f"--{boundary}".encode()
    first, last = mark + b"\r\n", b"\r\n" + mark + b"--\r\n"
    if not (body.startswith(first) and body.endswith(last)):
        raise ValueError(f"A form should begin and end with its boundary {boundary!r}.")
    form: dict[str, Any] = {}
    for part in body[len(first) : -len(last)].split(b"\r\n" + first):
        head, blank, content = part.partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head)
        name = headers.get_param("name", header="content-disposition")
        if not (blank and isinstance(name, str)):
            raise ValueError(f"A part of the form has no name: {head!r}.")
        value = _value(headers, content)
        form[name] = [*_values(form[name]), value] if name in form else value
    return form


def _value(headers: Message, content: bytes) -> str | dict[str, Any]:
    file_name = headers.get_filename()
    if file_name is None:
        return content.decode()
    return {"name": file_name, "type": headers.get_content_type(), **digest_of(content)}


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def digest_of(sound: bytes) -> dict[str, Any]:
    """Return length and hash of a recording."""
    return {"bytes": len(sound), "sha256": hashlib.sha256(sound).hexdigest()}


def without_sound(value: Any) -> Any:
    """Return a JSON value with digests in place of recordings."""
    if isinstance(value, list):
        return [without_sound(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_data(item) if name == "input_audio" else without_sound(item)
        for name, item in value.items()
    }


def _without_data(part: Any) -> Any:
    """Return an `input_audio` part with a digest; data that is not base64 stays as it is."""
    if not (isinstance(part, dict) and isinstance(part.get("data"), str)):
        return part
    try:
        return part | {"data": digest_of(base64.b64decode(part["data"], validate=True))}
    except (binascii.Error, ValueError):
        return part
