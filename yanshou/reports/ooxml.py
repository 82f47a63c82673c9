"""Office files whose bytes depend on nothing but what is in them: their dates are the ledger's, not the clock's.

Bytes are the same for one version of zlib and of the library that wrote the parts. It must never change what a person sees.
"""

from __future__ import annotations

import io
import re
import zipfile
from datetime import datetime

CORE = "docProps/core.xml"
EARLIEST = (1980, 1, 1, 0, 0, 0)


def settled(data: bytes, when: str) -> bytes:
    """The same Office file with every entry, and its dates of creation and change, at `when` (ISO 8601, UTC)."""
    time = datetime.fromisoformat(when)
    stamp = max(EARLIEST, time.timetuple()[:6])
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == CORE:
                dated = rb"\g<1>" + f"{time:%Y-%m-%dT%H:%M:%SZ}".encode() + rb"\g<2>"
                content = re.sub(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*(</dcterms:)", dated, content)
            plain = zipfile.ZipInfo(entry.filename, stamp)
            plain.compress_type = zipfile.ZIP_DEFLATED
            plain.create_system = 0  # which system wrote it is no part of it
            target.writestr(plain, content)
    return out.getvalue()
