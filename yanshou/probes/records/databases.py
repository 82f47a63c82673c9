"""What a query of a PostgreSQL or MySQL database gives, streamed inside one read-only transaction.

It is for taking rows from a system in use without being able to change it: the server itself is asked to refuse every write, and
must say that it does. Where and as whom to connect comes from the environment and goes nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import RawIOBase
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, unquote, urlsplit

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.importing import one_line
from yanshou.probes.records.blocks import Table, read_blocks
from yanshou.probes.records.files import batches

PREFIX = "YANSHOU_DB_"
CONNECT_S = 20


@dataclass(frozen=True)
class Answer:
    """The table that a query gives, and what the server said of itself: kind, version, and that it takes no writes."""

    table: Table
    server: dict[str, Json]


@contextmanager
def database_table(name: str, query: str) -> Iterator[Answer]:
    """The rows of `query` of the database that YANSHOU_DB_<name> tells. Raises ProbeError REC-E11."""
    url = os.environ.get(PREFIX + name)
    if not url:
        text = f"环境变量 {PREFIX}{name} 没有写数据库的连接串"
        raise ProbeError("REC-E11", text, "写成 postgresql://只读账号:口令@主机:端口/库 或 mysql://…，不写进案卷")
    parts = urlsplit(url)
    ask = {"postgresql": _postgresql, "postgres": _postgresql, "mysql": _mysql, "mariadb": _mysql}.get(parts.scheme)
    if ask is None:
        text = f"环境变量 {PREFIX}{name} 的连接串不是 postgresql:// 或 mysql:// 开头"
        raise ProbeError("REC-E11", text, "改正连接串；其他数据库先导出为 CSV 或 Parquet")
    secret = unquote(parts.password or "")
    try:
        with ask(url, query) as answer:
            yield answer
    except ImportError:
        raise ProbeError("REC-E11", "没有装数据库驱动", "pip install 'yanshou[databases]'") from None
    except _Refused as refused:
        said = one_line(str(refused))
        text = f"数据库 {name}：{said.replace(secret, '〔略〕') if secret else said}"[:300]
        raise ProbeError("REC-E11", text, "核对连接串、账号的只读权限与 query") from None


class _Refused(Exception):
    """The server, or its driver, refused."""


@contextmanager
def _postgresql(url: str, query: str) -> Iterator[Answer]:
    import psycopg

    options = "-c default_transaction_read_only=on -c TimeZone=Asia/Shanghai -c DateStyle=ISO"
    try:
        with psycopg.connect(url, options=options, connect_timeout=CONNECT_S, client_encoding="utf8") as db:
            db.read_only = True
            db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            version = db.execute("SHOW server_version").fetchone()
            _require_read_only(db.execute("SHOW transaction_read_only").fetchone())
            db.execute(
                f"DECLARE alone NO SCROLL CURSOR FOR {query}"
            )  # takes one whole query and nothing that ends it early
            db.execute("CLOSE alone")
            server: dict[str, Json] = {"kind": "postgresql", "version": str((version or "?")[0]), "read_only": True}
            with (
                db.cursor() as cursor,
                cursor.copy(f"COPY ({query}\n) TO STDOUT (FORMAT csv, HEADER)") as rows,
                read_blocks(cast("BinaryIO", _Pieces(iter(rows))), "utf-8", ",", "strict") as table,
            ):
                yield Answer(table, server)
            db.rollback()
    except psycopg.Error as error:
        raise _Refused(str(error)) from None


class _Pieces(RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes; nothing at the end."""
        got = bytearray()
        while len(got) < size and (piece := next(self._pieces, None)) is not None:
            got += piece
        return bytes(got)


@contextmanager
def _mysql(url: str, query: str) -> Iterator[Answer]:
    import pymysql
    from pymysql.converters import encoders
    from pymysql.cursors import SSCursor

    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    try:
        with closing(
            pymysql.connect(
                host=parts.hostname or "localhost",
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=unquote(parts.path.lstrip("/")) or None,
                unix_socket=options.get("unix_socket"),
                ssl_ca=options.get("ssl_ca"),
                charset="utf8mb4",
                connect_timeout=CONNECT_S,
                conv=dict(encoders),  # and no decoders: every cell as the text that the server sent
                cursorclass=SSCursor,
                init_command="SET time_zone='+08:00'",
            )
        ) as db:
            with db.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                cursor.execute("SELECT version()")
                version = cursor.fetchall()[0][0]
                cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('tx_read_only', 'transaction_read_only')")
                _require_read_only(*(value for _, value in cursor.fetchall()))
                cursor.execute(query)
                names = tuple(str(column[0]).strip() for column in cursor.description or ())
                server: dict[str, Json] = {"kind": "mysql", "version": version, "read_only": True}
                yield Answer(Table(names, ",", batches(cursor.fetchall_unbuffered())), server)
            db.rollback()
    except (pymysql.Error, ValueError) as error:
        raise _Refused(str(error)) from None


def _require_read_only(*said: Any) -> None:
    words = {str(word[0] if isinstance(word, tuple) else word).lower() for word in said}
    if words != {"on"}:
        raise _Refused("服务器没有确认事务是只读的")
