"""The command line: one verb per step of an acceptance, messages in Chinese, exit codes as a contract.

It must never decide, compute or record anything itself: every verb calls one room and shows what it says. Heavy imports
live inside the verbs, so that `yanshou --help` answers at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from yanshou.harness.basics import ExitCode, ProbeError, Problem, UserError, refusal
from yanshou.pdf_verbs import pdf_app, print_json, role_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from yanshou.harness.envelope import Signer
    from yanshou.harness.keys import PrivateKey
    from yanshou.harness.sealing import Show, ToSign
    from yanshou.harness.trust import Reader, TrustedKey

app = typer.Typer(
    name="yanshou",
    help="验收：测量交付的系统，与承诺比较，写出可签署、可复核的报告。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_app = typer.Typer(help="签名密钥。", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.add_typer(pdf_app, name="pdf")
trust_app = typer.Typer(help="信任文件：信谁的签名，加密给谁。", no_args_is_help=True)
app.add_typer(trust_app, name="trust")


class Lang(StrEnum):
    """Languages of a report."""

    ZH = "zh"
    EN = "en"


Folder = Annotated[Path | None, typer.Argument(help="案卷文件夹；不写则从当前目录向上找 case.yaml")]
AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="网页的端口；0 由系统选")]
Yes = Annotated[bool, typer.Option("--yes", help="在终端上也不问（脚本用）")]


def _out() -> Console:
    from yanshou.show import console

    return console()


def _case_folder(folder: Path | None) -> Path:
    """The case folder named, or the nearest one upwards. Raises UserError."""
    from yanshou.harness.case import find_case

    return find_case(folder or Path.cwd()).parent


def _require_absent(path: Path) -> None:
    """Nothing is written over. Raises UserError."""
    if path.exists():
        raise UserError(Problem("E-EXISTS", f"{path.name} 已经存在", "换一个文件名，或先移走它", path))


def _leave(code: int) -> NoReturn:
    raise typer.Exit(int(code))


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="版本、提交与源码摘要")] = False) -> None:
    """Global options."""
    if version:
        from yanshou.harness.identity import tool_identity

        tool = tool_identity()
        dirty = "+改动" if tool.dirty else ""
        typer.echo(f"yanshou {tool.version} {tool.commit or '非版本库'}{dirty} sha256:{tool.sha256}")
        _leave(ExitCode.OK)


@app.command("list")
def list_(
    scenario: Annotated[int | None, typer.Argument(help="场景序号 1–10")] = None,
    methods: Annotated[
        bool, typer.Option("--methods", help="全部指标与要求的默认方法、仪器与校准，Markdown 表")
    ] = False,
    demo: Annotated[
        list[Path] | None, typer.Option("--demo", help="与 --methods 同用：演示的数据包，核验后写上判定；可多次给出")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """看榜单:全部场景,或一个场景的指标、原文与恢复文字；--methods 看默认方法。"""
    from yanshou.harness import listing_view
    from yanshou.harness.listing import load_list

    public_list = load_list()
    if methods:
        from yanshou import overview

        verdicts = overview.demo_verdicts(demo or [])
        if as_json:
            rows = [row for s in public_list.scenarios for row in overview.rows(public_list, s, verdicts)]
            print_json([dict(zip(overview.HEAD, row, strict=True)) for row in rows])
        else:
            typer.echo(overview.markdown(public_list, verdicts), nl=False)
        return
    if scenario is None:
        if as_json:
            print_json([listing_view.to_json(s) for s in public_list.scenarios])
        else:
            _out().print(listing_view.overview(public_list))
        return
    try:
        found = public_list.scenario(scenario)
    except KeyError:
        raise UserError(Problem("C01", f"榜单没有场景 {scenario}", "场景序号是 1–10，见 yanshou list")) from None
    if as_json:
        print_json(listing_view.to_json(found))
    else:
        _out().print(listing_view.detail(found))


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="新案卷文件夹")],
    scenario: Annotated[int, typer.Option("--scenario", help="场景序号 1–10")],
    mode: Annotated[str, typer.Option("--mode", help="acceptance | self-check | demo")] = "self-check",
) -> None:
    """新建案卷:写出带注释的 case.yaml,由人填写。"""
    from yanshou.harness.case_template import new_case
    from yanshou.harness.engine import params_help
    from yanshou.harness.evidence import require_writable, write_atomic
    from yanshou.harness.listing import load_list
    from yanshou.harness.model import Mode

    public_list = load_list()
    if scenario not in {s.number for s in public_list.scenarios}:
        raise UserError(Problem("C01", f"榜单没有场景 {scenario}", "场景序号是 1–10，见 yanshou list"))
    if mode not in list(Mode):
        raise UserError(Problem("E-MODE", f"没有模式 {mode}", f"可用：{'、'.join(Mode)}"))
    target = folder / "case.yaml"
    if target.exists():
        raise UserError(Problem("E-EXISTS", "已有案卷，不覆盖", "换一个文件夹", target))
    text = new_case(public_list, scenario, mode, params_help())
    folder.mkdir(parents=True, exist_ok=True)
    require_writable(folder)
    write_atomic(target, text.encode())
    typer.echo(f"已写出 {target} → 填写后运行 yanshou check {folder}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="申报材料的表1：.docx、.xlsx、.csv；扫描件与旧格式加 --by-hand")],
    folder: Folder = None,
    accept: Annotated[bool, typer.Option("--accept", help="不问就写入，记为未确认；计划冻结前仍须由人确认")] = False,
    by_hand: Annotated[bool, typer.Option("--by-hand", help="照扫描件由两人各录一遍，不一致不写入")] = False,
    scan: Annotated[Path | None, typer.Option("--scan", help="盖章扫描件，与表1 成对登记，由人核对一致")] = None,
    as_json: AsJson = False,
) -> None:
    """导入表1:逐行提出指标与限值,由人确认后写入案卷;不覆盖已写的值。"""
    from yanshou.confirm import import_into
    from yanshou.importers.writing import offer
    from yanshou.show import console

    place = _case_folder(folder)
    if as_json and not accept:
        print_json([p.to_json() for p in offer(place, source).proposals])
        return
    out = console(stderr=as_json)
    done = import_into(place, source, scan, out, accept=accept, by_hand=by_hand, terminal=sys.stdin.isatty())
    if as_json:
        print_json([p.to_json() for p in done.proposals])
    else:
        word = f"由 {'、'.join(done.people)} 确认" if done.people else "未确认，计划不能冻结" if accept else "早已确认"
        said = (
            f"{len(done.proposals)} 条{word}，写入 {done.written} 个值：{place / 'case.yaml'} → yanshou check {place}"
        )
        out.print(said, markup=False, soft_wrap=True)


@app.command()
def check(folder: Folder = None, as_json: AsJson = False) -> None:
    """检查案卷:规则 C01–C18,逐条给出文件、行号、错在哪、怎么办。"""
    from yanshou.harness.case import load_case
    from yanshou.harness.check import check_case
    from yanshou.harness.listing import load_list
    from yanshou.show import problems

    case = load_case(_case_folder(folder))
    found = check_case(case, load_list(case.document.list))
    errors = [p for p in found if p.severity == "error"]
    if as_json:
        print_json({"file": str(case.path), "sha256": case.sha256, "problems": [p.to_json() for p in found]})
    else:
        out = _out()
        problems(found, out)
        warnings = sum(p.severity == "warning" for p in found)
        out.print(f"{case.path}：{len(errors)} 处错误，{warnings} 处提醒", markup=False)
    if errors:
        _leave(ExitCode.USAGE)


@app.command()
def doctor(folder: Folder = None, as_json: AsJson = False) -> None:
    """检查这台机器能不能测:时钟、权限、磁盘、字体、国密。"""
    from yanshou.harness.doctor import examine

    checks = examine(folder or Path.cwd())
    if as_json:
        print_json([c.to_json() for c in checks])
    else:
        for c in checks:
            typer.echo(f"{'✔ 可用' if c.ok else '✘ 注意'} {c.code} {c.text}" + ("" if c.ok else f" → {c.remedy}"))
    if any(not c.ok and c.needed for c in checks):
        _leave(ExitCode.UNDECIDED)


@app.command()
def calibrate(
    probe: Annotated[str | None, typer.Argument(help="仪器名，或一族的名字（model、chain）；不写则全部")] = None,
    as_json: AsJson = False,
) -> None:
    """用已知真值的标准器校准仪器,给出示值误差。退出码 0 在允差内,1 超差,3 标准器在这台机器上用不了。"""
    from yanshou.harness.calibrate import calibrate_here
    from yanshou.probes.contract import Probe, find_probes, probe_names
    from yanshou.show import TerminalObserver, console

    observer = TerminalObserver(console(stderr=True))
    results, stopped = [], []
    chosen = find_probes(probe) if probe else tuple(map(Probe, probe_names()))
    for found in chosen:
        observer.calibrating(found.name)
        try:
            results.append(calibrate_here(found, observer.news))
        except UserError as error:
            if found.name == probe:
                raise
            stopped.append(error)
            for problem in error.problems:
                observer.problem(problem)
        finally:
            observer.stop()
    if as_json:
        print_json(results[0].to_json() if chosen[0].name == probe else [r.to_json() for r in results])
    else:
        for r in results:
            typer.echo(f"{r.probe}:{'在允差内' if r.within else '超差'}（允差 {r.tolerance:g} {r.unit}）")
            said = ""
            for p in r.points:
                paired = f"  逐个配对误差 P99 {p.paired[2]:+.4g} P99.9 {p.paired[3]:+.4g}" if p.paired else ""
                name = "本底" if p is r.floor else "真值"
                typer.echo(
                    f"  {name} {_digits(p.true)}  示值 {_digits(p.indicated)}  误差 {p.error:+.4g} {r.unit}  n={p.n}{paired}"
                )
                if p.basis not in ("", said):
                    typer.echo(f"    {p.basis}")
                    said = p.basis
    if not all(r.within for r in results):
        _leave(ExitCode.FAIL)
    if stopped:
        _leave(ExitCode.UNDECIDED)


def _digits(value: float) -> str:
    """A count to its last digit, a measured value to six."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"


@app.command()
def plan(
    folder: Folder = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="冻结计划（已冻结时登记为变更）")] = False,
    author: Annotated[str | None, typer.Option("--author", help="变更人")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="变更理由")] = None,
    as_json: AsJson = False,
) -> None:
    """测试计划:方法、样本、时长、设备、待定口径。不加 --freeze 只看不写。"""
    from yanshou.harness.engine import draft, freeze_case
    from yanshou.harness.model import Mode
    from yanshou.harness.plan import open_points
    from yanshou.show import equipment_lines, plan_table, problems

    place = _case_folder(folder)
    word = ""
    if freeze:
        shown, word = freeze_case(place, author, reason)
    else:
        shown = draft(place).plan
    if as_json:
        print_json(
            {**json.loads(shown.to_bytes()), "sha256": shown.sha256, "open": [p.to_json() for p in open_points(shown)]}
        )
        return
    out = _out()
    out.print(plan_table(shown))
    problems(open_points(shown), out)
    if shown.not_planned:
        out.print(f"未纳入计划的榜单指标：{'、'.join(shown.not_planned)}", markup=False)
    for line in equipment_lines(shown):
        out.print(f"需要：{line}", markup=False)
    said = {
        "frozen": "计划已冻结",
        "unchanged": "计划早已冻结，没有变化",
        "amended": f"变更已登记，计划第 {shown.revision} 版",
    }
    if freeze:
        out.print(f"{said[word]}：{place / 'plan.lock.json'} sha256:{shown.sha256}", markup=False, soft_wrap=True)
        if shown.mode is Mode.ACCEPTANCE and word != "unchanged":
            first = f"yanshou sign {place} --plan --role tester --key 私钥 --with project=受检方的公钥文件"
            out.print(f"→ 测量之前由双方签计划：{first}", markup=False, soft_wrap=True)


@app.command()
def inspect(
    folder: Folder = None,
    web: Annotated[bool, typer.Option("--web", help="用网页填写（平板、手机），不用终端")] = False,
    lan: Annotated[
        bool, typer.Option("--lan", help="网页开到局域网，给出带通行码的地址与二维码；默认只在本机")
    ] = False,
    bind: Annotated[str | None, typer.Option("--bind", help="局域网里用本机的哪个地址")] = None,
    port: Port = 0,
    tls: Annotated[bool, typer.Option("--tls", help="网页用自签证书加密，给出指纹供核对")] = False,
    as_json: AsJson = False,
) -> None:
    """现场查验:照冻结的清单逐项收证据、作答,第二人复核;随时可断,再运行即接着做。"""
    from yanshou.inspect.session import in_terminal, on_pages, progress_json

    place = _case_folder(folder)
    if as_json:
        print_json(progress_json(place))
    elif web or lan or bind:
        from yanshou.local_site import LOOPBACK, lan_address

        on_pages(place, _out(), host=bind or (lan_address() if lan else LOOPBACK), port=port, tls=tls)
    else:
        in_terminal(place, _out())


@app.command()
def sample(
    folder: Folder = None,
    xlsx: Annotated[Path | None, typer.Option("--xlsx", help="另写一份带到现场填的名单（Excel、WPS）")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="另写一份打印用的名单（网页）")] = None,
    from_: Annotated[Path | None, typer.Option("--from", help="读回填好的 xlsx 名单，写进核验表")] = None,
    as_json: AsJson = False,
) -> None:
    """抽样核验的名单：按冻结的种子抽取，写进还没有填过的核验表；填好的名单读回来。"""
    from yanshou.harness.engine import lay_out_samples
    from yanshou.show import problems
    from yanshou.worklist import take_back, worklists, write_html, write_xlsx

    place = _case_folder(folder)
    if from_ is not None:
        returned = take_back(place, from_)
        if as_json:
            print_json([{"file": str(r.path), "rows": r.rows, "answered": r.answered} for r in returned])
        else:
            for r in returned:
                typer.echo(f"{r.path}：{r.indicator} {r.rows} 条，已有结果 {r.answered} 条")
        return
    for path in filter(None, (xlsx, html)):
        _require_absent(path)  # it may hold what people found
    sheets, open_ = lay_out_samples(place)
    written = [(path, write) for path, write in ((xlsx, write_xlsx), (html, write_html)) if path is not None]
    if written:
        lists = worklists(place, [s.drawn for s in sheets])
        if not lists:
            raise UserError(open_ or Problem("L-NONE", "没有抽中的名单可写", "计划里要有抽样核验的指标", place))
        for path, write in written:
            write(lists, path)
    if as_json:
        files = [{"file": str(s.path), "rows": s.rows, "written": s.written} for s in sheets]
        more = {"worklists": [str(path) for path, _ in written]} if written else {}
        print_json({"sheets": files, "problems": [p.to_json() for p in open_], **more})
    else:
        for s in sheets:
            typer.echo(f"{s.path}：{s.rows} 条待核验" if s.written else f"{s.path}：已有内容，没有改动")
        for path, _ in written:
            typer.echo(f"名单：{path}")
        problems(open_, _out())
        if not sheets and not open_:
            typer.echo("计划里没有要抽样核验的指标")
    if open_:
        _leave(ExitCode.USAGE)


@app.command()
def run(
    folder: Folder = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="只测这些指标，可多次给出")] = None,
    subject: Annotated[list[str] | None, typer.Option("--subject", help="只测这些受检对象")] = None,
    condition: Annotated[list[str] | None, typer.Option("--condition", help="只测这些工况")] = None,
    again: Annotated[bool, typer.Option("--again", help="对 --only 的指标再用掉计划内的一次")] = False,
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", help="收入采集包录的文件夹（见 yanshou kit），不在本机测量；可多次给出"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """按冻结的计划测量;已完成的保留,被中断的另起一次。"""
    from yanshou.harness.assess import exit_verdict
    from yanshou.harness.engine import run_case
    from yanshou.harness.intake import take_in
    from yanshou.harness.recording import EVERYTHING, Selection
    from yanshou.show import TerminalObserver, conclusion, console, result_table

    place = _case_folder(folder)
    out = console(stderr=as_json)
    _warn_unsigned(place, ask=not as_json)
    selection = Selection(only or (), subject or (), condition or (), again)
    if from_ and selection != EVERYTHING:
        remedy = "先 yanshou run 案卷 --from 文件夹，再另行测量"
        raise UserError(Problem("E-FROM", "--from 收入文件夹里的全部运行，不与其他选择同用", remedy))
    summary = take_in(place, from_) if from_ else run_case(place, TerminalObserver(out), selection)
    record = summary.record
    if as_json:
        print_json(record)
    else:
        out.print(result_table(record))
        out.print(conclusion(record))
        out.print(f"记录：{place / 'record.json'} → 下一步 yanshou report {place}", markup=False, soft_wrap=True)
        ledger = record["ledger"]
        head = f"台账 {ledger['records']} 条，末端 {ledger['head'][:16]} → 请见证人抄录，事后删改尾部即可发现"
        out.print(head, markup=False, soft_wrap=True)
    _leave(ExitCode.INTERNAL if summary.crashed else exit_verdict(record))


def _warn_unsigned(place: Path, *, ask: bool) -> None:
    """Before an acceptance is first measured: without both signatures on its plan no formal report can follow any more.

    Raises Abort where a person at the terminal would rather have it signed first.
    """
    from yanshou.harness.assess import load_state, timely_seals
    from yanshou.harness.model import Mode
    from yanshou.harness.runs import MEASUREMENT
    from yanshou.harness.sealing import PLAN_ROLES

    state = load_state(place)
    missing = sorted(role.word for role in PLAN_ROLES if role.value not in timely_seals(state).signers)
    begun = any(r.purpose == MEASUREMENT for r in state.runs) or any(r["kind"] == "kit" for r in state.records)
    if state.plan.mode is not Mode.ACCEPTANCE or begun or not missing:
        return
    text = f"计划还没有{'、'.join(missing)}的签名；一旦开始测量，就再也签不出正式报告"
    remedy = f"先由双方 yanshou sign {place} --plan；只想试测，用 mode: self-check 的案卷"
    typer.echo(str(Problem("S-E13", text, remedy, place / "plan.lock.json", severity="warning")), err=True)
    if ask and sys.stdin.isatty():
        typer.confirm("仍然现在测量？", abort=True, err=True)


@app.command()
def trace(
    indicator: Annotated[str, typer.Argument(help="指标编号，如 S04-I03")],
    folder: Folder = None,
    number: Annotated[int | None, typer.Option("--run", help="运行编号；不写则取最后一次完成的")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="写到这个 CSV 文件；不写则打印")] = None,
) -> None:
    """没有计入的每一行：行号、原因代码、关键列（受保护的只有代号）。"""
    import csv

    from yanshou.harness.tracing import left_out

    rows = left_out(_case_folder(folder), indicator, number)
    if output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    _require_absent(output)
    with output.open("x", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        count = sum(1 for row in rows if writer.writerow(row)) - 1
    typer.echo(f"{output}：{count} 行没有计入")


@app.command()
def reidentify(
    table: Annotated[Path, typer.Argument(help="含代号（h:…）的 CSV，如 yanshou sample 或 trace 的输出")],
    output: Annotated[Path, typer.Argument(help="还原后的 CSV，放在案卷文件夹之外，留在现场")],
    folder: Folder = None,
) -> None:
    """在现场用现场密钥把代号还原为关键列的值，供核验人员查找。"""
    from yanshou.harness.tracing import reidentified

    place = _case_folder(folder)
    if output.resolve().is_relative_to(place.resolve()):
        raise UserError(Problem("T-PLACE", f"{output.name} 在案卷文件夹里", "写到案卷文件夹之外，留在现场"))
    _require_absent(output)
    text, found, rows = reidentified(place, table)
    output.touch(0o600, exist_ok=False)  # what it holds is for whoever goes and looks, and nobody else
    with output.open("w", encoding="utf-8", newline="") as f:
        f.write(text)
    typer.echo(f"{output}：{rows} 行里的 {found} 个代号已还原；只留在现场")


@app.command()
def kit(
    probe: Annotated[str, typer.Argument(help="仪器名，如 rtt；或计划只用了其中一种的一族，如 model")],
    folder: Folder = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="采集包文件")] = Path("kit.pyz"),
    as_json: AsJson = False,
) -> None:
    """做采集包:在只有 Python 3.8 的终端上录证据,带回用 run --from 收入。"""
    from yanshou.kit.build import make_kit

    place = _case_folder(folder)
    _warn_unsigned(place, ask=not as_json)  # the making of a kit is where measuring begins
    made = make_kit(place, probe, output)
    if as_json:
        names = [[job.indicator, job.condition] for job in made.jobs]
        print_json({"file": str(made.path), "sha256": made.sha256, "jobs": names})
        return
    typer.echo(f"采集包：{made.path} sha256:{made.sha256}，可录 {len(made.jobs)} 项")
    for job in made.left_out:
        typer.echo(f"不能在终端上录：{job.indicator} {job.condition or ''}".rstrip())
    typer.echo(f"→ 复制到终端，核对摘要后运行 python3 {made.path.name} --list，再 -o 文件夹 开始录")


@app.command()
def status(folder: Folder = None, as_json: AsJson = False) -> None:
    """案卷现状:计划、每一次运行、各指标判定。"""
    from yanshou.harness.assess import assess, exit_verdict, load_state
    from yanshou.show import conclusion, result_table, status_lines

    state = load_state(_case_folder(folder))
    record = assess(state)
    if as_json:
        print_json({k: record[k] for k in ("mode", "verdict", "counts", "plan", "runs", "ledger")})
    else:
        out = _out()
        for line in status_lines(state):
            out.print(line, markup=False)
        out.print(result_table(record))
        out.print(conclusion(record))
    _leave(exit_verdict(record))


@app.command()
def report(
    folder: Folder = None,
    lang: Annotated[
        Lang, typer.Option("--lang", help="zh 报告本身；en 另写一份英文译本到 documents/，不签名，不改动报告")
    ] = Lang.ZH,
    as_json: AsJson = False,
) -> None:
    """由记录写出报告:PDF、HTML、results.json、.csv、.xlsx、逐指标 CSV、junit.xml；--lang en 为英文译本（PDF、HTML）。"""
    from yanshou.harness.assess import exit_verdict

    place = _case_folder(folder)
    if lang is Lang.EN:
        from yanshou.harness.paperwork import write_english

        record, files = write_english(place)
    else:
        from yanshou.harness.engine import write_record
        from yanshou.reports.render import render

        record = write_record(place)
        files = render(record, place / "report")
    if as_json:
        print_json({"verdict": record["verdict"], "files": {k: str(v) for k, v in files.items()}})
    else:
        for path in files.values():
            typer.echo(str(path))
    _leave(exit_verdict(record))


@app.command()
def documents(
    folder: Folder = None,
    template: Annotated[
        Path | None, typer.Option("--template", help="机构自己的信头 .docx：留用页眉页脚与样式，内容写在其后")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="文件夹；不写则为案卷的 documents/")] = None,
    as_json: AsJson = False,
) -> None:
    """验收文书(docx、xlsx):测试方案、环境核查、原始记录、偏离单、对照表、专家意见、公开版摘要、检测报告。"""
    from yanshou.harness.paperwork import write_documents

    paths = write_documents(_case_folder(folder), template, output)
    if as_json:
        print_json({"files": [str(p) for p in paths]})
    else:
        for path in paths:
            typer.echo(str(path))


@app.command()
def schema(what: Annotated[str, typer.Argument(help="case | results")] = "case") -> None:
    """打印 JSON Schema(编辑器补全与校验用)。"""
    if what == "case":
        from yanshou.harness.case import case_schema

        print_json(case_schema())
    elif what == "results":
        from importlib.resources import files

        print_json(json.loads((files("yanshou.reports") / "results.schema.json").read_bytes()))
    else:
        raise UserError(Problem("E-SCHEMA", f"没有 {what} 的 schema", "可用：case、results"))


@app.command()
def sheet(
    what: Annotated[str, typer.Argument(help="sme：中小企业数字化水平评测表")],
    file: Annotated[Path, typer.Argument(help="写出的工作簿（.xlsx）")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=200, help="几张空白表，一家企业一张")] = 1,
) -> None:
    """写空白的现场填写表：带下拉表，题目锁定；填好后由 run 读入。"""
    from yanshou.harness.evidence import write_atomic
    from yanshou.probes.sme_level.layout import Filled, workbook

    if what != "sme":
        raise UserError(Problem("E-SHEET", f"没有 {what} 这种表", "可用：sme"))
    if file.exists():
        raise UserError(Problem("E-EXISTS", "文件已存在，不覆盖", "换一个文件名", file))
    write_atomic(file, workbook([Filled()] * number))
    typer.echo(f"已写出 {file}：{number} 张空白评测表 → 填写后在 case.yaml 写 probe: sme.level")


@app.command()
def look(
    file: Annotated[Path, typer.Argument(help="抓包（pcap、pcapng）、CSV 或 JSON 行")], as_json: AsJson = False
) -> None:
    """看一份证据文件里有什么:谁、多少、何时,哪里可疑。"""
    from yanshou.look import read, show, to_json

    told = read(file)
    if as_json:
        print_json(to_json(told))
    else:
        _out().print(show(told, file))


@app.command()
def visits(
    kind: Annotated[str, typer.Argument(help="fhir（NDJSON、Bundle）| hl7v2（ADT 消息日志）| dicom（文件头）")],
    sources: Annotated[list[Path], typer.Argument(help="文件或文件夹，可多个")],
    output: Annotated[Path, typer.Option("--output", "-o", help="写出的就诊表（CSV）")] = Path("visits.csv"),
    encoding: Annotated[str, typer.Option("--encoding", help="HL7 v2 消息没有写字符集时按它读")] = "utf-8",
    server_count: Annotated[
        Path | None, typer.Option("--server-count", help="存下的 Encounter?_summary=count 应答，只作对照")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """把医院的就诊数据变成 records 能数的表:就诊号与患者号只留代号（现场密钥），姓名、诊断、影像不读。"""
    from yanshou.importers.visits import KINDS, convert
    from yanshou.probes.encodings import is_encoding
    from yanshou.probes.records.pseudonyms import site_key

    chosen = next((k for k in KINDS if k == kind), None)
    if chosen is None:
        raise UserError(Problem("E-KIND", f"没有 {kind} 这种来源", f"可用：{'、'.join(KINDS)}"))
    if not is_encoding(encoding):
        raise UserError(Problem("E-ENCODING", f"不认识的文字编码 {encoding}", "写 utf-8 或 gb18030"))
    try:
        key = site_key(output.resolve().parent)
    except ProbeError as error:
        raise UserError(error.problem) from None
    done = convert(chosen, sources, output, key, encoding, server_count)
    listing = f"{output}.sources.json"
    if as_json:
        print_json({"table": str(output), "rows": done.rows, "sources": listing, "originals": len(done.originals)})
        return
    typer.echo(f"已写出 {output}：{done.rows} 行，出自 {len(done.originals)} 个原件（摘要见 {listing}）")
    for path in done.passed_over[:5]:
        typer.echo(f"不是 DICOM，没有读：{path}")
    if len(done.passed_over) > 5:
        typer.echo(f"另有 {len(done.passed_over) - 5} 个文件不是 DICOM")
    if done.server_count is not None:
        apart = done.server_count - done.rows
        typer.echo(f"服务器自报 {done.server_count} 条，读出 {done.rows} 条，差 {apart}：自报只作对照，以读出的为准")


@app.command()
def reflect(
    bind: Annotated[str, typer.Option("--bind", help="监听地址")] = "0.0.0.0",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="UDP 端口")] = 862,
    key: Annotated[
        Path | None, typer.Option("--key", help="密钥文件：只答用它签名的请求，并签名应答（评测方自己的反射器）")
    ] = None,
    new_key: Annotated[Path | None, typer.Option("--new-key", help="生成密钥文件后结束；两端各放一份")] = None,
    delay: Annotated[float, typer.Option("--delay", help="模拟的路径时延，ms；只用于演练与校准")] = 0.0,
) -> None:
    """时延测量的远端:STAMP 反射器(RFC 8762)。Ctrl-C 结束。"""
    from yanshou.probes.rtt.reflector import reflect as run_reflector
    from yanshou.probes.rtt.secret import fingerprint, load_key, new_key_file

    if new_key is not None:
        typer.echo(f"密钥已写出：{new_key} 指纹 {new_key_file(new_key)} → 复制一份到对端，case.yaml 写 key_file")
        return
    secret = load_key(key) if key else None

    def ready(address: str, actual_port: int) -> None:
        proof = f"，密钥指纹 {fingerprint(secret)}" if secret else "，未用密钥（只能按总往返时延判定）"
        typer.echo(f"反射器在 {address}:{actual_port} 就绪{proof}" + (f"，模拟时延 {delay:g} ms" if delay else ""))
        sys.stdout.flush()

    run_reflector(bind, port, key=secret, delay_s=delay / 1000, ready=ready)


@app.command("load-worker")
def load_worker(
    master: Annotated[str, typer.Option("--master", help="主控机 主机:端口，即案卷里的 master_host 与 master_port")],
    credentials: Annotated[
        Path | None,
        typer.Option("--credentials", help="凭据文件：第一行用户名，第二行口令；口令不经网络传送，每台各放一份"),
    ] = None,
) -> None:
    """负载的又一台主机:等主控机(yanshou run)派活,发完即止。Ctrl-C 结束。"""
    from yanshou.probes.load.capture import work

    host, _, port = master.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(Problem("E-MASTER", f"--master {master} 看不懂", "写成 主机:端口，如 192.0.2.7:5557"))
    typer.echo(f"等待主控机 {master}")
    sys.stdout.flush()
    if work(host, int(port), credentials):
        raise UserError(Problem("E-MASTER", f"没有等到主控机 {master}，或负载中断", "检查地址、防火墙与凭据文件后重试"))


@key_app.command("new")
def key_new(
    path: Annotated[Path, typer.Argument(help="私钥文件；公钥写在 <文件>.pub")],
    name: Annotated[str, typer.Option("--name", help="签名人姓名，印在报告与核验结果上")],
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="ed25519 | sm2 用来签名；age 用来读加密的数据包")
    ] = "ed25519",
    passphrase: Annotated[bool, typer.Option("--passphrase", help="给私钥加口令（会询问）")] = False,
) -> None:
    """生成一对签名密钥，或一对阅读密钥。"""
    from yanshou.harness.encryption import ALGORITHM, new_reading_key
    from yanshou.harness.keys import new_key

    word = typer.prompt("口令", hide_input=True, confirmation_prompt=True) if passphrase else None
    if algorithm == ALGORITHM:
        reading = new_reading_key(path, name=name, passphrase=word)
        typer.echo(f"私钥 {path}（只有本人可读） 公钥 {path}.pub  {reading.recipient}")
        return
    public = new_key(path, algorithm=algorithm, name=name, passphrase=word)
    typer.echo(f"私钥 {path}（只有本人可读） 公钥 {path}.pub  {public.algorithm.word} id {public.id}")


@key_app.command("site")
def key_site(path: Annotated[Path, typer.Argument(help="密钥文件，放在案卷文件夹之外")]) -> None:
    """生成现场密钥：含个人信息的列用它算成代号才进证据，留在被测现场。"""
    from yanshou.probes.records.pseudonyms import VARIABLE, new_site_key

    _require_absent(path)
    key = new_site_key(path)
    typer.echo(f"现场密钥 {path}（只有本人可读） id {key.id} → 运行前设环境变量 {VARIABLE}={path}")


def _private_key(path: Path) -> PrivateKey:
    """The key, asking for its passphrase where it has one."""
    from yanshou.harness.keys import load_private

    try:
        return load_private(path)
    except UserError as error:
        if error.problems[0].code != "K-E04" or not sys.stdin.isatty():
            raise
    return load_private(path, typer.prompt("口令", hide_input=True))


def _identities(path: Path | None) -> list[Any]:
    """The reading keys in a file, asking for its passphrase where it has one; none without a file."""
    from yanshou.harness.encryption import load_identities

    if path is None:
        return []
    try:
        return load_identities(path)
    except UserError as error:
        if error.problems[0].code != "K-E04" or not sys.stdin.isatty():
            raise
    return load_identities(path, typer.prompt("口令", hide_input=True))


def _show_and_ask(to_sign: ToSign) -> None:
    """Raises Abort where the person at the terminal does not want to sign what is shown."""
    from yanshou.show import signing

    signing(to_sign, _out())
    typer.confirm(f"以“{to_sign.signer}”的身份签署？", abort=True)


def _walk(yes: bool, as_json: bool) -> Show:
    """At a terminal what is signed is shown before it is asked; scripts are not asked."""
    from yanshou.harness.sealing import unseen

    return _show_and_ask if sys.stdin.isatty() and sys.stdout.isatty() and not (yes or as_json) else unseen


def _signers(others: list[str]) -> list[Signer]:
    """`role=key.pub` options as roster lines."""
    from yanshou.harness.envelope import Role, Signer
    from yanshou.harness.keys import load_public

    signers = []
    for text in others:
        role, equals, file = text.partition("=")
        if not equals or role not in list(Role):
            raise UserError(Problem("S-E20", f"--with {text} 看不懂", f"写成 角色=公钥文件；角色：{'、'.join(Role)}"))
        signers.append(Signer(Role(role), load_public(Path(file))))
    return signers


@app.command()
def sign(
    folder: Folder = None,
    role: Annotated[str, typer.Option("--role", help="tester | reviewer | approver | project | witness")] = "tester",
    key: Annotated[Path, typer.Option("--key", help="私钥文件")] = Path("key"),
    sign_the_plan: Annotated[bool, typer.Option("--plan", help="签计划（测量之前），不是签数据包")] = False,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="还要谁签：角色=公钥文件，可多次；首签时定名册")
    ] = None,
    trust: Annotated[Path | None, typer.Option("--trust", help="由信任文件定名册")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """签署:封存并签数据包,或加签;--plan 签计划。自检不签。在终端上先看清所签内容再问。"""
    from yanshou.harness.sealing import sign_package, sign_plan
    from yanshou.harness.trust import load_trust

    place, capacity = _case_folder(folder), role_named(role)
    roster = _signers(with_ or [])
    trusted = load_trust(trust) if trust else None
    if sign_the_plan:
        envelope = sign_plan(place, _private_key(key), capacity, roster, trusted, _walk(yes, as_json))
        if as_json:
            print_json({"file": str(place / "plan.dsse.json"), "signatures": len(envelope.signatures)})
        else:
            typer.echo(
                f"计划已签：{place / 'plan.dsse.json'}({len(envelope.signatures)}/{len(envelope.statement.signers)})"
            )
            _tell_roster(place, envelope.statement.signers)
        return
    sealed = sign_package(place, _private_key(key), capacity, roster, trusted, _walk(yes, as_json))
    if as_json:
        print_json({"package": str(sealed.path), "missing": [str(s) for s in sealed.missing]})
        return
    typer.echo(f"数据包：{sealed.path}")
    typer.echo(_who_is_missing(sealed.missing))


def _tell_roster(place: Path, signers: Sequence[Signer]) -> None:
    """Who an acceptance's plan must have on its roster and has not: said while nothing is measured yet."""
    from yanshou.harness.assess import load_state
    from yanshou.harness.model import Mode
    from yanshou.harness.sealing import PLAN_ENVELOPE, PLAN_ROLES

    lacking = sorted(role.value for role in PLAN_ROLES - {s.role for s in signers})
    if lacking and load_state(place).plan.mode is Mode.ACCEPTANCE:
        others = " ".join(f"--with {role}=公钥文件" for role in lacking)
        text = f"名册里没有{'、'.join(role_named(role).word for role in lacking)}，这样签不出正式报告"
        remedy = f"删去 {PLAN_ENVELOPE}，首签时加 {others} 或 --trust，重新签"
        typer.echo(str(Problem("S-E13", text, remedy, place / PLAN_ENVELOPE, severity="warning")), err=True)


def _who_is_missing(missing: Sequence[Signer]) -> str:
    return f"还缺签名：{'、'.join(map(str, missing))}" if missing else "名册上的签名已齐"


@app.command()
def package(
    place: Annotated[Path | None, typer.Argument(help="案卷文件夹（取最近封存的数据包），或数据包 zip")] = None,
    for_: Annotated[
        list[str] | None, typer.Option("--for", help="加密给谁：信任文件 readers 里的姓名，或 age1 开头的公钥；可多次")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="写公开版：只有判定，由封存时的签名人签")] = False,
    role: Annotated[str, typer.Option("--role", help="与 --public 同用：以什么身份签")] = "tester",
    key: Annotated[Path, typer.Option("--key", help="与 --public 同用：私钥文件")] = Path("key"),
    trust: Annotated[Path | None, typer.Option("--trust", help="与 --for 同用：登记了 readers 的信任文件")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="写到哪个文件夹")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """交出数据包:--for 加密给评审专家;--public 写只有判定的公开版。"""
    from yanshou.harness.handover import encrypt_package
    from yanshou.harness.public import publish
    from yanshou.harness.sealing import sealed_package
    from yanshou.harness.trust import load_trust

    if bool(for_) == public:
        raise UserError(Problem("S-E23", "要么 --for 加密给人，要么 --public 写公开版", "二者给出一个"))
    found = place if place is not None and place.is_file() else _case_folder(place)
    sealed = sealed_package(found)
    missing: Sequence[Signer]
    if for_:
        handed = encrypt_package(sealed, for_, load_trust(trust) if trust else None, output or sealed.parent)
        written, missing, word = handed.path, handed.missing, f"已加密给 {len(for_)} 位收件人"
    else:
        folder = output or (found if found.is_dir() else found.parent) / "public"
        published = publish(sealed, folder, _private_key(key), role_named(role), _walk(yes, as_json))
        written, missing, word = published.path, published.missing, "公开版"
    if as_json:
        print_json({"file": str(written), "missing": [str(s) for s in missing]})
        return
    typer.echo(f"{word}：{written}")
    typer.echo(_who_is_missing(missing))


@app.command("open")
def open_(
    path: Annotated[Path, typer.Argument(help="加密的数据包（.age）")],
    identity: Annotated[Path, typer.Option("--identity", "-i", help="收件人的私钥（age）")],
    output: Annotated[Path, typer.Option("--output", "-o", help="写到哪个文件夹")] = Path(),
    as_json: AsJson = False,
) -> None:
    """解开加密的数据包,写出其中的 zip;只想核验的直接用 verify --identity。"""
    from yanshou.harness.handover import open_encrypted

    written = open_encrypted(path, _identities(identity), output)
    if as_json:
        print_json({"package": str(written)})
    else:
        typer.echo(f"数据包：{written} → yanshou verify {written} --trust trust.yaml")


@trust_app.command("add")
def trust_add(
    file: Annotated[Path, typer.Argument(help="信任文件 trust.yaml；没有则新建")],
    key: Annotated[Path, typer.Argument(help="对方给的 .pub 文件：签名公钥，或阅读公钥")],
    until: Annotated[str, typer.Option("--until", help="有效到哪一天（含），如 2027-12-31")],
    from_: Annotated[str | None, typer.Option("--from", help="从哪一天起有效；不写则从今天起")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="许其以什么身份签，可多次；阅读公钥不写")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="另经他途得知的指纹，与文件一致才登记；不在终端上必须给出")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """登记一把公钥:显示指纹,与本人核对后才写入;不覆盖已有的。"""
    from datetime import date, datetime

    from yanshou.harness.encryption import load_reading_key
    from yanshou.harness.keys import load_public
    from yanshou.harness.trust import BEIJING
    from yanshou.harness.trust_edit import add_entry, reading_entry, signing_entry, with_entry

    try:
        start = date.fromisoformat(from_) if from_ else datetime.now(BEIJING).date()
        end = date.fromisoformat(until)
    except ValueError:
        raise UserError(Problem("T-DATES", f"日期看不懂：{from_ or ''} {until}", "写成 2027-12-31")) from None
    roles = tuple(role_named(name) for name in dict.fromkeys(role or []))
    reading = load_reading_key(key)
    if bool(roles) == bool(reading):
        text = "阅读公钥不签名，不写 --role" if reading else "没有说许其以什么身份签"
        raise UserError(Problem("T-ROLES", text, "阅读公钥去掉 --role；签名公钥用 --role tester 等给出", key))
    entry: TrustedKey | Reader
    if reading:
        entry, fingerprint, kind = reading_entry(reading, start, end), reading.recipient, "阅读（age）"
    else:
        public = load_public(key)
        entry, fingerprint = signing_entry(public, roles, start, end), public.id
        kind = f"签名（{public.algorithm.word}）：{'、'.join(r.word for r in roles)}"
    with_entry(file, file.read_bytes() if file.exists() else None, entry)
    grouped = " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))
    typer.echo(f"{entry.name}　{kind}　{start} 至 {end}\n指纹 {grouped}", err=as_json)
    if id_ is None and not sys.stdin.isatty():
        raise UserError(Problem("T-ID", "没有人在场核对指纹", "用 --id 给出本人另外告知的完整指纹", key))
    if id_ is not None and "".join(id_.split()).lower() != fingerprint:
        raise UserError(Problem("T-ID", "指纹与 --id 不同，没有登记", "向本人核实：文件可能在途中被换过", key))
    if id_ is None:
        typer.confirm("已当面或打电话与本人核对，指纹一致？", abort=True, err=as_json)
    add_entry(file, entry)
    if as_json:
        print_json({"file": str(file), "name": entry.name, "id": fingerprint})
    else:
        typer.echo(f"已登记：{file}")


@pdf_app.command("seal")
def pdf_seal(
    package: Annotated[Path, typer.Argument(help="数据包 zip，或案卷文件夹")],
    role: Annotated[str, typer.Option("--role", help="tester | reviewer | approver | project | witness")] = "approver",
    key: Annotated[Path, typer.Option("--key", help="私钥文件，即签数据包的那一把")] = Path("key"),
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="还要谁签：角色=公钥文件，可多次；首签时定名册")
    ] = None,
    trust: Annotated[Path | None, typer.Option("--trust", help="由信任文件定名册，并核对 PDF 的证书")] = None,
    as_json: AsJson = False,
) -> None:
    """三个签名齐了以后：把签过的 PDF 与数据包一起钉住，末尾被切掉也看得出。"""
    from yanshou.harness.pades import pin_path, signed_path
    from yanshou.harness.pades_sign import pin
    from yanshou.harness.sealing import sealed_package
    from yanshou.harness.trust import load_trust

    who = role_named(role)
    place, trusted = sealed_package(package), load_trust(trust) if trust else None
    envelope = pin(place, _private_key(key), who, _signers(with_ or []), trusted)
    file, done, all_ = pin_path(signed_path(place)), len(envelope.signatures), len(envelope.statement.signers)
    if as_json:
        print_json({"file": str(file), "signatures": done, "of": all_})
    else:
        typer.echo(f"已钉住：{file}({done}/{all_}) → 与 PDF、数据包一起交付；复核：yanshou verify {signed_path(place)}")


@app.command()
def verify(
    path: Annotated[
        Path, typer.Argument(help="数据包 zip（加密的也行）、解开的数据包、签过的 PDF、案卷文件夹，或公开版")
    ],
    trust: Annotated[Path | None, typer.Option("--trust", help="自己保管的信任文件 trust.yaml")] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="与数据包一起核验的签过的 PDF；不写则看数据包旁边有没有")
    ] = None,
    identity: Annotated[Path | None, typer.Option("--identity", "-i", help="数据包加密了：收件人的私钥（age）")] = None,
    against: Annotated[Path | None, typer.Option("--against", help="公开版是否属实：与这个密封的数据包核对")] = None,
    as_json: AsJson = False,
) -> None:
    """离线核验:包、签名、台账、证据,并由原始数据重放结论。退出码 0 全部相符,4 有不符。"""
    from yanshou.harness.handover import examine
    from yanshou.harness.trust import load_trust

    found = examine(path, load_trust(trust) if trust else None, _identities(identity), against, pdf)
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.checked:
            typer.echo(f"✔ {line}")
        for line in found.notes:
            typer.echo(f"· {line}")
        for limit in found.limits:
            typer.echo(f"△ {limit}")
        for problem in found.problems:
            typer.echo(f"✘ {problem}")
        typer.echo(found.conclusion)
    if not found.ok:
        _leave(ExitCode.UNVERIFIED)


@app.command()
def view(
    paths: Annotated[list[Path], typer.Argument(help="数据包 zip、解开的数据包或案卷文件夹；两份以上可比较")],
    trust: Annotated[Path | None, typer.Option("--trust", help="自己保管的信任文件 trust.yaml")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="专家的私钥：签署意见，写在数据包旁边")] = None,
    port: Port = 0,
) -> None:
    """在本机浏览器里复核:先看核验结果,再看指标、台账、证据,比较两份,签署意见。"""
    from yanshou.harness.trust import load_trust
    from yanshou.view.session import review

    signer = _private_key(key) if key else None
    review(paths, load_trust(trust) if trust else None, signer, _out(), port=port)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="演示文件夹；已有内容则另起一个")] = Path("demo"),
    scenario: Annotated[int | None, typer.Option("--scenario", help="演示哪个场景，1–10；不写为 10")] = None,
    everything: Annotated[bool, typer.Option("--all", help="十个场景逐个演示，核验，并写出总览页")] = False,
) -> None:
    """演示:用内置标准器从检查走到签名、核验；一分钟以内，场景 6 约两分半钟；--all 全部做一遍。"""
    from yanshou.demo.play import find_demo, play
    from yanshou.show import TerminalObserver, conclusion, result_table

    if everything:
        if scenario is not None:
            raise UserError(Problem("DEMO-E06", "--all 与 --scenario 只能写一个", "去掉其中一个"))
        _play_all(folder)
    out = _out()
    demonstration = find_demo(10 if scenario is None else scenario)
    played = play(
        folder, demonstration, TerminalObserver(out), lambda line: out.print(line, markup=False, soft_wrap=True)
    )
    out.print(result_table(played.record))
    out.print(conclusion(played.record))
    for what, path in (("报告", played.report), ("网页", played.page), ("数据包", played.package)):
        out.print(f"{what}：{path}", markup=False, soft_wrap=True)
    out.print(f"复核：yanshou verify {played.package}", markup=False, soft_wrap=True)
    if not played.as_planned:
        out.print("演示没有如期得出“符合”，多半是这台机器正忙 → 关掉其他程序再演示一次", style="yellow", soft_wrap=True)
    _leave(ExitCode.OK if played.as_planned else ExitCode.INTERNAL)


def _play_all(wanted: Path) -> NoReturn:
    from yanshou.demo import portfolio
    from yanshou.demo.play import SCENARIOS, fresh_folder

    folder = fresh_folder(wanted.resolve())
    entries = portfolio.play_all(folder, SCENARIOS, typer.echo)
    verified = sum(bool(e.verdict) for e in entries)
    typer.echo(f"{verified}/{len(entries)} 个数据包核验通过；总览：{folder / portfolio.PAGE}")
    _leave(ExitCode(portfolio.worst(entries)))


def _stop(found: UserError) -> int:
    for problem in found.problems:
        typer.echo(str(problem), err=True)
    return int(found.exit_code)


def _defect(error: BaseException) -> int:
    """A defect of ours: one line for the user, the traceback in a file for us."""
    import tempfile
    import traceback

    fd, name = tempfile.mkstemp(prefix="yanshou-", suffix=".txt", text=True)
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        traceback.print_exception(error, file=f)
    typer.echo(
        str(Problem("E-INTERNAL", f"内部错误 {type(error).__name__}: {error}", f"请把 {name} 交给开发者")), err=True
    )
    return int(ExitCode.INTERNAL)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: every ending becomes an exit code of the contract and at most a few lines."""
    from yanshou.harness.evidence import LedgerDamage

    code: Any
    try:
        code = app(args=arguments, standalone_mode=False)
    except UserError as error:
        code = _stop(error)
    except LedgerDamage as error:
        code = _stop(
            UserError(Problem("V-L01", error.text, "从副本恢复台账", error.path, error.line), ExitCode.UNVERIFIED)
        )
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("已中断；已确认的数据都在，再次运行即可继续", err=True)
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        code = ExitCode.OK
    except OSError as error:
        code = _stop(_system_problem(error))
    except typer.Exit as error:
        code = error.exit_code
    except Exception as error:
        code = _usage_error(error) or _defect(error)
    sys.exit(int(code or 0))


def _system_problem(error: OSError) -> UserError:
    """A path that is not what it should be is the user's to mend; anything else, a full disk say, is the machine's."""
    from yanshou.harness.evidence import disk_problem

    path = Path(error.filename or ".")
    if isinstance(error, (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)):
        return UserError(Problem("E-FILE", f"读写不了：{refusal(error)}", "检查路径与权限", path))
    return UserError(disk_problem(error, path), ExitCode.INTERNAL)


_USAGE = (
    (r"No such command '(.+)'\.", "没有命令 {0}"),
    (r"No such option: (\S+)(?: \(Possible options: (.+)\)| Did you mean (.+)\?)?", "没有选项 {0}"),
    (r"Missing (?:argument|option|parameter) '?(.+?)'?\.(?s:.*)", "没有写 {0}"),
    (r"(?:Option|Argument) '(.+)' requires .+", "{0} 后面没有值"),
    (r"Got unexpected extra argument\S* \((.+)\)", "多出了 {0}"),
    (r"Invalid value for (.+?): .*(?:valid|not a) (?:integer|number|float).*", "{0} 应为数字"),
    (r"Invalid value for (.+?): .*(?:less|smaller) than or equal to (\S+)", "{0} 最大是 {1}"),
    (r"Invalid value for (.+?): .*(?:greater|larger) than or equal to (\S+)", "{0} 最小是 {1}"),
    (r"Invalid value for (.+?): .* not in the range (\S+?)\.?", "{0} 应在 {1} 之内"),
    (r"Invalid value for (.+?): (?s:.*)", "{0} 的值看不懂"),
)
"""What the library that reads the command line says -> the same for people; whatever it says else is shown as it is."""


def _usage_error(error: Exception) -> int:
    """Exit code of a usage error, which carries its own message (typer brings its own click); 0 if it is something else."""
    show = getattr(error, "show", None)
    if show is None or not hasattr(error, "format_message"):
        return 0
    said = error.format_message()
    found = ((re.fullmatch(pattern, said), text) for pattern, text in _USAGE)
    told = next((text.format(*(g or "" for g in m.groups())) for m, text in found if m), "")
    if told:
        path = getattr(getattr(error, "ctx", None), "command_path", "yanshou")
        near = getattr(error, "possibilities", None)
        remedy = f"是不是 {'、'.join(sorted(near))}？" if near else ""
        typer.echo(str(Problem("E-USAGE", told.replace("'", ""), f"{remedy}用法见 {path} -h")), err=True)
    else:
        show()
    return int(ExitCode.USAGE)


if __name__ == "__main__":
    main()
