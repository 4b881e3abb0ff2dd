"""Options of the subcommands that choose the server."""

import argparse
import os

from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.wording import in_flags
from langchain_voxtral.providers import (
    DEEPINFRA_KEY_VARIABLES,
    LOCAL_BASE_URL,
    PROVIDERS,
    ProviderName,
    default_base_url,
    normalize_base_url,
)
from langchain_voxtral.providers.addresses import BASE_URL_VARIABLE


def add_server_options(command: argparse.ArgumentParser) -> None:
    """Add the options that choose the server."""
    command.add_argument(
        "--base-url", metavar="URL", help="the server; 'local' is the embedded engine"
    )
    command.add_argument(
        "--server", choices=PROVIDERS, help="what kind of server that is (default: deepinfra)"
    )


def server_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the server: the given one, or the embedded engine without a key.

    Raises:
        UsageError: What is given is no address of such a server.
    """
    options = {"base_url": arguments.base_url, "server": arguments.server}
    given: dict[str, str] = {name: value for name, value in options.items() if value is not None}
    has_key = any(os.environ.get(key, "").strip() for key in DEEPINFRA_KEY_VARIABLES)
    if not (given or has_key or BASE_URL_VARIABLE in os.environ):
        return {"base_url": LOCAL_BASE_URL}
    server: ProviderName = arguments.server or "deepinfra"
    try:
        if arguments.base_url is not None:
            base_url = normalize_base_url(arguments.base_url, server)
        else:
            base_url = default_base_url(server)
    except ValueError as error:
        flag = "--base-url: " if arguments.base_url is not None else ""
        raise UsageError(flag + in_flags(str(error))) from None
    return given | {"base_url": base_url}
