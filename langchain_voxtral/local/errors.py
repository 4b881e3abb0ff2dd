"""The error responses of the embedded engine's server."""

from collections.abc import Mapping
from typing import Self


class ErrorResponse(Exception):  # noqa: N818 - an HTTP response, not a failure of this package
    """An HTTP response other than 200, raised where the reason is found.

    Args:
        status: The HTTP status code.
        body: The JSON body, in one of DeepInfra's documented shapes.
        headers: Further response headers.
    """

    def __init__(
        self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})

    @classmethod
    def with_message(cls, status: int, message: str) -> Self:
        """Return an error response that holds one plain message."""
        return cls(status, {"error": {"message": message}})
