"""Multipart forms as servers parse them."""

from io import BytesIO

from python_multipart.multipart import File, parse_form

Parts = list[tuple[str, str | None, str | None, bytes]]
"""Name, file name, MIME type and content of each part."""


def parse_multipart(body: bytes, content_type: str) -> Parts:
    """Parse a form with the parser of Starlette and FastAPI, and so of vLLM."""
    parts: Parts = []

    def take_file(file: File) -> None:
        file.file_object.seek(0)
        name, file_name = (file.field_name or b"").decode(), (file.file_name or b"").decode()
        parts.append((name, file_name, file.content_type, file.file_object.read()))

    parse_form(
        {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()},
        BytesIO(body),
        lambda field: parts.append(
            ((field.field_name or b"").decode(), None, None, field.value or b"")
        ),
        take_file,
    )
    return parts
