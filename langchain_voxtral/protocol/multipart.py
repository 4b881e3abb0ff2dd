"""Request bodies of type multipart/form-data (RFC 7578): fields of text and one file."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from langchain_voxtral.errors import VoxtralInvalidRequestError

_BOUNDARY = "voxtral-form-{:08d}"
_TAKEN = re.compile(rb"voxtral-form-(\d{8})")

_UNSAFE = {code: f"%{code:02X}" for code in (*range(0x20), 0x22, 0x5C, 0x7F)}
"""What could end a quoted name or its header, and how it is written instead: quotes and line
breaks as browsers write them (WHATWG HTML, "multipart/form-data encoding algorithm"), and in the
same way the backslash, which parsers take for an escape, and other control characters."""

_MIME_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
"""RFC 6838, section 4.2; parameters are not needed for audio."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a form.

    Args:
        field_name: The form's field that it stands in, such as `file`.
        name: The file's name; servers tell the format from its extension.
        mime_type: What it is, such as `audio/wav`.
        data: Its bytes.
    """

    field_name: str
    name: str
    mime_type: str
    data: bytes = field(repr=False)


def encode_multipart(fields: Iterable[tuple[str, str]], file: FilePart) -> tuple[bytes, str]:
    r"""Return a form as the body of a request, and the value of its Content-Type header.

    Equal forms make equal bodies: the boundary is not random but the first of a series that occurs
    nowhere in the form. The file's bytes are copied once. Names cannot add headers or parts.

    Args:
        fields: Names and texts, in order; a name may come more than once. Texts go out as they
            are, line breaks included, in UTF-8.
        file: The file, sent last.

    Raises:
        VoxtralInvalidRequestError: A name or a text is not Unicode (half a surrogate pair), or the
            file's MIME type is none.
    """
    parts, content_type = multipart_parts(fields, file)
    return b"".join(parts), content_type


def multipart_parts(
    fields: Iterable[tuple[str, str]], file: FilePart
) -> tuple[tuple[bytes, ...], str]:
    """Return what `encode_multipart` does, with the body in parts: the file's bytes are not copied.

    Args:
        fields: As for `encode_multipart`.
        file: The same.

    Raises:
        VoxtralInvalidRequestError: As for `encode_multipart`.
    """
    if not _MIME_TYPE.fullmatch(file.mime_type):
        raise VoxtralInvalidRequestError(
            f"The file {file.name!r} has the MIME type {file.mime_type!r}, which is none: give one "
            "like 'audio/wav'."
        )
    texts = [(_head(name), _utf8(value, f"The form's field {name!r}")) for name, value in fields]
    file_head = _head(file.field_name, file)
    boundary = _free_boundary([*texts, (file_head, file.data)])
    before = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, text) for head, text in texts]
    before.append(b"--%b\r\n%b\r\n\r\n" % (boundary, file_head))
    # Three parts, since each is written, and travels, on its own.
    parts = (b"".join(before), file.data, b"\r\n--%b--\r\n" % boundary)
    return parts, f"multipart/form-data; boundary={boundary.decode()}"


def _head(name: str, file: FilePart | None = None) -> bytes:
    """Return the headers of a part."""
    head = f'Content-Disposition: form-data; name="{name.translate(_UNSAFE)}"'
    if file is not None:
        head += f'; filename="{file.name.translate(_UNSAFE)}"\r\nContent-Type: {file.mime_type}'
    return _utf8(head, "A name in the form")


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as wrong:
        place = wrong.start
    raise VoxtralInvalidRequestError(
        f"{where} has half a surrogate pair at character {place}, which UTF-8 lacks."
    )


def _free_boundary(contents: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a boundary that occurs in none of the parts, after one look at each."""
    taken = {int(number) for part in contents for piece in part for number in _TAKEN.findall(piece)}
    return _BOUNDARY.format(next(number for number in count() if number not in taken)).encode()
