"""Certificates that a test makes for itself."""

import shutil
import ssl
import subprocess

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")


def certify(folder, name: str):
    """Make a self-signed certificate for a host, with its key beside it."""
    path = folder / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext"
    files = ["-keyout", path.with_suffix(".key"), "-out", path]
    subprocess.run(
        [*command.split(), f"subjectAltName={name}", *files], check=True, capture_output=True
    )
    return path


def serving(certificate):
    """Return what a server needs to show it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context
