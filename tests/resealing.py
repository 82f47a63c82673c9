"""Packages that were opened, changed and sealed again with a key of one's own, as somebody would who lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yanshou.harness.bag import make_bag, open_package, write_package
from yanshou.harness.envelope import DEMO, Role, Signer, sign, statement
from yanshou.harness.evidence import canonical, link, sha256_bytes, utc_now
from yanshou.harness.keys import Algorithm, fresh_key
from yanshou.harness.sealing import DEMO_KEY_NAME

FIRST_FORM = Path(__file__).parent / "golden/sealed_first_form.zip"
"""Sealed by the version of 2026-11-23 (commit 4d322a4): an inspection of six scenes, of which four are, where five must be."""


def resealed(package: Path, folder: Path, change: Callable[[Path], object], name: str = DEMO_KEY_NAME) -> Path:
    """`package` with what `change` did to its files (it gets the folder `data`), intact and signed again by a key of `name`.

    It lies below `folder`. The ledger tells of the new seal, as one that was really made would be told of.
    """
    key = fresh_key(Algorithm.ED25519, name)
    contents = open_package(package, folder / "unpacked")
    data = contents.root / "data"
    change(data)
    signer = Signer(Role.TESTER, key.public)
    _register(data / "ledger.jsonl", sha256_bytes((data / "record.json").read_bytes()), signer)
    files = [(p.relative_to(data).as_posix(), p) for p in sorted(data.rglob("*")) if p.is_file()]
    bag = make_bag(contents.root.name, files, contents.info)
    envelope = sign(statement(bag.subjects, DEMO, {}, [signer], utc_now()), key, Role.TESTER)
    path = folder / package.name
    write_package(path, bag, envelope.to_bytes())
    return path


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a canonical JSON file in place."""
    data = json.loads(path.read_bytes())
    change(data)
    path.write_bytes(canonical(data) + b"\n")


def _register(ledger: Path, record_sha256: str, signer: Signer) -> None:
    """Put another sealing in the place of the ledger's last line; what stands before it stays, whole or broken."""
    *before, last = ledger.read_bytes().splitlines(keepends=True)
    roster = [{"role": signer.role.value, "name": signer.key.name, "key_id": signer.key.id}]
    record = {**json.loads(last)["r"], "record_sha256": record_sha256, "roster": roster}
    head = link(json.loads(before[-1])["h"], record)
    ledger.write_bytes(b"".join([*before, canonical({"h": head, "r": record}) + b"\n"]))
