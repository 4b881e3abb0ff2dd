"""What can go wrong with the embedded engine, for its users and on its wire."""

from collections.abc import Mapping

__all__ = ["Refusal"]


class Refusal(Exception):  # noqa: N818 - an HTTP answer on its way out, no failure of ours
    """An HTTP answer other than 200, raised where the reason is found.

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
    def saying(cls, status: int, message: str) -> "Refusal":
        """Return a refusal in the shape that carries a plain message."""
        return cls(status, {"error": {"message": message}})
