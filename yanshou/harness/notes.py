"""An expert's signed note about a package: one statement, by one key, in a file beside the package.

It is for opinions that outlive a meeting: who said what of which package, and about which indicator. The note is over the same four
tag files as the package's own seal, so it holds for the zip, for the unpacked bag, and after another signature was added; for any
other content it does not. It must never change the package, replace a note, or be taken for part of the seal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from yanshou.harness.basics import Problem, UserError, refusal
from yanshou.harness.digests import Digests
from yanshou.harness.envelope import NOTE, Envelope, Role, Signer, read_envelope, sign, statement
from yanshou.harness.evidence import disk_problem, sync, sync_folder, utc_now
from yanshou.harness.keys import PrivateKey
from yanshou.harness.seal import check_subjects
from yanshou.harness.trust import Trust

LONGEST = 20_000
"""Characters of one note."""
MOST, LARGEST = 500, 1 << 20
"""Notes that are looked for beside one package, and bytes of each that are read."""


@dataclass(frozen=True)
class Note:
    """A note as it was read from `file`. `text` and `about` (an indicator, "" the whole package) are "" where it is unreadable.

    `signer` is who signed, as the key itself says; `problems` is why it does not hold; `identity_checked`: against a trust file.
    """

    file: Path
    text: str
    about: str
    written: str
    signer: Signer | None
    problems: tuple[Problem, ...]
    identity_checked: bool

    @property
    def ok(self) -> bool:
        """True when it was signed by this key over this very package."""
        return not self.problems


def write_note(package: Path, subjects: Mapping[str, Digests], text: str, about: str, key: PrivateKey) -> Path:
    """Sign `text` and write it beside `package` under a new name. Raises UserError: no text, too long, disk."""
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > LONGEST:
        why = "意见是空的" if not text else f"意见有 {len(text)} 字，超过 {LONGEST} 字"
        raise UserError(Problem("N-E01", why, "写明意见；长的分几条写"))
    content = {"text": text, "about": about, "package": package.name}
    unsigned = statement(subjects, NOTE, content, [Signer(Role.EXPERT, key.public)], utc_now())
    data = sign(unsigned, key, Role.EXPERT).to_bytes()
    for number in range(1, MOST + 1):
        path = package.with_name(f"{package.name}.note-{key.public.id[:8]}-{number}.json")
        try:
            with path.open("xb") as f:
                f.write(data)
                sync(f)
            sync_folder(path.parent)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(disk_problem(error, package.parent)) from None
        return path
    raise UserError(Problem("N-E02", f"这把密钥已有 {MOST} 条意见", "换一个文件夹放证据包", package.parent))


def notes_beside(package: Path, subjects: Mapping[str, Digests], trust: Trust | None) -> Iterator[Note]:
    """Every note beside `package`, by name, each checked against `subjects`; at most MOST."""
    prefix = f"{package.name}.note-"
    found = sorted(p for p in package.parent.iterdir() if p.name.startswith(prefix) and p.suffix == ".json")
    for path in found[:MOST]:
        yield read_note(path, subjects, trust)


def read_note(path: Path, subjects: Mapping[str, Digests], trust: Trust | None) -> Note:
    """The note at `path`, checked: whatever is wrong with it is in its problems."""
    try:
        with path.open("rb") as f:
            data = f.read(LARGEST + 1)
        envelope = read_envelope(data, path)
        text, about = (_text(envelope, field) for field in ("text", "about"))
    except UserError as error:
        return Note(path, "", "", "", None, error.problems, False)
    except OSError as error:
        problem = Problem("N-E03", f"读不了：{refusal(error)}", "检查权限", path)
        return Note(path, "", "", "", None, (problem,), False)
    made = envelope.statement
    problems = tuple(_problems(envelope, path, subjects, trust))
    return Note(path, text, about, made.sealed, made.signers[0], problems, trust is not None)


def _text(envelope: Envelope, field: str) -> str:
    value = envelope.statement.predicate.get(field, "")
    return value if isinstance(value, str) else ""


def _problems(
    envelope: Envelope, path: Path, subjects: Mapping[str, Digests], trust: Trust | None
) -> Iterator[Problem]:
    made = envelope.statement
    if made.predicate_type != NOTE:
        yield Problem("V-S03", f"签名声明的类型是 {made.predicate_type}，不是意见的", "给出与文件相配的签名", path)
    for problem in check_subjects(made, subjects):
        yield Problem("N-V01", f"不是对这个证据包的意见：{problem.text}", "与写意见时的那份证据包放在一起", path)
    signer = made.signers[0]
    if len(made.signers) != 1 or signer.role is not Role.EXPERT or envelope.signatures.keys() != {signer.key.id}:
        yield Problem("N-V02", "一条意见应有且只有一位评审专家的签名", "由本人重新签署", path)
    elif not signer.key.verifies(envelope.message, envelope.signatures[signer.key.id]):
        yield Problem("V-S05", f"{signer}：签名不成立", "文件已被改动，向本人要原件", path)
    elif trust is not None:
        yield from trust.objections(signer, made.sealed_at)
