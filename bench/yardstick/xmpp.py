"""The XMPP servers: ejabberd and Prosody."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from .kamailio import Postgres
from .peer import DATA, Peer, fill, wait_port


class Ejabberd(Postgres):
    name = "ejabberd"
    proto = "xmpp"
    port = 5222
    http = 5280
    domain = "localhost"
    lg: tuple[str, ...] = ("sm=1",)
    needs: tuple[str, ...] = ("ejabberdctl", "erl")
    mam = False
    sqldb = False

    def start(self) -> None:
        d = DATA / "peers" / ("ejabberd-sql" if self.sqldb else "ejabberd")
        (d / "upload").mkdir(parents=True, exist_ok=True)
        storage = self._tables() if self.sqldb else ""
        archive = "mod_mam: {assume_mam_usage: true, default: always" + (", db_type: sql}" if self.sqldb else "}")
        config = self.dir / "ejabberd.yml"
        fill(
            "ejabberd.yml",
            config,
            PORT=self.port,
            HTTP=self.http,
            DATA=d,
            SQL=storage,
            OFFLINEDB="db_type: sql" if self.sqldb else "",
            MAM=archive if self.mam else "",
        )
        erlang = shutil.which("erl")
        assert erlang is not None
        libraries = sorted((Path(erlang).parent.parent / "lib").glob("*/ejabberd-*"))[0].parent
        limits = ["+K", "true", "+P", "250000", "+Q", "100000"]
        process = self.spawn(
            ["erl", "-noinput", *limits, "-mnesia", "dir", f'"{d}/mnesia"', "-s", "ejabberd"],
            env={
                "EJABBERD_CONFIG_PATH": str(config),
                "EJABBERD_LOG_PATH": str(self.dir / "ejabberd.log"),
                "ERL_LIBS": str(libraries),
                "HOME": str(d),
                "ERL_CRASH_DUMP_BYTES": "0",
            },
            cwd=d,
        )
        wait_port(self.port, process)
        wait_port(self.http, process)
        time.sleep(2)
        mark = d / "users"
        if not mark.exists():
            for i in range(self.users):
                self.api("register", user=f"u{i:06d}", host="localhost", password=f"pw{i:06d}")
            mark.write_text(str(self.users))

    def _tables(self) -> str:
        """Start the database; the settings that name it."""
        self.pg_start()
        tables = "select 1 from information_schema.tables where table_name='spool'"
        if not self.sql(tables, "ejabberd", check=False).stdout.strip():
            self.sql("create role ejabberd superuser login", check=False)
            self.sql("create database ejabberd owner ejabberd", check=False)
            control = shutil.which("ejabberdctl")
            assert control is not None
            text = (Path(control).parent.parent / "share/ejabberd/sql/pg.sql").read_text()
            self.sql(None, "ejabberd", text)
        return (
            f'sql_type: pgsql\nsql_server: "127.0.0.1"\nsql_port: {self.pgport}\nsql_database: ejabberd\n'
            'sql_username: ejabberd\nsql_password: "x"\nsql_pool_size: 10\n'
        )

    def api(self, command: str, **arguments: object) -> None:
        url = f"http://127.0.0.1:{self.http}/api/{command}"
        request = urllib.request.Request(url, json.dumps(arguments).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()


class EjabberdMam(Ejabberd):
    name = "ejabberd-mam"
    mam = True


class EjabberdNoSm(Ejabberd):
    name = "ejabberd-nosm"
    lg = ("sm=0",)


class EjabberdSql(Ejabberd):
    name = "ejabberd-pgsql"
    needs = ("ejabberdctl", "erl", "psql")
    sqldb = True


class Prosody(Peer):
    name = "prosody"
    proto = "xmpp"
    port = 5322
    http = 5380
    domain = "localhost"
    lg = ("sm=1",)
    needs = ("prosody", "setpriv")
    as_root = True
    mam = ""
    storage = "internal"
    network = 'network_backend = "epoll"'

    def start(self) -> None:
        accounts = self.dir / "data/localhost/accounts"
        if not accounts.exists():
            accounts.mkdir(parents=True)
            for i in range(self.users):
                (accounts / f"u{i:06d}.dat").write_text(_account(i))
        fill(
            "prosody.cfg.lua",
            self.dir / "prosody.cfg.lua",
            PORT=self.port,
            HTTP=self.http,
            DATA=self.dir,
            MAM=self.mam,
            STORAGE=self.storage,
            NETWORK=self.network,
        )
        subprocess.run(["chown", "-R", "prosody:prosody", str(self.dir)], check=True)
        become = ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups"]
        process = self.spawn([*become, "prosody", "--config", self.dir / "prosody.cfg.lua", "-F"], cwd=self.dir)
        wait_port(self.port, process)
        time.sleep(1)


def _account(i: int, iterations: int = 10000) -> str:
    salt = hashlib.sha1(b"salt%d" % i).hexdigest()
    salted = hashlib.pbkdf2_hmac("sha1", b"pw%06d" % i, salt.encode(), iterations)
    stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).hexdigest()
    server = hmac.digest(salted, b"Server Key", "sha1").hex()
    return (
        f'return {{\n\t["iteration_count"] = {iterations};\n\t["salt"] = "{salt}";\n'
        f'\t["stored_key"] = "{stored}";\n\t["server_key"] = "{server}";\n}};\n'
    )


class ProsodyMam(Prosody):
    name = "prosody-mam"
    mam = '"mam";'
