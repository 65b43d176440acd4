"""Files up and down beside nginx, on the same disk in the same run: CPU seconds per GB, and MB/s.

nginx takes a PUT into a file (DAV) and sends it by sendfile; we take a form, hash it, and sync it to the disk before we
answer. Each round is one file up and down at one server and then at the other: what the disk does is shared by both.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rounds import FULL, Bench, Broken, Measured, Series
from bench.yardstick import cpu
from bench.yardstick.peer import DATA
from joyn.sms.outbox import read

SIZE = 100_000_000
BLOCK = os.urandom(1 << 20)
NUMBER = "+33639980001"
PAGE = 18484
"""The port where the browser signs in."""
FRONT = 18493
"""The port of the nginx that stands before us."""
DOWNLOADS = 5
"""Of each file: one costs some 20 ms, which is too little to be told from what goes on beside it."""
SETTLING = 0.5
"""Seconds after an upload in which a server ends what it had begun."""
STARTING = 20.0
"""Seconds a server may take until it listens."""
BOUNDARY = "----WebKitFormBoundaryjB7f0c3kQx2mTz9L"
"""As long as browsers write them: it is looked for in all that comes."""
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="tid"\r\n\r\n%d\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="File"; filename="a.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True, slots=True)
class Server:
    """One server: its process, its ports by scheme, and how a file goes to it."""

    pids: list[int]
    ports: dict[str, int]
    upload: Callable[[socket.socket, int], str]
    """Sends file number n, reads the answer, and says the path to fetch it at."""


def files(bench: Bench, _peer: str) -> Measured:
    """Rounds of one file up and down over HTTP and HTTPS at both servers. Raises Broken."""
    measured: Measured = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="files-", dir=_data())))
        ours = stack.enter_context(_joyn(place / "joyn"))
        theirs = stack.enter_context(_nginx(place / "nginx", place / "joyn" / "tls")) if shutil.which("nginx") else None
        if theirs:
            version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip()
            print(f"  {version}; one worker, PUT by DAV, sendfile, client_body_buffer_size as shipped", file=sys.stderr)
        front = stack.enter_context(_front(place / "front", place / "joyn", ours)) if theirs else None
        for number in range(bench.scale.rounds if bench.scale == FULL else 2):
            for scheme in ("http", "https"):
                costs = _round(ours, scheme, number)
                beside = _round(theirs, scheme, number) if theirs else {}
                for way, (seconds, speed) in costs.items():
                    name = f"{scheme} {way}"
                    _note(measured, name, "s/GB", seconds)
                    _note(measured, f"{name} speed", "MB/s", speed)
                    if beside:
                        _note(measured, f"{name} of nginx", "s/GB", beside[way][0])
                        _note(measured, f"{name} × nginx", "×", seconds / beside[way][0])
                if front and scheme == "https":
                    for way, (seconds, _) in _round(front, scheme, number).items():
                        _note(measured, f"https through nginx {way}", "s/GB", seconds)
                        _note(measured, f"https through nginx {way} × nginx", "×", seconds / beside[way][0])
        measured["memory"] = Series("KiB", [_peak(ours.pids[0])])
    return measured


def _note(measured: Measured, name: str, unit: str, value: float) -> None:
    measured.setdefault(name, Series(unit)).values.append(value)


def _data() -> Path:
    DATA.mkdir(parents=True, exist_ok=True)
    return DATA


def _round(server: Server, scheme: str, number: int) -> dict[str, tuple[float, float]]:
    """Seconds of CPU per GB and MB/s, up and down. What an upload still costs after its answer is counted with it."""
    begun = _now(server)
    with _connected(server, scheme) as connection:
        path = server.upload(connection, number)
    answered = _now(server)
    time.sleep(SETTLING)
    settled = _now(server)
    for _ in range(DOWNLOADS):
        with _connected(server, scheme) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            _read_file(connection)
    ended = _now(server)
    size = SIZE / 1e9
    return {
        "up": (cpu.delta(begun[0], settled[0]) / size, size * 1e3 / (answered[1] - begun[1])),
        "down": (
            cpu.delta(settled[0], ended[0]) / (DOWNLOADS * size),
            DOWNLOADS * size * 1e3 / (ended[1] - settled[1]),
        ),
    }


def _now(server: Server) -> tuple[tuple[float, float], float]:
    return cpu.cpu(server.pids), time.monotonic()


@contextmanager
def _connected(server: Server, scheme: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.ports[scheme])) as plain:
        if scheme == "http":
            yield plain
            return
        # Whose certificate it is is not what is measured.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as secure:
            yield secure


def _send_file(connection: socket.socket, number: int) -> None:
    """A file that no other one is: equal ones would be kept once."""
    connection.sendall(number.to_bytes(8, "big") + time.monotonic_ns().to_bytes(8, "big") + BLOCK[16:])
    left = SIZE - len(BLOCK)
    while left:
        connection.sendall(BLOCK[:left])
        left -= min(left, len(BLOCK))


def _read_file(connection: socket.socket) -> None:
    buffer, got = bytearray(1 << 20), 0
    while count := connection.recv_into(buffer):
        got += count
    if got < SIZE:
        raise Broken(f"{got} bytes of {SIZE} came: {bytes(buffer[:100])!r}")


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    if not re.match(rb"HTTP/1\.1 20[0-4] ", answer):
        raise Broken(f"an upload was answered {answer[:200]!r}")
    return answer


@contextmanager
def _joyn(place: Path) -> Iterator[Server]:
    ports = {"http": 18481, "https": 18482}
    command = [sys.executable, "-m", "joyn"]
    subprocess.run([*command, "init", str(place)], check=True, stdout=subprocess.DEVNULL)
    listeners = "".join(
        f'[[files.listeners]]\nname = "{scheme}"\ntransport = "{scheme}"\nport = {port}\n'
        'certificate = "tls/server.pem"\nkey = "tls/server-key.pem"\n'
        for scheme, port in ports.items()
    )
    (place / "joyn.toml").write_text(
        '[[sip.listeners]]\nname = "tcp"\ntransport = "tcp"\nport = 18483\n[msrp]\nlisteners = []\n'
        '[http]\ntrusted_proxies = ["127.0.0.2/32"]\n'
        f"[[http.listeners]]\nport = {PAGE}\n"
        f'[files]\naccel = "/joyn-blobs/"\nurl = "https://127.0.0.1:{FRONT}"\n'
        f'quota = "999GiB"\ntotal = "999GiB"\n{listeners}'
    )
    subprocess.run([*command, "subscriber", "add", NUMBER], check=True, cwd=place, stdout=subprocess.DEVNULL)
    with _running([*command, "run"], place, {**ports, "page": PAGE}) as pid:
        leave = ticket(place)

        def upload(connection: socket.socket, number: int) -> str:
            head = FORM % number
            length = len(head) + SIZE + len(END)
            connection.sendall(request(leave, length) + head)
            _send_file(connection, number)
            connection.sendall(END)
            found = re.search(rb'url="https?://[^/]+(/file/[^"]+)"', _answer(connection))
            assert found is not None
            return found[1].decode()

        yield Server([pid], ports, upload)


def request(leave: str, length: int) -> bytes:
    """The head of an upload whose form has so many bytes."""
    return (
        f"POST /content HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {leave}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


def ticket(place: Path) -> str:
    """Signs a browser in, and asks for its leave to send files."""
    site = f"http://127.0.0.1:{PAGE}"
    jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def ask(path: str, said: dict[str, str] | None = None) -> dict[str, Any]:
        body = None if said is None else json.dumps(said).encode()
        with jar.open(urllib.request.Request(site + path, body, {"Content-Type": "application/json"})) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    ask("/api/sign-in", {"number": NUMBER})
    (text,) = read(place / "data" / "sms-outbox.jsonl")
    ask("/api/sign-in/code", {"code": text.text.split()[0]})
    return str(ask("/api/files")["ticket"])


@contextmanager
def _front(place: Path, node: Path, ours: Server) -> Iterator[Server]:
    """nginx before us, as docs/howto/front-proxy.md sets it up: its CPU and ours together are the cost."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    tls = node.resolve() / "tls"
    text = importlib.import_module("interop.front_proxy").configuration(
        place,
        FRONT,
        ours.ports["http"],
        tls / "server.pem",
        tls / "server-key.pem",
        node.resolve() / "data/files/blobs",
    )
    # Who comes to us directly, from 127.0.0.1, is no proxy.
    text = text.replace("proxy_pass ", "proxy_bind 127.0.0.2; proxy_pass ")
    place.mkdir()
    (place / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]
    ports = {"https": FRONT}
    with _running([*command, "-g", "daemon off;"], place, ports) as pid:
        yield Server([pid, *ours.pids], ports, ours.upload)


@contextmanager
def _nginx(place: Path, tls: Path) -> Iterator[Server]:
    ports = {"http": 18491, "https": 18492}
    (place / "www").mkdir(parents=True)
    (place / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log warn;\n"
        f"{'user root;' if os.geteuid() == 0 else ''} events {{ worker_connections 64; }}\n"
        "http { sendfile on; tcp_nopush on; access_log off; client_max_body_size 1g;\n"
        f"client_body_temp_path {place}/tmp;\n"
        f"server {{ listen 127.0.0.1:{ports['http']}; listen 127.0.0.1:{ports['https']} ssl;\n"
        f"ssl_certificate {tls.resolve()}/server.pem; ssl_certificate_key {tls.resolve()}/server-key.pem;\n"
        f"root {place}/www; dav_methods PUT; }} }}\n"
    )
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]
    with _running(command, place, ports) as pid:

        def upload(connection: socket.socket, number: int) -> str:
            connection.sendall(
                f"PUT /f{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {SIZE}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            _send_file(connection, number)
            _answer(connection)
            return f"/f{number}"

        yield Server([pid], ports, upload)


@contextmanager
def _running(command: list[str], place: Path, ports: dict[str, int]) -> Iterator[int]:
    """The pid of a server that listens. Raises Broken."""
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + STARTING
        for port in ports.values():
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Broken(f"{command[0]} does not listen: {(place / 'server.log').read_text()[-300:]}")
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(STARTING)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _peak(pid: int) -> float:
    """KiB that the process ever had in memory."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return float(found[1])
