"""URLs of servers: what may be one, and to whom it leads."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

LOCAL_BASE_URL = "local"
"""The `base_url` that selects the embedded engine."""

_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[1-9][0-9]{0,4}(/[\w./-]*)?", re.ASCII)


@lru_cache(maxsize=64)
def parse_base_url(value: str, example: str) -> str:
    """Return a base URL without what users paste along: white space, a last slash.

    Args:
        value: The URL.
        example: One as it should be, for the error.

    Raises:
        ValueError: It is no http(s) URL, or carries a password.
    """
    url = value.strip()
    if url == LOCAL_BASE_URL:
        return url
    advice = f"give one like {example!r}, or 'local' for the embedded engine"
    # Python's parser drops line breaks and takes a backslash for part of the host; others do not.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"a URL has no white space or backslash in it; {advice}")
    try:
        parts = urlsplit(url)
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"this is no URL ({error}); {advice}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_port_valid:
        if _HOST_AND_PORT.fullmatch(url):
            scheme = "http" if is_loopback(f"http://{url}") else "https"
            advice = f"did you mean '{scheme}://{url}'?"
        raise ValueError(f"this is no http:// or https:// URL; {advice}")
    if parts.username or parts.password:
        raise ValueError("a password in the URL would show in logs; give it as api_key=")
    if "?" in url or "#" in url:
        raise ValueError(f"a base URL ends before '?' and '#'; {advice}")
    return url.rstrip("/")


def is_plain_http(base_url: str) -> bool:
    """Return whether requests to this address can be read on their way."""
    return urlsplit(base_url).scheme == "http" and not is_loopback(base_url)


@lru_cache(maxsize=64)
def is_loopback(base_url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def is_in_domain(base_url: str, domain: str | None) -> bool:
    """Return whether an address is in a domain, and is reached over https."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    is_own = domain is not None and (host == domain or host.endswith("." + domain))
    return is_own and parts.scheme == "https"
