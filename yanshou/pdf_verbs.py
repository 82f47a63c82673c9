"""`yanshou pdf`: the visible signatures of a report, one verb per step. It decides nothing, like the rest of the command line.

A passphrase or PIN is asked for, or read from the environment; it is never an argument, which other users could see.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yanshou.harness.basics import Json, Problem, UserError, refusal

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate

    from yanshou.harness.envelope import Role
    from yanshou.harness.pades_sign import Signed
    from yanshou.harness.trust import Trust

pdf_app = typer.Typer(help="报告 PDF 上的检测、审核、批准签名（PAdES）。", no_args_is_help=True)

Package = Annotated[Path, typer.Argument(help="数据包 zip，或案卷文件夹")]
RoleName = Annotated[str, typer.Option("--role", help="tester | reviewer | approver，按此次序签")]
Chain = Annotated[Path | None, typer.Option("--chain", help="签名证书的上级证书（PEM）")]
Tsa = Annotated[str | None, typer.Option("--tsa", envvar="YANSHOU_TSA", help="时间戳机构的地址（RFC 3161）")]
TrustFile = Annotated[Path | None, typer.Option("--trust", help="trust.yaml；有 --tsa 时必需，见其 pdf 一节")]
AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON")]


def role_named(name: str) -> Role:
    """The role of that code. Raises UserError."""
    from yanshou.harness.envelope import Role

    if name not in list(Role):
        raise UserError(Problem("S-E20", f"没有角色 {name}", f"可用：{'、'.join(Role)}"))
    return Role(name)


def _trust(file: Path | None) -> Trust | None:
    from yanshou.harness.trust import load_trust

    return load_trust(file) if file else None


def _chain(file: Path | None) -> Sequence[Certificate]:
    from yanshou.harness.pades_sign import read_certificates

    return read_certificates(file) if file else ()


def _secret(variable: str, word: str) -> str:
    """From the environment, else asked for."""
    given = os.environ.get(variable)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UserError(Problem("S-D06", f"没有{word}，这里也没有人可问", f"在终端里运行，或设环境变量 {variable}"))
    asked: str = typer.prompt(word, hide_input=True)
    return asked


def print_json(value: Json) -> None:
    """What `--json` prints."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def _tell(signed: Signed, as_json: bool) -> None:
    if as_json:
        print_json({"pdf": str(signed.path), **signed.report.content, "missing": [r.value for r in signed.missing]})
        return
    typer.echo(f"已签：{signed.path}")
    for signature in signed.report.signatures:
        typer.echo(f"  {signature}　证书 sha256:{signature.certificate}")
    if signed.missing:
        typer.echo(f"还缺签名：{'、'.join(r.word for r in signed.missing)}")
    else:
        typer.echo("三个签名已齐 → yanshou pdf seal，把 PDF 与数据包一起钉住")


@pdf_app.command("sign")
def sign(
    package: Package,
    role: RoleName,
    p12: Annotated[
        Path | None, typer.Option("--p12", help="PKCS#12 文件；口令会询问，或取自 YANSHOU_PASSPHRASE")
    ] = None,
    pkcs11: Annotated[Path | None, typer.Option("--pkcs11", help="令牌驱动；PIN 会询问，或取自 YANSHOU_PIN")] = None,
    token: Annotated[str, typer.Option("--token", help="令牌名")] = "",
    label: Annotated[str, typer.Option("--label", help="令牌里密钥与证书的标签")] = "",
    chain: Chain = None,
    tsa: Tsa = None,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """在报告的签署栏里签名：用 PKCS#12 文件或 PKCS#11 令牌。"""
    from yanshou.harness.pades_sign import from_p12, from_token, sign_pdf, stamping
    from yanshou.harness.sealing import sealed_package

    if (p12 is None) == (pkcs11 is None) or (pkcs11 is not None and not (token and label)):
        remedy = "--p12 文件，或 --pkcs11 驱动 --token 令牌名 --label 标签；都没有时用 yanshou pdf export"
        raise UserError(Problem("S-D16", "没有说用什么签，或说了两样", remedy))
    who, place, times, above = role_named(role), sealed_package(package), stamping(tsa, _trust(trust)), _chain(chain)
    if p12 is not None:
        signed = sign_pdf(place, who, from_p12(p12, _secret("YANSHOU_PASSPHRASE", "口令"), above), times)
    else:
        assert pkcs11 is not None
        with from_token(pkcs11, token, label, _secret("YANSHOU_PIN", "PIN"), above) as signer:
            signed = sign_pdf(place, who, signer, times)
    _tell(signed, as_json)


@pdf_app.command("export")
def export(
    package: Package,
    role: RoleName,
    certificate: Annotated[Path, typer.Option("--certificate", help="签名人的证书（PEM 或 DER）")],
    output: Annotated[Path, typer.Option("--output", "-o", help="待签字节写到这里")],
    chain: Chain = None,
    as_json: AsJson = False,
) -> None:
    """写出待签的字节：给不认 PKCS#12 与 PKCS#11 的 UKey，签好后用 import 放回。"""
    from yanshou.harness.pades_sign import export_bytes, read_certificates
    from yanshou.harness.sealing import sealed_package

    own, *rest = read_certificates(certificate)
    made = export_bytes(sealed_package(package), role_named(role), own, [*rest, *_chain(chain)], output)
    if as_json:
        print_json({"file": str(made.file), "sha256": made.sha256, "mechanism": "RSA-PKCS1v1.5-SHA256"})
        return
    typer.echo(f"待签字节：{made.file}，SHA-256 {made.sha256}")
    typer.echo("→ 用证书的私钥签这个文件（RSA PKCS#1 v1.5，SHA-256），再 yanshou pdf import --signature 签名文件")


@pdf_app.command("import")
def import_(
    package: Package,
    signature: Annotated[Path, typer.Option("--signature", help="对待签字节的签名（原始字节）")],
    tsa: Tsa = None,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """把别处签好的签名放进报告。"""
    from yanshou.harness.pades_sign import import_signature, stamping
    from yanshou.harness.sealing import sealed_package

    try:
        value = signature.read_bytes()
    except OSError as error:
        raise UserError(Problem("S-D14", f"签名文件读不出：{refusal(error)}", "检查路径与权限", signature)) from None
    _tell(import_signature(sealed_package(package), value, stamping(tsa, _trust(trust))), as_json)
