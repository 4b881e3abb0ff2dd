"""Who may ask: the name that a request gives for this server, and its key."""

import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from langchain_voxtral.local.api.addresses import name_in
from langchain_voxtral.local.errors import ErrorResponse

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["AccessControl"]

_NOT_AUTHENTICATED = {
    "error": {
        "message": "Not authenticated",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}
_GUARDED: Mapping[str, Mapping[str, object]] = {
    "/v1/inference/": {"detail": "User is not authorized to access this resource"},
    "/v1/openai/chat/": _NOT_AUTHENTICATED,
    "/v1/chat/": _NOT_AUTHENTICATED,
    "/v1/openai/audio/": _NOT_AUTHENTICATED,
    "/v1/audio/": _NOT_AUTHENTICATED,
}
"""What needs the key, and what is answered without it."""


class AccessControl:
    """What a request must have before anything of it is looked at.

    Args:
        api_key: The bearer that inference requests must carry; "" asks for none.
        hosts: Names that the Host header may have, whatever its port; None: any.
    """

    def __init__(self, api_key: str, hosts: Iterable[str] | None) -> None:
        self._authorization = f"Bearer {api_key}".encode() if api_key else b""
        self._hosts = None if hosts is None else frozenset(hosts)

    def refusal(self, scope: "Scope") -> ErrorResponse | None:
        """Return why a request is not let in: 400, its Host header; 401, its key."""
        headers = dict(scope["headers"])
        host = name_in(headers.get(b"host", b"").decode("latin-1"))
        if self._hosts is not None and host not in self._hosts:
            return ErrorResponse.with_message(400, f"Invalid Host header: {host!r}")
        given = headers.get(b"authorization", b"")
        if self._authorization and not secrets.compare_digest(given, self._authorization):
            # Routes are looked up without the root path, too.
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            for start, body in _GUARDED.items():
                if path.startswith(start):
                    return ErrorResponse(401, body)
        return None
