"""The HTML: the document in one file that needs no script, no network and no font of its own.

One script adds what paper cannot: it checks signatures and digests, shows raw evidence, sorts, enlarges. It must never load
anything: the page allows itself that one script, by digest, and no resource; all texts are escaped, and the machine-readable
results lie inside as inert data.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from yanshou.harness.evidence import canonical
from yanshou.harness.model import Verdict
from yanshou.reports.blocks import CHINESE, Document, Say, words_of
from yanshou.reports.display import MARKS
from yanshou.reports.figures import prefixed

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("report.html.j2")
BLOCKS = TEMPLATE.with_name("blocks.html.j2")
STYLE = TEMPLATE.with_name("report.css")
SCRIPT = Path(__file__).with_name("report.js")
TEXT = re.compile(r"(?<=>)[^<>]+(?=<)")
RUN = re.compile(r"[\u3007\u3400-\u9fff]+(?:[，。；：、（）“”]*[\u3007\u3400-\u9fff]+)*")


def render_html(document: Document, results: bytes, say: Say = str) -> bytes:
    """HTML bytes. `results` is canonical JSON, embedded so that no text in it can end its element."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.filters["quoted"] = _quoted
    environment.filters["inline"] = lambda svg, prefix: Markup(prefixed(svg, prefix))
    page = environment.from_string(BLOCKS.read_text(encoding="utf-8") + TEMPLATE.read_text(encoding="utf-8")).render(
        doc=document.to_json(),
        verdicts={v.value: {"mark": MARKS[v], "word": say(v.word)} for v in Verdict},
        say=say,
        results=Markup(_inert(results)),
        words=Markup(_inert(canonical(words_of(script, say)))),
        style=Markup(STYLE.read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=f"sha256-{digest}",
    )
    return (page if document.lang == CHINESE else _own_language(page)).encode()


def _own_language(page: str) -> str:
    """What stands in the page in Chinese is marked as that, so that it is read out and set as Chinese."""
    head, start, body = page.partition("<body>")
    body, rest_from, rest = body.partition('<script type="application/json"')
    marked = TEXT.sub(lambda text: RUN.sub(rf'<span lang="{CHINESE}">\g<0></span>', text[0]), body)
    return "".join((head, start, marked, rest_from, rest))


def _quoted(text: str) -> Markup:
    """A text inside a CSS string: whatever could end it, or the style sheet, as an escape."""
    from markupsafe import Markup

    return Markup("".join(c if c.isalnum() or c in " .-" else f"\\{ord(c):x} " for c in text))


def _inert(data: bytes) -> str:
    """JSON with <, > and & as escapes (they occur in strings only): the same value, and no markup."""
    text = data.decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
