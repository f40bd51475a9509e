"""Certificates for one run: an authority, and the server's own."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

AUTHORITY: Final = "authority.pem"
CERTIFICATE: Final = "server.pem"


def available() -> bool:
    """Tell whether the package is there that makes them."""
    return find_spec("trustme") is not None


def make(folder: Path) -> None:
    """Write what the server shows, its key included, and whom clients must trust."""
    authority = import_module("trustme").CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / AUTHORITY)
    server.private_key_and_cert_chain_pem.write_to_path(folder / CERTIFICATE)
