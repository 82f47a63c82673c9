"""A real PostgreSQL and a real MariaDB, each in its own folder behind a socket file, gone with the context."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "s3cret/pass"
QUOTED = "s3cret%2Fpass"


@contextmanager
def _folder() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder of a server's own, and as whom it runs: neither server starts as root."""
    folder = Path(tempfile.mkdtemp(prefix="yanshou-db-"))
    whom: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        whom = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    try:
        yield folder, whom
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(command: list[str], ready: str, folder: Path, whom: dict[str, Any]) -> Iterator[None]:
    """The server, from when it says that it is ready."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=folder, **whom
    ) as server:
        try:
            assert server.stderr is not None
            said = []
            for line in server.stderr:
                said.append(line)
                if ready in line:
                    break
            else:
                raise AssertionError("".join(said))
            yield
        finally:
            server.terminate()
            server.communicate()


@contextmanager
def postgresql() -> Iterator[str]:
    """A connection string of a superuser."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    with _folder() as (folder, whom):
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        data = folder / "data"
        made = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "owner",
            "-A",
            "scram-sha-256",
            f"--pwfile={folder}/password",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run([*map(str, made), "--locale=C"], check=True, capture_output=True, cwd=folder, **whom)
        command = [
            str(programs / "postgres"),
            "-D",
            str(data),
            "-k",
            str(folder),
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        with _running(command, "ready to accept connections", folder, whom):
            yield f"postgresql://owner:{QUOTED}@/postgres?host={folder}"


@contextmanager
def mariadb() -> Iterator[str]:
    """A connection string of the user root."""
    with _folder() as (folder, whom):
        data, socket = folder / "data", folder / "server.sock"
        common = ["--no-defaults", f"--datadir={data}"]
        install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True, cwd=folder, **whom)
        first = folder / "first.sql"
        first.write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';\nCREATE DATABASE hospital CHARACTER SET utf8mb4;\n"
        )
        first.chmod(0o644)
        command = [
            "mariadbd", *common, f"--socket={socket}", f"--pid-file={folder}/pid", "--skip-networking", f"--init-file={first}",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", f"--tmpdir={folder}",
        ]  # fmt: skip
        with _running(command, "ready for connections", folder, whom):
            yield f"mysql://root:{QUOTED}@localhost/hospital?unix_socket={socket}"
