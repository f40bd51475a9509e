"""A real nginx of a test's own, in front of a server of the test's own."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIG = """
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path a; proxy_temp_path b;
  fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass {upstream}; {settings} }}
  }}
}}
"""


@asynccontextmanager
async def nginx_before(
    upstream: str, folder: Path, settings: str = "", connections: int = 64
) -> AsyncIterator[str]:
    """Run nginx with its own settings, apart from those that are given; yield its address."""
    port = free_port()
    config = CONFIG.format(port=port, upstream=upstream, settings=settings, connections=connections)
    folder.joinpath("nginx.conf").write_text(config)
    command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    try:
        while True:
            assert process.returncode is None, await process.communicate()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()
