"""Multipart forms as they are sent, and as servers parse them."""

from io import BytesIO

import httpx
from python_multipart.multipart import File, parse_form

from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.transport import ClientPool, ClientSettings, HTTPRequest, post

Parts = list[tuple[str, str | None, str | None, bytes]]
"""Name, file name, MIME type and content of each part."""


def encode_multipart(form: FormData) -> tuple[bytes, str]:
    """Return the body that a form is sent as, and its content type."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer), verify=False) as client:  # noqa: S501
        clients = ClientPool(ClientSettings(http_client=client))
        post(clients, HTTPRequest("http://h/", form, {"content-type": "application/json"}))
    [request] = sent
    return request.content, request.headers["content-type"]


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
