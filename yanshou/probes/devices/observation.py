"""What every source says: identities seen, how often and how lively. The one type between sources and the count.

It must never decide whether a device counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Observation:
    """One identity seen by one source.

    `kind` is what the value is: serial, client_id, cert_cn, topic, mac, ip, imei, supi, opcua_uri, modbus_unit, chassis_id,
    hostname.
    `same` are other identities that this source shows to belong to the same device ({"serial": "…", "ip": "…"}).
    `first_ns`, `last_ns`: UTC ns, 0 where the source knows no time. `messages`: payload messages from it, None where the source
    cannot see any (a table of names). `distinct_values`: different payloads or readings, None likewise; `content`: digest of the
    sequence of its payloads, so that copies of one stream are found, "" where unknown; or digests of parts of it, separated by
    blanks, of which one in common tells a copy. `gateway`: the box that it speaks through.
    """

    kind: str
    value: str
    source: str
    first_ns: int = 0
    last_ns: int = 0
    messages: int | None = None
    distinct_values: int | None = None
    content: str = ""
    gateway: str = ""
    same: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tie:
    """Two identities (kind, value) that a source shows to be one device though they never say so; `code`: as which exclusion."""

    first: tuple[str, str]
    second: tuple[str, str]
    code: str
    detail: str
