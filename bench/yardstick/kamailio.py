"""Kamailio with PostgreSQL: proxy and registrar, msilo for stored messages, msrp as an RFC 4976 relay."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from .peer import DATA, Peer, fill, wait_port


class Postgres(Peer):
    """a private PostgreSQL with distribution defaults, its CPU counted with the server"""

    pgport = 5499
    as_root = True

    def pg_start(self) -> None:
        psql = shutil.which("psql")
        assert psql is not None
        bindir = sorted((Path(psql).parent.parent / "lib/postgresql").glob("*/bin"))[-1]
        d = DATA / "pg"
        if not (d / "PG_VERSION").exists():
            d.mkdir(parents=True, exist_ok=True)
            shutil.chown(d, "postgres", "postgres")
            subprocess.run(
                [bindir / "initdb", "-D", d, "-A", "trust", "-E", "UTF8", "--locale=C"],
                check=True,
                user="postgres",
                group="postgres",
                extra_groups=[],
                cwd=d,
                stdout=subprocess.DEVNULL,
            )
        command = [bindir / "postgres", "-D", d, "-p", self.pgport, "-k", d, "-c", "listen_addresses=127.0.0.1"]
        process = self.spawn(command, "postgres", cwd=d, stop_with=signal.SIGINT)
        wait_port(self.pgport, process)
        for _ in range(50):
            if self.sql("select 1", check=False).returncode == 0:
                break
            time.sleep(0.2)

    def sql(
        self, query: str | None, db: str = "postgres", stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(self.pgport), "-U", "postgres", "-qAt", "-d", db]
            + (["-c", query] if query else []),
            input=stdin,
            check=check,
            capture_output=True,
            text=True,
        )


class Kamailio(Postgres):
    name = "kamailio-udp"
    proto = "sip-udp"
    port = 5070
    needs = ("kamailio", "psql")
    tcp = False
    defines: tuple[str, ...] = ()
    children = 4
    conf = "kamailio.cfg"

    def start(self) -> None:
        self.pg_start()
        if "kamailio" not in self.sql("select datname from pg_database").stdout:
            self._create()
        self._fill()
        config = self.dir / "kamailio.cfg"
        fill(
            self.conf,
            config,
            PORT=self.port,
            DOMAIN=self.domain,
            CHILDREN=self.children,
            NOTCP="no" if self.tcp else "yes",
            DBURL=f"postgres://kamailio@127.0.0.1:{self.pgport}/kamailio",
        )
        defines = [word for name in (*self.defines, *(["WITH_TCP"] if self.tcp else [])) for word in ("-A", name)]
        memory = ["-m", "2048", "-M", "32"]
        folders = ["-Y", self.dir, "-w", self.dir, "-P", self.dir / "pid"]
        process = self.spawn(["kamailio", "-f", config, "-DD", *memory, *folders, *defines])
        time.sleep(3)
        if process.poll() is not None:
            raise RuntimeError("kamailio ended")

    def _create(self) -> None:
        self.sql("create role kamailio superuser login")
        self.sql("create database kamailio owner kamailio")
        kamailio = shutil.which("kamailio")
        assert kamailio is not None
        share = Path(kamailio).parent.parent / "share/kamailio/postgres"
        for table in "standard", "auth_db", "usrloc", "msilo":
            self.sql(None, "kamailio", (share / f"{table}-create.sql").read_text())

    def _fill(self) -> None:
        self.sql("truncate location, location_attrs, silo, subscriber", "kamailio")
        rows = "".join(f"u{i:06d}\t{self.domain}\tpw{i:06d}\n" for i in range(self.users))
        self.sql(None, "kamailio", "copy subscriber(username,domain,password) from stdin;\n" + rows + "\\.\n")
        self.sql("analyze", "kamailio")


class KamailioTcp(Kamailio):
    name = "kamailio-tcp"
    proto = "sip-tcp"
    tcp = True


class KamailioUdpAuth(Kamailio):
    name = "kamailio-udp-authmsg"
    defines = ("WITH_AUTHMSG",)
    lg = ("auth=1",)


class KamailioMsilo(Kamailio):
    name = "kamailio-msilo-udp"
    defines = ("WITH_MSILO",)


class KamailioMsiloTcp(KamailioTcp):
    name = "kamailio-msilo-tcp"
    defines = ("WITH_MSILO",)


class KamailioMsrp(KamailioTcp):
    name = "kamailio-msrp"
    proto = "msrp"
    port = 5071
    conf = "kamailio-msrp.cfg"
