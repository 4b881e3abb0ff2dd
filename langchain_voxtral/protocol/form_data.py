"""Forms with a file, as speech endpoints take them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_voxtral.errors import VoxtralInvalidRequestError

_EDGE = 1 << 10
"""Bytes at each end of the file that a boundary is made of."""


@dataclass(frozen=True, slots=True)
class FormData:
    """A form with one file, sent as `multipart/form-data` (RFC 7578).

    Args:
        fields: Names and values; those of one name are sent together.
        file_field: The name of the file's field, which comes last.
        filename: The file's name; servers detect the format by its extension.
        mime_type: The file's type, such as `audio/wav`.
        file: The file's content; it is not copied.

    Raises:
        VoxtralInvalidRequestError: A value cannot be encoded in UTF-8.
    """

    fields: Sequence[tuple[str, str]]
    file_field: str
    filename: str
    mime_type: str
    file: bytes = field(repr=False)
    boundary: str = field(init=False, compare=False)
    """Made of the content, so that equal forms are equal bodies; it does not occur in them."""

    def __post_init__(self) -> None:
        file = self.file
        # Not of the whole file: hashing a recording takes longer than sending it.
        content_hash = hashlib.sha256(b"%d;%b%b" % (len(file), file[:_EDGE], file[-_EDGE:]))
        for name, value in self.fields:
            try:
                content_hash.update(f"{name}={value};".encode())
            except UnicodeEncodeError as error:
                raise VoxtralInvalidRequestError(
                    f"The form's field {name!r} has a lone surrogate, which UTF-8 cannot encode."
                ) from error
        while (boundary := content_hash.hexdigest()[:32]).encode() in file:
            content_hash.update(b";")
        object.__setattr__(self, "boundary", boundary)

    @property
    def content_type(self) -> str:
        """The value of the `content-type` header."""
        return f"multipart/form-data; boundary={self.boundary}"
