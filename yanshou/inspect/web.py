"""The inspection as local web pages: forms that work without scripts, each acknowledged only after it is on the disk.

Who may do what: whoever has the address with its token may open a page; a person signs in with a name and a PIN of their own; a
review asks for the reviewer's PIN each time, so that one person at one tablet does not become two by mistake. Requests from other
origins, for other hosts, with a wrong or no form token, or without a person change nothing. No page loads anything from elsewhere.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug import Request, Response
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect, send_file

from yanshou.harness.basics import Problem, UserError
from yanshou.harness.evidence import disk_problem
from yanshou.harness.model import Answer
from yanshou.harness.names import person
from yanshou.inspect.files import CARRIES, LARGEST, Incoming, picture_type
from yanshou.inspect.recorder import ANSWERS, METHODS, SHORTEST_PIN, Actor, Questions, Recorder
from yanshou.inspect.words import MARKS, said_of
from yanshou.local_site import HEADERS, Gate, said_of_error
from yanshou.probes.inspection.journal import File, Standing
from yanshou.probes.inspection.spec import Item

COOKIE = "yanshou-inspect"
IDLE_S = 30 * 60.0
"""Somebody who does nothing for so long gives the PIN again."""
MOST_DEVICES = 200
URLS = Map(
    [
        Rule("/t/<token>", endpoint="enter", methods=["GET"]),
        Rule("/", endpoint="overview", methods=["GET"]),
        Rule("/sign-in", endpoint="sign_in", methods=["GET", "POST"]),
        Rule("/sign-out", endpoint="sign_out", methods=["POST"]),
        Rule("/review", endpoint="review", methods=["GET", "POST"]),
        Rule("/record/<key>", endpoint="record", methods=["GET"]),
        Rule("/static/<name>", endpoint="static", methods=["GET"]),
        Rule("/i/<key>/<item_id>", endpoint="item", methods=["GET", "POST"]),
        Rule("/i/<key>/<item_id>/withdraw", endpoint="withdraw", methods=["POST"]),
        Rule("/i/<key>/<item_id>/file/<int:number>", endpoint="file", methods=["GET"]),
    ],
    strict_slashes=False,
)
STATIC = {"style.css": "text/css", "page.js": "text/javascript"}
STYLE = Path(__file__).with_name("pages") / "style.css"


class _Nowhere:
    """The place for a file that nobody chose, or that may not come here."""

    def write(self, data: bytes) -> int:
        """Refuse everything but nothing."""
        if data:
            raise BadRequest("这里不收文件")
        return 0

    def seek(self, _position: int) -> None:
        """Nothing to rewind."""


class _Request(Request):
    """A request whose files go straight to the disk, and only where `receive` says so."""

    max_content_length = LARGEST + (1 << 20)
    max_form_memory_size = 256 << 10
    max_form_parts = 300
    receive: Callable[[str], Incoming] | None = None

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        self.received: list[Incoming] = []

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        if not filename or self.receive is None:
            return _Nowhere()  # type: ignore[return-value]  # the parser writes and rewinds, no more
        incoming = self.receive(filename)
        self.received.append(incoming)
        return incoming  # type: ignore[return-value]


@dataclass
class _Device:
    """A browser that came with the token: `id` is what the journal calls it."""

    id: str
    actor: Actor | None = None
    last: float = 0.0


@dataclass
class _Call:
    """One request on its way: who, from which device, with which form token."""

    request: _Request
    device: _Device | None
    form_token: str

    @property
    def actor(self) -> Actor:
        """The person who acts. Raises Forbidden."""
        if self.device is None or self.device.actor is None:
            raise Forbidden("先登记姓名和口令")
        return self.device.actor


@cache
def environment() -> Environment:
    """Templates, escaping everything."""
    made = Environment(
        loader=PackageLoader("yanshou.inspect", "pages"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {
        "Standing": Standing, "Answer": Answer, "marks": MARKS, "carries": CARRIES, "said_of": said_of, "methods": METHODS,
        "shortest_pin": SHORTEST_PIN, "largest": LARGEST,
    }  # fmt: skip
    return made


@dataclass
class Site:
    """The pages of one inspection, as a WSGI application.

    `clock`: seconds, monotonic.
    """

    recorder: Recorder
    title: str
    gate: Gate
    clock: Callable[[], float] = time.monotonic
    _devices: dict[str, _Device] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request: whatever goes wrong becomes a page that says so."""
        request = _Request(environ)
        try:
            response = self._respond(request)
        except HTTPException as error:
            response = self._page(None, "problem.html.j2", error.code or 500, said=said_of_error(error, LARGEST))
        except UserError as error:
            response = self._page(None, "problem.html.j2", 422, said=[str(p) for p in error.problems])
        except OSError as error:
            problem = disk_problem(error, self.recorder.folder)
            response = self._page(None, "problem.html.j2", 507, said=[str(problem)])
        except Exception:  # a defect of ours: the page says so, the terminal says what
            traceback.print_exc()
            response = self._page(None, "problem.html.j2", 500, said=["内部错误，这一步没有记下；终端里有详情"])
        finally:
            for incoming in request.received:
                incoming.discard()
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _respond(self, request: _Request) -> Response:
        self.gate.require_host(request)
        endpoint, values = URLS.bind_to_environ(request.environ).match()
        call = self._call(request)
        if endpoint == "enter":
            return self._enter(call, **values)
        if endpoint == "static":
            return self._static(**values)
        if call.device is None:
            raise Forbidden("没有通行码：请用终端里给出的地址（或二维码）打开")
        if request.method == "POST":
            self.gate.require_own_page(request)
        page: Callable[..., Response] = getattr(self, f"_{endpoint}")
        return page(call, **values)

    def _call(self, request: _Request) -> _Call:
        cookie = request.cookies.get(COOKIE, "")
        with self._guard:
            device = self._devices.get(cookie)
            if device is not None:
                if device.actor and self.clock() - device.last > IDLE_S:
                    device.actor = None
                device.last = self.clock()
        return _Call(request, device, self.gate.form_token(cookie))

    def _form(self, call: _Call) -> Mapping[str, str]:
        """The form, once its token is right. Raises Forbidden."""
        return self.gate.form(call.request, call.form_token)

    def _page(self, call: _Call | None, template: str, status: int = 200, **values: object) -> Response:
        device = call.device if call else None
        text = environment().get_template(template).render(
            title=self.title, actor=device.actor if device else None, form_token=call.form_token if call else "",
            tally=self.recorder.tally(), plain_http=self.gate.scheme == "http", **values,
        )  # fmt: skip
        return Response(text, status, content_type="text/html; charset=utf-8")

    # --- getting in ---

    def _enter(self, call: _Call, token: str) -> Response:
        self.gate.require_token(token)
        if call.device is not None:
            return redirect("/" if call.device.actor else "/sign-in", 303)
        cookie = secrets.token_urlsafe(32)
        with self._guard:
            if len(self._devices) >= MOST_DEVICES:
                self._devices.pop(min(self._devices, key=lambda c: self._devices[c].last))
            device = self._devices[cookie] = _Device(
                hashlib.sha256(cookie.encode()).hexdigest()[:8], None, self.clock()
            )
        entered = _Call(call.request, device, self.gate.form_token(cookie))
        response = self._page(entered, "sign_in.html.j2", problems=(), names=self.recorder.names(), name="")
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", secure=self.gate.scheme == "https")
        return response

    def _static(self, name: str) -> Response:
        if name not in STATIC:
            raise NotFound
        return Response(STYLE.with_name(name).read_bytes(), content_type=STATIC[name])

    def _sign_in(self, call: _Call) -> Response:
        problems: tuple[Problem, ...] = ()
        name = ""
        if call.request.method == "POST" and call.device:
            form, agent = self._form(call), call.request.user_agent.string
            name = form.get("name", "")
            try:
                actor = self.recorder.identify(
                    name, form.get("pin", ""), call.device.id, call.request.remote_addr or "", agent
                )
            except UserError as error:
                problems = error.problems
            else:
                call.device.actor = actor
                return redirect("/", 303)
        status = 422 if problems else 200
        return self._page(call, "sign_in.html.j2", status, problems=problems, names=self.recorder.names(), name=name)

    def _sign_out(self, call: _Call) -> Response:
        self._form(call)
        if call.device:
            call.device.actor = None
        return redirect("/sign-in", 303)

    # --- the pages ---

    def _overview(self, call: _Call) -> Response:
        if call.device is None or call.device.actor is None:
            return redirect("/sign-in", 303)
        rows = [
            (
                q,
                self.recorder.tally([q]),
                [(i, self.recorder.standing(q, i), self.recorder.entry(q, i)) for i in q.items],
            )
            for q in self.recorder.sheets
        ]
        return self._page(call, "overview.html.j2", rows=rows)

    def _found(self, key: str, item_id: str) -> tuple[Questions, Item]:
        try:
            questions = self.recorder.questions(key)
            return questions, questions.item(item_id)
        except KeyError:
            raise NotFound from None

    def _item(self, call: _Call, key: str, item_id: str) -> Response:
        questions, item = self._found(key, item_id)
        problems: tuple[Problem, ...] = ()
        typed: Mapping[str, str] | None = None
        if call.request.method == "POST":
            actor = call.actor
            call.request.receive = self.recorder.receive
            typed = form = self._form(call)
            try:
                for incoming in call.request.received:
                    self.recorder.take(
                        questions, item, incoming, actor,
                        label=form.get("label", ""), source=form.get("source", ""), page=form.get("page", ""),
                    )  # fmt: skip
                if form.get("act") == "answer":
                    words = ("answer", "observed", "reason", "how", "place", "why")
                    self.recorder.answer(questions, item, actor, **{w: form.get(w, "") for w in words})
                    return redirect(f"/i/{key}/{item_id}?saved=answer", 303)
                if not call.request.received:
                    problems = (Problem("W-FILE", "没有选文件", "先拍照或选一个文件"),)
                elif not form.get("observed") and not form.get("answer"):
                    return redirect(f"/i/{key}/{item_id}?saved=file", 303)
            except UserError as error:
                problems = error.problems
        elif call.device is None or call.device.actor is None:
            return redirect("/sign-in", 303)
        return self._item_page(call, questions, item, problems, typed)

    def _item_page(
        self,
        call: _Call,
        questions: Questions,
        item: Item,
        problems: tuple[Problem, ...],
        typed: Mapping[str, str] | None,
    ) -> Response:
        entry = self.recorder.entry(questions, item)
        last = entry.answers[-1] if entry.answers else None
        if typed is not None:
            shown = {k: typed.get(k, "") for k in ("answer", "observed", "reason", "how", "place", "why")}
        elif last is not None:
            shown = {"answer": last.answer.value, "observed": last.observed, "reason": last.reason, "how": last.how}
            shown |= {"place": last.place, "why": ""}
        else:
            shown = {"answer": "", "observed": "", "reason": "", "how": item.method or "", "why": ""}
            shown["place"] = self.recorder.last_place()
        offered = [a for a in ANSWERS if not item.expert or a in (Answer.EXPERT, Answer.NOT_APPLICABLE)]
        return self._page(
            call, "item.html.j2", 422 if problems else 200,
            q=questions, item=item, entry=entry, standing=entry.standing(item), problems=problems, shown=shown,
            offered=offered, pictures=self._pictures(questions, entry.files.values()), next=self._next(questions, item),
            saved=call.request.args.get("saved", ""),
        )  # fmt: skip

    def _pictures(self, questions: Questions, files: Iterable[File]) -> frozenset[str]:
        """Which of the files a browser can show."""
        return frozenset(f.file for f in files if self._picture_type(questions, f))

    def _picture_type(self, questions: Questions, file: File) -> str | None:
        try:
            return picture_type(self.recorder.file_path(questions, file))
        except OSError:
            return None

    def _next(self, questions: Questions, item: Item) -> tuple[Questions, Item] | None:
        """The next item that nobody has answered, after this one and then from the start."""
        every = [(q, i) for q in self.recorder.sheets for i in q.items]
        at = every.index((questions, item))
        return next(((q, i) for q, i in every[at + 1 :] + every[:at] if self._waits(q, i)), None)

    def _waits(self, questions: Questions, item: Item) -> bool:
        return self.recorder.standing(questions, item) in (Standing.OPEN, Standing.DISPUTED)

    def _withdraw(self, call: _Call, key: str, item_id: str) -> Response:
        questions, item = self._found(key, item_id)
        actor, form = call.actor, self._form(call)
        try:
            self.recorder.withdraw(questions, item, form.get("file", ""), form.get("why", ""), actor)
        except UserError as error:
            return self._item_page(call, questions, item, error.problems, None)
        return redirect(f"/i/{key}/{item_id}?saved=withdrawn", 303)

    def _file(self, call: _Call, key: str, item_id: str, number: int) -> Response:
        if call.device is None or call.device.actor is None:
            raise Forbidden("先登记姓名和口令")
        questions, item = self._found(key, item_id)
        files = list(self.recorder.entry(questions, item).files.values())
        if not 1 <= number <= len(files):
            raise NotFound
        file = files[number - 1]
        kind = self._picture_type(questions, file)
        try:
            response = send_file(
                self.recorder.file_path(questions, file), call.request.environ,
                mimetype=kind or "application/octet-stream", as_attachment=kind is None,
                download_name=file.file.rpartition("/")[2], conditional=True, etag=False,
            )  # fmt: skip
        except OSError:
            raise NotFound from None
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    def _review(self, call: _Call) -> Response:
        problems: list[Problem] = []
        done = 0
        form: Mapping[str, str] = {}
        if call.device is None or call.device.actor is None:
            return redirect("/sign-in", 303)
        if call.request.method == "POST":
            form = self._form(call)
            try:
                actor = self.recorder.prove(form.get("name", ""), form.get("pin", ""), call.device.id)
                for q, i, of in self._waiting():
                    word = form.get(f"{q.key}/{i.id}/{of}", "")
                    if word in ("agree", "object"):
                        text = form.get(f"{q.key}/{i.id}/{of}/text", "")
                        try:
                            self.recorder.review(q, i, of, actor, agreed=word == "agree", text=text)
                            done += 1
                        except UserError as error:
                            problems.extend(error.problems)
                if not done and not problems:
                    problems.append(Problem("W-NOTHING", "一项也没有选", "逐项选 同意 或 不同意"))
            except UserError as error:
                problems.extend(error.problems)
            if done and not problems:
                return redirect(f"/review?done={done}", 303)
        waiting = [(q, i, self.recorder.entry(q, i), of) for q, i, of in self._waiting()]
        shown = {
            q.sheet: self._pictures(q, [f for _, _, e, _ in waiting for f in e.files.values()]) for q, *_ in waiting
        }
        me = person(call.actor.name)
        inspectors = {person(e.answers[-1].by) for _, _, e, _ in waiting}
        others = [n for n in self.recorder.names() if inspectors != {person(n)}]
        return self._page(
            call, "review.html.j2", 422 if problems else 200, waiting=waiting, problems=problems, others=others,
            chosen=form.get("name", call.actor.name if me not in inspectors else ""), typed=form, pictures=shown,
            done=call.request.args.get("done", "") if call.request.args.get("done", "").isdecimal() else "",
        )  # fmt: skip

    def _waiting(self) -> list[tuple[Questions, Item, int]]:
        """Items that wait for a second person, with the number of the answer."""
        found = []
        for q in self.recorder.sheets:
            for item in q.items:
                entry = self.recorder.entry(q, item)
                if entry.standing(item) is Standing.WAITING:
                    found.append((q, item, entry.answers[-1].seq))
        return found

    def _record(self, call: _Call, key: str) -> Response:
        if call.device is None or call.device.actor is None:
            return redirect("/sign-in", 303)
        try:
            questions = self.recorder.questions(key)
        except KeyError:
            raise NotFound from None
        page = record_page(self.recorder, questions, self.title, style=None)
        return Response(page, content_type="text/html; charset=utf-8")


def record_page(recorder: Recorder, questions: Questions, title: str, style: str | None) -> str:
    """The record of one checklist for printing and signing. `style` goes inside; None links to the site's own."""
    items = [(i, recorder.entry(questions, i)) for i in questions.items]
    return environment().get_template("record.html.j2").render(
        title=title, q=questions, rows=items, tally=recorder.tally([questions]), style=style, ledger=recorder.ledger
    )  # fmt: skip
