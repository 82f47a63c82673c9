"""The house rules that no single module can keep: complete probes, method documents, and what may be imported when."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from yanshou.probes.contract import Probe, probe_names

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = [
    "Measurand", "Preconditions", "Expected impact", "Inputs", "Procedure", "Evidence", "Semantics", "Clock",
    "Uncertainty sources", "Validity findings", "What the number does not prove", "How it can be gamed",
    "Possible conclusions", "Privacy", "Calibration",
]  # fmt: skip


@pytest.mark.parametrize("name", probe_names())
def test_probe_is_complete(name: str) -> None:
    place = name.replace(".", "_")
    folder = ROOT / "yanshou/probes" / place
    for part in ("spec.py", "capture.py", "analyse.py", "reference.py"):
        assert (folder / part).is_file(), f"{name} lacks {part}"
    spec = Probe(name).spec
    assert spec.name == name
    assert Probe(name).points(), f"{name} has no standard"
    assert (ROOT / f"tests/probes/test_{place}.py").is_file(), f"{name} has no test against its reference"
    document = ROOT / spec.document
    assert re.fullmatch(rf"p-\d{{3}}-{re.escape(name)}\.md", document.name)
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"# {document.stem.replace('-' + name, '')} {name} — ")
    assert re.findall(r"(?m)^## (.+)$", text) == HEADINGS
    codes = {
        code
        for path in folder.glob("*.py")
        for code in re.findall(r'"([A-Z]{3}-[EVX][0-9A-Z-]+)"', path.read_text(encoding="utf-8"))
    }
    assert codes, f"{name} names no validity code"
    assert sorted(c for c in codes if c not in text) == []


def test_method_documents_are_numbered_once() -> None:
    numbers = [p.name.split("-")[1] for p in (ROOT / "docs/probes").glob("p-*.md")]
    assert len(numbers) == len(set(numbers)) == len(probe_names())


@pytest.mark.parametrize("name", probe_names())
def test_every_parameter_has_help(name: str) -> None:
    for field, info in Probe(name).params_type().model_fields.items():
        assert info.description, f"{name}.{field}"


def loaded_by(code: str) -> set[str]:
    """Modules in a fresh interpreter after running `code`."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_help_loads_nothing_heavy() -> None:
    heavy = {
        "numpy",
        "scipy",
        "pandas",
        "pydantic",
        "matplotlib",
        "typst",
        "cryptography",
        "rich.console",
        "ruamel.yaml",
    }
    assert loaded_by("import yanshou.cli") & heavy == set()
    assert loaded_by("import yanshou.pytest_plugin") & heavy == set()


def test_verification_loads_no_capture() -> None:
    folders = [n.replace(".", "_") for n in probe_names()]
    code = "import yanshou.harness.verify\n" + "\n".join(
        f"import yanshou.probes.{n}.spec, yanshou.probes.{n}.analyse" for n in folders
    )
    assert [m for m in loaded_by(code) if m.endswith((".capture", ".reference"))] == []


def test_only_layers_of_scapy_are_imported_and_in_one_place() -> None:
    """scapy.all and scapy.sendrecv can send packets, and open sockets when they are merely imported."""
    found = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in (ROOT / "yanshou").rglob("*.py")
        for module in re.findall(r"^\s*(?:from|import) (scapy[\w.]*)", path.read_text(encoding="utf-8"), re.M)
    }
    assert {path for path, _ in found} == {"yanshou/formats/control.py"}
    assert all(module.startswith(("scapy.layers.", "scapy.contrib.")) for _, module in found)


def test_repository_says_nothing_about_where_it_was_made() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if tracked == [""]:
        pytest.skip("not a checkout")
    forbidden = re.compile(r"/work/|/opt/(pypi|wheels)|index-url|find-links|pypi\.org|registry\.npm|deb\.debian", re.I)
    here = Path(__file__).relative_to(ROOT).as_posix()
    for name in tracked:
        path = ROOT / name
        if name and name != here and path.is_file() and path.suffix not in (".png", ".pdf", ".mo"):
            assert forbidden.search(text_of(path)) is None, name


def text_of(path: Path) -> str:
    """The text of a file; of a zip that of everything in it."""
    if path.suffix != ".zip":
        return path.read_text(encoding="utf-8")
    with zipfile.ZipFile(path) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
