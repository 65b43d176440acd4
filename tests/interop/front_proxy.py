"""nginx before the content server, with the configuration that operators are given."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from waiting import until

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "joyn-files.conf"


def configuration(place: Path, port: int, backend: int, certificate: Path, key: Path, blobs: Path) -> str:
    """The template with what an operator would change, and nothing else."""
    text = TEMPLATE.read_text()
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    for said, here in (
        ("user joyn;", user),
        ("/run/joyn-files-nginx.pid", f"{place}/pid"),
        ("/var/log/nginx/joyn-files.log", f"{place}/error.log"),
        ("/var/cache/nginx/", f"{place}/"),
        ("127.0.0.1:8081", f"127.0.0.1:{backend}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/joyn/files.pem", str(certificate)),
        ("/etc/joyn/files-key.pem", str(key)),
        ("/var/lib/joyn/data/files/blobs/", f"{blobs}/"),
    ):
        assert said in text, said
        text = text.replace(said, here)
    return text


@asynccontextmanager
async def running_nginx(place: Path, text: str, port: int) -> AsyncIterator[None]:
    """nginx with this configuration, in the foreground, until the block ends."""
    path = place / "nginx.conf"
    path.write_text(text)
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert nginx is not None
    command = [nginx, "-p", str(place), "-c", str(path), "-e", str(place / "error.log"), "-g", "daemon off;"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await until(lambda: _listens(port) or process.returncode is not None)
        assert process.returncode is None, (place / "error.log").read_text()
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
