"""The HTTP API of the embedded server."""
