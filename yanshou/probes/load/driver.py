"""The process that makes the load: locust, its users on a fixed schedule, and every request on its way to the evidence.

It is a process of its own, because locust patches the interpreter it is loaded into: `python -m yanshou.probes.load.driver`,
alone or with workers on other hosts, and `... driver worker HOST PORT` on those. locust starts, spreads and watches the users and
carries messages between hosts; when a request is due, and how long it took, is decided here. It must never judge, never write a
file, and never pass a password to another host or into a row.

Standard input: the job, one line of JSON; its end, or another line, ends the load. Standard output: lines of JSON, of which one
with "bytes" is followed by so many octets of rows. Memory is bounded by what is sent within FLUSH_S.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

os.environ["LOCUST_MASTER_HEARTBEAT_TIMEOUT"] = "10"  # a worker without master must not go on for long
import gevent
import locust
from gevent.event import AsyncResult, Event
from gevent.lock import RLock
from gevent.os import make_nonblocking, nb_write
from gevent.socket import wait_read
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import STATE_MISSING, MasterRunner

from yanshou.harness.basics import ProbeError
from yanshou.probes.devices.sources.login import name_and_secret
from yanshou.probes.load.mqtt import Device, Refused
from yanshou.probes.load.schedule import Plan
from yanshou.probes.load.streams import REQUEST_ID

LOCAL = "local"
FLUSH_S = 0.5
ROWS_AT_ONCE = 4096
LEAD_NS = 500_000_000
TICK_S = 0.2
SPAWN_S = 30.0
CLOCK_READINGS = 10
ANSWER_S = 10.0

Job: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[int], tuple[str, int]]
"""Sends request number n; its status and the octets that came or, for a message, went."""


class Board:
    """What the users of this process share: the job, their schedule, their rows. Times of `go` are this process's MONOTONIC."""

    def __init__(self, name: str, hand_in: Callable[[str, int, int], None]) -> None:
        self.name, self._hand_in = name, hand_in
        self.go, self.ended, self.finished = Event(), Event(), Event()
        self._spawned = self._left = 0
        self._lines: list[str] = []
        self._failed = 0
        self.rows = 0

    def start(self, job: Job, login: tuple[str, str] | None, first: int, count: int, start_ns: int) -> None:
        """Users `first` to `first + count` begin at `start_ns` of this host's REALTIME."""
        self.job, self.plan, self.login = job, Plan(**job["plan"]), login
        self.tls = _tls(job)
        self.first, self._left, self._count = first, count, count
        self.shift = time.time_ns() - time.monotonic_ns()
        self.start_ns, self.end_ns = start_ns - self.shift, job["end_ns"]
        self.go.set()

    def end(self, end_ns: int) -> None:
        """Nothing that is due later than `end_ns` from the start is sent any more."""
        self.end_ns = end_ns
        self.ended.set()

    def join(self) -> int | None:
        """The number of a new user, once the load begins; None for one too many (locust re-spawns those of a lost worker)."""
        place, self._spawned = self._spawned, self._spawned + 1
        self.go.wait()
        return self.first + place if place < self._count else None

    def leave(self) -> None:
        """A user has sent what it had to."""
        self._left -= 1
        if self._left == 0:
            self.finished.set()

    def row(self, user: int, seq: int, times: tuple[int, int, int], status: str, octets: int, good: bool) -> None:
        """The fate of one request."""
        due, begun, done = (t + self.shift for t in times)
        self._lines.append(f"{self.name},{user},{seq},{due},{begun},{done},{status},{octets}\n")
        self._failed += not good
        if len(self._lines) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand in what there is."""
        lines, self._lines, failed, self._failed = self._lines, [], self._failed, 0
        self.rows += len(lines)
        if lines:
            self._hand_in("".join(lines), len(lines), failed)

    def keep_flushing(self) -> None:
        """In a greenlet of its own."""
        while True:
            gevent.sleep(FLUSH_S)
            self.flush()


def _tls(job: Job) -> Any:
    import ssl  # only now: gevent must have patched it first

    return ssl.create_default_context(cadata=job["ca"])


def user_class(board: Board) -> type[locust.User]:
    """The users that locust starts."""

    class VirtualUser(locust.User):
        @locust.task
        def serve(self) -> None:
            user = board.join()
            if user is None:
                board.finished.wait()
            else:
                play(board, user, sender(board, user, self.environment))
                board.leave()
            raise StopUser

    return VirtualUser


def play(board: Board, user: int, send: Send) -> None:
    """The whole schedule of one user, open loop. What is not begun `timeout_s` after the end stays undone."""
    grace, good = round(board.job["timeout_s"] * 1e9), frozenset(board.job["good"])
    first, gap, seq = board.plan.first(user), board.plan.gap_ns, 0
    while True:
        offset = first + seq * gap
        due = board.start_ns + offset
        while (left := due - time.monotonic_ns()) > 0 and not board.ended.is_set():
            board.ended.wait(left / 1e9)
        begun = time.monotonic_ns()
        if board.end_ns is not None and (offset >= board.end_ns or begun > board.start_ns + board.end_ns + grace):
            return
        status, octets = send(seq)
        board.row(user, seq, (due, begun, time.monotonic_ns()), status, octets, status in good)
        seq += 1


def sender(board: Board, user: int, environment: Environment) -> Send:
    """How user number `user` sends."""
    make = {"http": http_sender, "mqtt": mqtt_sender}[board.job["target"]["kind"]]
    return make(board, user, environment)


def http_sender(board: Board, user: int, environment: Environment) -> Send:
    """Requests of a user that keeps its connection, follows no redirection, and checks the certificate."""
    target, timeout = board.job["target"], board.job["timeout_s"]
    body = b"x" * target["size"] if target["size"] else None
    client = FastHttpSession(
        base_url="",
        request_event=environment.events.request,
        user=None,
        insecure=False,
        ssl_context_factory=lambda: board.tls,
        network_timeout=timeout,
        connection_timeout=timeout,
        max_retries=0,
    )

    def send(seq: int) -> tuple[str, int]:
        headers = {"X-Request-Id": REQUEST_ID.format(user, seq)}
        try:
            with client.request(
                target["method"],
                target["url"],
                data=body,
                headers=headers,
                auth=board.login,
                name="http",
                catch_response=True,
                allow_redirects=False,
            ) as response:
                if error := getattr(response, "error", None):
                    if not response.status_code:
                        return failure(error), 0
                elif response.status_code in target["expected"]:
                    response.success()
                else:
                    response.failure("unexpected status")
                return str(response.status_code), len(response.content or b"")
        except Exception as error:
            return failure(error), 0

    return send


def mqtt_sender(board: Board, user: int, environment: Environment) -> Send:
    """Messages of a virtual device, each a JSON object with who it is and which one it is."""
    target, name = board.job["target"], f"yanshou-load-{user}"
    tls = board.tls if target["tls"] else None
    device = Device((target["host"], target["port"]), name, board.job["timeout_s"], board.login, tls)
    topic = target["topic"].replace("{user}", str(user))
    fire: Callable[..., None] = environment.events.request.fire

    def send(seq: int) -> tuple[str, int]:
        text = json.dumps({"sn": name, "n": seq}).ljust(target["size"])
        begun, octets, exception, status = time.perf_counter(), 0, None, "ok"
        try:
            octets = device.publish(topic, text.encode())
        except Exception as error:
            exception, status = error, failure(error)
        fire(
            request_type="PUBLISH",
            name="mqtt",
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=octets,
            exception=exception,
            context={},
        )
        return status, octets

    return send


def failure(error: BaseException) -> str:
    """The word for why nothing usable came."""
    import ssl

    words: tuple[tuple[type[BaseException], str], ...] = (
        (ssl.SSLError, "tls"),
        (TimeoutError, "timeout"),
        (ConnectionRefusedError, "refused"),
        (Refused, "refused"),
        (ConnectionError, "closed"),
    )
    return next((word for kind, word in words if isinstance(error, kind)), "error")


# --- who leads ---------------------------------------------------------------------------------------------------------


class Lead:
    """This process as the one that reports to `yanshou`: standard output, the order to end, and what took part."""

    def __init__(self, job: Job) -> None:
        self.job, self._guard = job, RLock()
        self.rows: dict[str, int] = {}
        self.steady_told = False
        make_nonblocking(1)

    def emit(self, event: dict[str, Any], block: bytes = b"") -> None:
        """One event, with rows where there are any. Waits, and only this greenlet, while the reader is slow."""
        line = json.dumps({**event, **({"bytes": len(block)} if block else {})}, ensure_ascii=False).encode() + b"\n"
        with self._guard:
            data = memoryview(line + block)
            while data:
                data = data[nb_write(1, data) :]

    def take_rows(self, worker: str, text: str, number: int, failed: int) -> None:
        """Rows of a worker."""
        self.rows[worker] = self.rows.get(worker, 0) + number
        self.emit({"event": "rows", "n": number, "failed": failed}, text.encode())

    def order_to_end(self) -> AsyncResult:
        """Set when standard input ends or says another line."""
        told = AsyncResult()

        def wait() -> None:
            wait_read(0)
            told.set(True)

        gevent.spawn(wait)
        return told

    def run(self, start_ns: int, end: Callable[[int], None], finished: Callable[[], bool]) -> None:
        """From the start (REALTIME) until all have finished; tells when all have joined, and ends it when told to."""
        told, ramp_ns = self.order_to_end(), self.job["plan"]["ramp_ns"]
        began = time.monotonic_ns() + start_ns - time.time_ns()
        stopped = False
        while not finished():
            now = time.monotonic_ns() - began
            if now >= ramp_ns and not self.steady_told:
                self.steady_told = True
                self.emit({"event": "steady"})
            if told.ready() and not stopped:
                stopped = True
                stop_ns = min(max(now, 0), self.job["end_ns"] or now)
                self.emit({"event": "stop", "end_ns": stop_ns})
                end(stop_ns)
            told.wait(TICK_S) if not stopped else gevent.sleep(TICK_S)
        if not stopped:
            self.emit({"event": "stop", "end_ns": self.job["end_ns"]})

    def close(self, environment: Environment) -> None:
        """The last line."""
        total = environment.stats.total
        own: dict[str, Any] = {"requests": total.num_requests, "failures": total.num_failures}
        for share in (0.5, 0.9, 0.99):
            own[f"p{100 * share:g}_ms"] = total.get_response_time_percentile(share)
        self.emit({"event": "end", "rows": self.rows, "locust": own})


def lead_alone(lead: Lead, job: Job) -> None:
    """All users in this process."""
    board = Board(LOCAL, lambda text, number, failed: lead.take_rows(LOCAL, text, number, failed))
    environment = Environment(user_classes=[user_class(board)])
    runner = environment.create_local_runner()
    users = job["plan"]["users"]
    runner.start(users, spawn_rate=users)
    with gevent.Timeout(SPAWN_S):
        while runner.user_count < users:
            gevent.sleep(0.01)
    gevent.spawn(board.keep_flushing)
    start_ns = time.time_ns() + LEAD_NS
    lead.emit(_worker(LOCAL, 0, users, start_ns, 0, 0))
    board.start(job, job["login"] and tuple(job["login"]), 0, users, start_ns)
    lead.run(start_ns, board.end, board.finished.is_set)
    board.flush()
    runner.quit()
    lead.close(environment)


def _worker(name: str, first: int, users: int, start_ns: int, offset_ns: int, bound_ns: int) -> dict[str, Any]:
    return {
        "event": "worker", "worker": name, "first": first, "users": users, "start_ns": start_ns,
        "offset_ns": offset_ns, "bound_ns": bound_ns,
    }  # fmt: skip


def lead_others(lead: Lead, job: Job) -> None:
    """All users on workers that come from elsewhere. Raises Trouble when they do not."""
    environment = Environment(user_classes=[user_class(Board("", lambda *_: None))])
    runner = environment.create_master_runner(job["master_host"], job["master_port"])
    done: dict[str, int] = {}
    answers: dict[str, AsyncResult] = {}
    runner.register_message("rows", lambda msg, **_: lead.take_rows(msg.node_id, **msg.data))
    runner.register_message("done", lambda msg, **_: done.update({msg.node_id: msg.data["rows"]}))
    runner.register_message("clock", lambda msg, **_: answers[msg.node_id].set((msg.data["ns"], time.time_ns())))
    runner.register_message("unfit", lambda msg, **_: answers[msg.node_id].set_exception(Trouble(msg.data["code"])))
    lead.emit({"event": "waiting"})
    _await(lambda: len(runner.clients.ready) >= job["workers"], job["workers_s"], "LOD-E03")
    runner.start(job["plan"]["users"], spawn_rate=job["plan"]["users"])
    _await(lambda: runner.user_count >= job["plan"]["users"], SPAWN_S, "LOD-E03")
    clocks = {name: _clock(runner, name, answers, job) for name in runner.clients}
    start_ns, first = time.time_ns() + 2 * LEAD_NS, 0
    own = {key: value for key, value in job.items() if key != "login"}
    for name, (offset_ns, bound_ns) in clocks.items():
        users = runner.clients[name].user_count
        lead.emit(_worker(name, first, users, start_ns + offset_ns, offset_ns, bound_ns))
        told = {"job": own, "first": first, "count": users, "start_ns": start_ns + offset_ns}
        runner.send_message("go", told, name)
        first += users
    lost: set[str] = set()

    def finished() -> bool:
        for name in set(clocks) - lost - set(done):
            node = runner.clients.get(name)
            if node is None or node.state == STATE_MISSING:
                lost.add(name)
                lead.emit({"event": "lost", "worker": name})
        return set(clocks) == lost | set(done)

    lead.run(start_ns, lambda end_ns: runner.send_message("end", {"end_ns": end_ns}), finished)
    runner.quit()
    lead.close(environment)


def _await(ready: Callable[[], bool], seconds: float, code: str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Trouble(code)
        gevent.sleep(0.05)


def _clock(runner: MasterRunner, name: str, answers: dict[str, AsyncResult], job: Job) -> tuple[int, int]:
    """(worker's clock minus ours, how far that may be wrong) of the quickest of some exchanges, ns. Raises Trouble."""
    best = (0, 1 << 62)
    for _ in range(CLOCK_READINGS):
        answers[name] = AsyncResult()
        before = time.time_ns()
        runner.send_message("clock", {"login": job["needs_login"]}, name)
        try:
            there, after = answers[name].get(timeout=ANSWER_S)
        except gevent.Timeout:
            raise Trouble("LOD-E03") from None
        best = min(best, (there - (before + after) // 2, (after - before) // 2), key=lambda found: found[1])
    return best


class Trouble(Exception):
    """What keeps a load from beginning: a code that the capture has words for."""


def lead(job: Job) -> None:
    """Lead until the end. What goes wrong before is told as an event."""
    leader = Lead(job)
    try:
        (lead_others if job["workers"] else lead_alone)(leader, job)
    except Trouble as trouble:
        leader.emit({"event": "trouble", "code": str(trouble)})


def work(host: str, port: int, login: tuple[str, str] | None) -> None:
    """Serve a master until it says that it is over."""

    def hand_in(text: str, number: int, failed: int) -> None:
        runner.send_message("rows", {"text": text, "number": number, "failed": failed})

    board = Board("", hand_in)
    environment = Environment(user_classes=[user_class(board)])
    runner = environment.create_worker_runner(host, port)
    board.name = runner.client_id

    def on_clock(msg: Any, **_: Any) -> None:
        if msg.data["login"] and login is None:
            runner.send_message("unfit", {"code": "LOD-E05"})
        else:
            runner.send_message("clock", {"ns": time.time_ns()})

    def on_go(msg: Any, **_: Any) -> None:
        board.start(msg.data["job"], login, msg.data["first"], msg.data["count"], msg.data["start_ns"])

    def report() -> None:
        board.finished.wait()
        board.flush()
        counted: dict[str, Any] = {}  # locust reports every few seconds: without this its count ends early
        fire: Callable[..., None] = environment.events.report_to_master.fire
        fire(client_id=runner.client_id, data=counted)
        runner.send_message("stats", counted)
        runner.send_message("done", {"rows": board.rows})

    runner.register_message("clock", on_clock)
    runner.register_message("go", on_go)
    runner.register_message("end", lambda msg, **_: board.end(msg.data["end_ns"]))
    gevent.spawn(board.keep_flushing)
    gevent.spawn(report)
    runner.greenlet.join()


def _more_files() -> None:
    """As many connections as the system permits: the usual soft limit is 1024."""
    with suppress(ImportError):  # there is no such limit on Windows
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(arguments: list[str]) -> None:
    """See the module's docstring; `worker HOST PORT [CREDENTIALS]`."""
    _more_files()
    code = 0
    try:
        if arguments[:1] == ["worker"]:
            login = name_and_secret(Path(), arguments[3], "LOD-E04") if len(arguments) > 3 else None
            work(arguments[1], int(arguments[2]), login)
        else:
            lead(json.loads(sys.stdin.buffer.readline()))
    except (ProbeError, ConnectionError) as error:
        code = 1
        sys.stderr.write(f"{str(error) or type(error).__name__}\n")
    except KeyboardInterrupt:
        code = 1
    os._exit(code)  # what still hangs in a library must not keep the process


if __name__ == "__main__":
    main(sys.argv[1:])
