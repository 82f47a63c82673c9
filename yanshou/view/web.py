"""The pages of a review: what verification found first, then everything that is in a package, compared and annotated.

They work without scripts and hold none. Whoever has the address with its token may read; the one thing that is written is an
expert's note, beside the package and signed with the key that the expert opened the pages with. Content of a package is text,
whatever it says; a file is found by its verified name or not at all. No page loads anything from elsewhere.
"""

from __future__ import annotations

import hmac
import json
import secrets
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from werkzeug import Request, Response
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect, send_file

from yanshou.harness.basics import Json, Problem, UserError, refusal
from yanshou.harness.keys import PrivateKey
from yanshou.harness.model import Mode, Verdict
from yanshou.harness.notes import LONGEST, write_note
from yanshou.harness.runs import Run
from yanshou.inspect.files import picture_type
from yanshou.local_site import HEADERS, Gate, said_of_error
from yanshou.reports import html
from yanshou.reports.blocks import Block, Cell, Facts, Heading, cell, digest, facts, plain, table, verdict_cell
from yanshou.reports.display import MARKS, Data, display, limit_text, moment
from yanshou.reports.document import chapters, measured
from yanshou.reports.figures import prefixed
from yanshou.view import files
from yanshou.view.compare import MOST, bounds, pairs, plan_differences, value
from yanshou.view.opened import Opened, printable
from yanshou.view.timeline import timeline

COOKIE = "yanshou-view"
LISTED = 200
"""Files, runs or differences on one page."""
LARGEST_FORM = 1 << 18
PAGES = Path(__file__).with_name("pages")
STATIC = {"report.css": html.STYLE, "view.css": PAGES / "view.css"}
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
"""Plots carry their styles with them; nothing carries a script."""
URLS = Map(
    [
        Rule("/t/<token>", endpoint="enter", methods=["GET"]),
        Rule("/", endpoint="overview", methods=["GET"]),
        Rule("/favicon.ico", endpoint="icon", methods=["GET"]),
        Rule("/compare", endpoint="compare", methods=["GET"]),
        Rule("/static/<name>", endpoint="static", methods=["GET"]),
        Rule("/p/<int:number>", endpoint="package", methods=["GET"]),
        Rule("/p/<int:number>/i/<indicator>", endpoint="indicator", methods=["GET"]),
        Rule("/p/<int:number>/run/<int:run>", endpoint="run", methods=["GET"]),
        Rule("/p/<int:number>/files", endpoint="files", methods=["GET"]),
        Rule("/p/<int:number>/file/<path:name>", endpoint="file", methods=["GET"]),
        Rule("/p/<int:number>/raw/<path:name>", endpoint="raw", methods=["GET"]),
        Rule("/p/<int:number>/note", endpoint="note", methods=["POST"]),
    ],
    strict_slashes=False,
    merge_slashes=False,
)


class _Request(Request):
    """A request with a small form and no files."""

    max_content_length = LARGEST_FORM
    max_form_memory_size = LARGEST_FORM
    max_form_parts = 20


def visible(value: object) -> object:
    """What is printed: texts without characters that are not seen, or that turn the text around them."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(
        f"[U+{ord(c):04X}]" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\t\n\r" else c
        for c in value
    )


@cache
def environment() -> Environment:
    """Templates, escaping everything; the blocks are the report's."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader("yanshou.view", "pages"), PackageLoader("yanshou.reports", "")]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=visible,
    )  # fmt: skip
    made.filters["inline"] = lambda svg, prefix: Markup(prefixed(svg, prefix))
    made.globals |= {
        "verdicts": {v.value: {"mark": MARKS[v], "word": v.word} for v in Verdict}, "mode_word": _mode, "display": display,
        "moment": moment, "Kind": files.Kind, "longest": LONGEST, "say": str,
    }  # fmt: skip
    return made


def _mode(code: str) -> str:
    return {Mode.ACCEPTANCE: "正式验收", Mode.SELF_CHECK: "自检", Mode.DEMO: "演示"}[Mode(code)]


@dataclass
class Site:
    """The pages over what was opened, as a WSGI application. `key` signs notes; without one nothing can be written."""

    opened: Sequence[Opened]
    gate: Gate
    key: PrivateKey | None = None
    _cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request: whatever goes wrong becomes a page that says so."""
        request = _Request(environ)
        try:
            response = self._respond(request)
        except HTTPException as error:
            response = self._problem(error.code or 500, said_of_error(error, LARGEST_FORM))
        except UserError as error:
            response = self._problem(422, [str(p) for p in error.problems])
        except OSError as error:
            response = self._problem(500, [f"读不了：{refusal(error)}"])
        except Exception:  # a defect of ours: the page says so, the terminal says what
            traceback.print_exc()
            response = self._problem(500, ["内部错误；终端里有详情"])
        for name, header in {**HEADERS, "Content-Security-Policy": POLICY}.items():
            response.headers.setdefault(name, header)
        return response(environ, start_response)

    def _respond(self, request: _Request) -> Response:
        self.gate.require_host(request)
        endpoint, values = URLS.bind_to_environ(request.environ).match()
        if endpoint == "enter":
            return self._enter(**values)
        if endpoint == "icon":  # browsers ask for one, with or without leave
            return Response(status=204)
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode()):
            raise Forbidden("没有通行码：请用终端里给出的地址打开")
        if request.method == "POST":
            self.gate.require_own_page(request)
        page: Callable[..., Response] = getattr(self, f"_{endpoint}")
        return page(request, **values)

    def _page(self, template: str, status: int = 200, **values: object) -> Response:
        text = environment().get_template(template).render(
            opened=self.opened, form_token=self.gate.form_token(self._cookie), key=self.key, **values
        )  # fmt: skip
        return Response(text, status, content_type="text/html; charset=utf-8")

    def _problem(self, status: int, said: list[str]) -> Response:
        return self._page("problem.html.j2", status, said=said)

    def _enter(self, token: str) -> Response:
        self.gate.require_token(token)
        response = self._page("overview.html.j2", rows=[(p, p.notes()) for p in self.opened])
        response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="Strict")
        return response

    def _static(self, _: _Request, name: str) -> Response:
        if name not in STATIC:
            raise NotFound
        return Response(STATIC[name].read_bytes(), content_type="text/css; charset=utf-8")

    # what is open

    def _opened(self, number: int) -> Opened:
        if not 0 <= number < len(self.opened):
            raise NotFound
        return self.opened[number]

    def _overview(self, _: _Request) -> Response:
        return self._page("overview.html.j2", rows=[(p, p.notes()) for p in self.opened])

    def _package(self, request: _Request, number: int, problems: Sequence[Problem] = (), typed: str = "") -> Response:
        opened = self._opened(number)
        state, record = opened.found.state, opened.record
        drawn = timeline(state.plan, state.records, state.runs) if state is not None else None
        return self._page(
            "package.html.j2", 422 if problems else 200, number=number, p=opened, found=opened.found, record=record,
            signatures=_signatures(opened), rows=_finding_rows(record) if record else [], picture=drawn,
            runs=[_run_row(r) for r in state.runs[:LISTED]] if state is not None else [],
            more_runs=len(state.runs) - LISTED if state is not None else 0, notes=opened.notes(), problems=problems,
            typed=typed, written=Path(request.args.get("written", "")).name,
            top=[n for n in opened.files if not n.startswith("runs/")][:LISTED],
        )  # fmt: skip

    def _indicator(self, _: _Request, number: int, indicator: str) -> Response:
        opened = self._opened(number)
        finding = (
            next((f for f in opened.record["findings"] if f["indicator"] == indicator), None) if opened.record else None
        )
        if opened.record is None or finding is None:
            raise NotFound
        only: Data = {**opened.record, "findings": [finding]}
        with files.DRAWING:
            own = [plain(b) for b in chapters(only)["分项检测结果"]]
            stated = [plain(b) for b in chapters(only)["重点指标与承诺值"]]
            rules = [plain(b) for b in chapters(only)["判定规则"]]
        runs = [r for r in opened.found.state.runs if r.indicator == indicator] if opened.found.state else []
        parts = (("检测结果", own), ("榜单与承诺", stated), ("判定规则", rules))
        return self._page(
            "indicator.html.j2",
            number=number,
            p=opened,
            f=finding,
            parts=parts,
            runs=[_run_row(r) for r in runs[:LISTED]],
        )

    def _run(self, _: _Request, number: int, run: int) -> Response:
        opened = self._opened(number)
        state = opened.found.state
        found = next((r for r in state.runs if r.number == run), None) if state is not None else None
        if found is None:
            raise NotFound
        streams = [
            (name, f"runs/{found.folder_name}/{name}", s["bytes"], s["sha256"])
            for name, s in sorted(found.streams.items())
        ]
        return self._page(
            "run.html.j2", number=number, p=opened, run=_run_row(found), about=plain(_run_facts(found)),
            streams=[s for s in streams if s[1] in opened.files][:LISTED], more=max(0, len(streams) - LISTED),
        )  # fmt: skip

    def _files(self, request: _Request, number: int) -> Response:
        opened = self._opened(number)
        names = list(opened.files.items())
        pages = max(1, -(-len(names) // LISTED))
        page = min(max(_page_of(request), 1), pages)
        shown = names[(page - 1) * LISTED : page * LISTED]
        return self._page(
            "files.html.j2", number=number, p=opened, shown=shown, page=page, pages=pages, total=len(names)
        )

    def _place(self, number: int, name: str) -> tuple[Opened, Path]:
        opened = self._opened(number)
        try:
            return opened, opened.file(name)
        except KeyError:
            raise NotFound from None

    def _file(self, request: _Request, number: int, name: str) -> Response:
        opened, path = self._place(number, name)
        kind, page, as_text = files.kind_of(path), _page_of(request), request.args.get("as") == "text"
        blocks: tuple[Block, ...] = ()
        shown: dict[str, Any] = {"rows": None, "text": None, "part": None}
        if kind is files.Kind.CAPTURE and not as_text:
            from yanshou.formats.pcap import NotACapture

            try:
                blocks = files.capture_blocks(path)
            except NotACapture as error:
                raise BadRequest(f"读不懂这份抓包：{error}") from None
        elif kind is files.Kind.BYTES or kind is files.Kind.CAPTURE:
            shown["part"] = part = files.bytes_page(path, page)
            shown["text"] = files.hex_of(part)
        elif kind is files.Kind.JSON and not as_text:
            shown["text"] = files.laid_out(path)
        elif kind is not files.Kind.PICTURE:
            shown["part"] = part = files.stretch(path, page)
            if kind is files.Kind.POSITIONS and part.page == 1:
                blocks = files.position_blocks(path)
            if kind is files.Kind.TABLE and not as_text:
                shown["rows"] = files.rows_of(path, part)
            else:
                shown["text"] = files.text_of(part)
        return self._page(
            "file.html.j2", number=number, p=opened, name=name, size=opened.files[name], kind=kind, as_text=as_text,
            blocks=[plain(b) for b in blocks], sha256=_sha256(opened, name), **shown,
        )  # fmt: skip

    def _raw(self, request: _Request, number: int, name: str) -> Response:
        _, path = self._place(number, name)
        kind = picture_type(path)
        response = send_file(
            path, request.environ, mimetype=kind or "application/octet-stream", as_attachment=kind is None,
            download_name=name.rpartition("/")[2], conditional=True, etag=False,
        )  # fmt: skip
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    def _compare(self, request: _Request) -> Response:
        try:
            a, b = (self._opened(int(request.args.get(k, d))) for k, d in (("a", "0"), ("b", "1")))
        except ValueError:
            raise NotFound from None
        if a.record is None or b.record is None:
            raise BadRequest("其中一份没有能读的记录，比较不了：先看它的核验结果")
        found = pairs(a.record, b.record)
        plans = [printable(_plan(o)) for o in (a, b)]
        differences = plan_differences(*plans)
        rows = [
            (
                Cell(p.name, (p.indicator,)),
                _side(p.first),
                _side(p.second),
                Cell("\n".join(p.changes) or "判定、限值、方法没有变"),
            )
            for p in found
        ]
        blocks = [
            _compared_facts(a, b),
            table("逐项比较", {"指标": 2, "甲": 3, "乙": 3, "变化": 2}, rows),
            Heading("计划的差别"),
            table(
                f"{len(differences)} 处" + (f"，列出前 {MOST} 处" if len(differences) > MOST else ""),
                {"位置": 3, "甲": 3, "乙": 3},
                [(Cell(d.words, (d.place,)), d.first, d.second) for d in differences[:MOST]],
            ),
        ]
        same = a.record["case"]["scenario"] == b.record["case"]["scenario"]
        return self._page("compare.html.j2", a=a, b=b, same=same, blocks=[plain(x) for x in blocks])

    # the one thing that is written

    def _note(self, request: _Request, number: int) -> Response:
        opened = self._opened(number)
        form = self.gate.form(request, self.gate.form_token(self._cookie))
        if self.key is None or opened.subjects is None:
            raise Forbidden("没有给出密钥，或这不是封存的证据包：不能写意见")
        about = form.get("about", "")
        if about and about not in {f["indicator"] for f in (opened.record or {"findings": ()})["findings"]}:
            raise BadRequest("没有这个指标")
        try:
            path = write_note(opened.path, opened.subjects, form.get("text", ""), about, self.key)
        except UserError as error:
            return self._package(request, number, error.problems, form.get("text", ""))
        return redirect(f"/p/{number}?written={path.name}#notes", 303)


def _page_of(request: Request) -> int:
    given = request.args.get("page", "1")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 12 else 1


def _sha256(opened: Opened, name: str) -> str:
    """The digest in the manifest, "" in a folder that nobody sealed."""
    contents = opened.found.contents
    return contents.payload[f"data/{name}"].digests.sha256 if contents else ""


def _signatures(opened: Opened) -> Json:
    """Who signed the package, with which key, and whether it holds."""
    seal = opened.found.seal
    if seal is None:
        return None
    rows = [
        (
            s.signer.role.word,
            Cell(s.signer.key.name, (s.signer.key.algorithm.word,)),
            digest(s.signer.key.id),
            "成立" + ("，身份已核对" if seal.identities_checked else "，身份未核对")
            if not s.problems
            else "；".join(p.text for p in s.problems),
        )
        for s in seal.signatures
    ]
    title = f"证据包的签名　封存于 {moment(seal.statement.sealed)}"
    return plain(table(title, {"角色": 1, "签名人": 1.6, "密钥": 3.6, "核验": 2}, rows))


def _finding_rows(record: Data) -> list[tuple[Data, list[Json]]]:
    """Each finding with the cells of its row."""
    return [
        (
            f,
            [
                plain(c)
                for c in (
                    cell(limit_text(f["list_limit"])),
                    Cell(limit_text(f["commitment_limit"]), (f["commitment_text"],) if f["commitment_text"] else ()),
                    measured(f),
                    cell(len(f["attempts"])),
                    verdict_cell(f["verdict"], *(r["text"] for r in f["reasons"][:3])),
                )
            ],
        )
        for f in record["findings"]
    ]


def _run_row(run: Run) -> dict[str, Json]:
    return {
        "number": run.number,
        "what": run.indicator or f"校准 {run.meta['probe']}",
        "who": " ".join(x for x in (run.subject, run.condition) if x),
        "status": run.status.word if run.status else "没有收尾",
        "reason": run.status_reason,
        "started": run.started,
        "ended": run.ended,
        "size": run.size,
    }


def _run_facts(run: Run) -> Facts:
    host = run.meta.get("host")
    told = tuple((str(k), str(v)) for k, v in host.items()) if isinstance(host, Mapping) else ()
    return facts(
        ("测什么", run.indicator or "校准"),
        ("仪器", f"{run.meta['probe']} v{run.meta['version']}"),
        ("受检个体、工况", " ".join(x for x in (run.subject, run.condition) if x)),
        (
            "状态",
            Cell(run.status.word if run.status else "没有收尾", (run.status_reason,) if run.status_reason else ()),
        ),
        ("起", moment(run.started)),
        ("止", moment(run.ended)),
        ("确认的字节", run.size),
        ("未确认的尾部", "、".join(run.tail)),
        ("run.json", digest(run.run_json_sha256)),
        *((f"主机：{k}", v) for k, v in told),
    )


def _plan(opened: Opened) -> Json:
    return json.loads(opened.found.state.plan.to_bytes()) if opened.found.state else {}


def _side(f: Data | None) -> Cell:
    """One finding in the comparison: verdict, value, bounds, limit and n."""
    if f is None:
        return Cell("—")
    n = "" if f["n"] is None else f"　n = {display(f['n'])}"
    told = (
        f"实测 {value(f)}",
        f"界 {both}" if (both := bounds(f)) else "",
        f"限值 {limit_text(f['limit'])}{n}",
        f"测量 {len(f['attempts'])} 次",
    )
    return verdict_cell(f["verdict"], *filter(None, told))


def _compared_facts(a: Opened, b: Opened) -> Block:
    rows: list[Sequence[object]] = []
    for name, of in (
        ("核验", lambda o: o.found.conclusion),
        ("结论", lambda o: verdict_cell(o.record["verdict"])),
        ("性质", lambda o: _mode(o.record["mode"])),
        ("项目", lambda o: o.record["case"]["project"]["name"]),
        ("场景", lambda o: f"{o.record['case']['scenario']} {o.record['case']['scenario_name']}"),
        ("报告编号", lambda o: o.record["case"]["report_number"] or "未编号"),
        ("计划冻结", lambda o: moment(o.record["plan"]["frozen"])),
        ("计划版次", lambda o: f"第 {o.record['plan']['revision']} 版"),
        ("运行次数", lambda o: str(len(o.record["runs"]))),
        ("台账", lambda o: f"{moment(o.record['ledger']['started'])} 至 {moment(o.record['ledger']['ended'])}"),
    ):
        rows.append((name, cell(of(a)), cell(of(b))))
    return table("两份的来历", {"项": 1.4, "甲": 4, "乙": 4}, rows)
