"""One text field out of a GGUF file's header, without loading the model."""

import struct
from pathlib import Path
from typing import BinaryIO

from langchain_voxtral.errors import VoxtralLocalError

__all__ = ["read_text_field"]

# The value types of the GGUF specification (ggml-org/ggml, docs/gguf.md): number -> bytes.
_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def read_text_field(path: Path, key: str) -> str | None:
    """Return a string of the file's metadata, or None if it has none of that name.

    Args:
        path: A GGUF file, version 2 or later.
        key: The field's name, `tokenizer.ggml.pre` for one.

    Raises:
        VoxtralLocalError: The file cannot be read, or is not GGUF.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise VoxtralLocalError(f"{path} is not a GGUF file.")
            _, _, fields = _unpack(file, "<IQQ")
            for _ in range(fields):
                name = _string(file)
                (kind,) = _unpack(file, "<I")
                if name == key and kind == _STRING:
                    return _string(file)
                _skip(file, kind, 1)
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise VoxtralLocalError(f"{path} cannot be read as a GGUF file: {error}") from error
    return None


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _string(file: BinaryIO) -> str:
    (size,) = _unpack(file, "<Q")
    return file.read(size).decode()


def _skip(file: BinaryIO, kind: int, count: int) -> None:
    if kind == _ARRAY:
        for _ in range(count):
            inner, size = _unpack(file, "<IQ")
            _skip(file, inner, size)
    elif kind == _STRING:
        for _ in range(count):
            (size,) = _unpack(file, "<Q")
            file.seek(size, 1)
    else:
        file.seek(_FIXED[kind] * count, 1)
