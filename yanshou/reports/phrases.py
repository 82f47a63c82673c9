"""Texts that a program put together, said in another language by a catalogue of the messages they were put together from.

A catalogue is what gettext holds: message -> translation, with `{0}`, `{1}` … where an f-string had an expression. A text is looked
up whole; else as a message whose parts are said in their turn; else it is parted where the program joins texts. Of several ways the
one is taken that leaves the least unsaid. It must never change what it does not know, and never say a kept text in other words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from string import Formatter
from typing import Final

HAN: Final = re.compile(r"[\u3007\u3400-\u9fff]")
APART: Final = "\u2002"
"""Between two texts that stand beside each other, where Chinese has a wide blank."""
WIDE: Final = str.maketrans({
    "，": ", ", "。": ". ", "；": "; ", "：": ": ", "、": ", ", "（": " (", "）": ")", "“": '"', "”": '"', "？": "? ", "！": ". ",
    "　": APART, "／": "/", "～": "–", "％": "%", "＋": "+", "＝": "=", "《": '"', "》": '"', "【": "[", "】": "]", "－": "-",
})  # fmt: skip
"""Full-width punctuation, and what stands for it between words that are not Chinese."""
UNSAID: Final = re.compile(r"[\u3007\u3400-\u9fff　]")
"""What is left where a text is not known: words, and the wide blank that only the program puts between two texts."""
FOREIGN: Final = re.compile(f"[\u3007\u3400-\u9fff{''.join(map(chr, WIDE))}]")
PLACE: Final = re.compile(r"(?<!\{)(?:\{\{)*\{\d*\}")
DATE: Final = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日")
OPEN, CLOSE = "（“《【(", "）”》】)"
STRONG: Final = {"\n": "\n", "。": f".{APART}", "；": "; "}
WEAK: Final = {"→": "→", "：": ": ", "，": ", ", "、": ", ", "　": APART, "／": "/", "\u00a0": "\u00a0", " ": " "}
"""Where the program joins texts, in the order in which they are parted, and what joins them then."""
BRACKETS: Final = {"（": ("(", ")"), "(": ("(", ")"), "“": ('"', '"')}
JOINTS = "：，、；"
"""What another text follows."""
KEPT_FROM = 4
"""Characters from which on a kept text is also kept inside another; a shorter one could be part of any word."""
LONGEST, DEEPEST, TRIES, STEPS, TOGETHER, SIDE_BY_SIDE = 6000, 9, 24, 600, 4, 24
"""Bounds on what anybody's text can cost: characters, nesting, messages tried for one text, texts tried in all, parts that
are tried as one message, and characters of two parts with nothing between them."""
SINGULAR: Final = {
    "entities": "entity", "enterprises": "enterprise", "devices": "device", "items": "item", "visits": "visit", "records": "record",
    "samples": "sample", "scenarios": "scenario", "nodes": "node", "models": "model", "rows": "row", "files": "file", "runs": "run",
    "times": "time", "days": "day", "bytes": "byte", "points": "point", "vehicles": "vehicle", "cases": "case",
    "attempts": "attempt", "epochs": "epoch", "messages": "message", "sub-districts": "sub-district", "answers": "answer",
}  # fmt: skip
"""Units as the catalogue has them, and what one of them is."""
ONE: Final = re.compile(r"((?:^|[≥≤<>=+−(,;:] ?\u00a0?)1[ \u00a0])([a-z-]+)")
FIRST_KEPT = 0xE000
MOST_KEPT = 0xF8FF - FIRST_KEPT
PRIVATE: Final = re.compile("[\ue000-\uf8ff]")
"""Characters for private use, which no printable text has: each stands for a kept text while the text around it is parted."""


def is_pattern(message: str) -> bool:
    """Whether a message has places for parts."""
    return PLACE.search(message) is not None


@dataclass(frozen=True)
class Pattern:
    """A message with places: `literals` around them, `places` their numbers, `said` the translation with the same numbers."""

    literals: tuple[str, ...]
    places: tuple[int, ...]
    said: str

    @staticmethod
    def of(message: str, said: str) -> Pattern:
        """The pattern of a message."""
        literals: list[str] = []
        places: list[int] = []
        current = ""
        for literal, name, _, _ in Formatter().parse(message):
            current += literal
            if name is not None:
                literals.append(current)
                places.append(int(name or len(places)))
                current = ""
        return Pattern((*literals, current), tuple(places), said)

    @property
    def weight(self) -> int:
        """How much of a text it explains."""
        return sum(len(literal.strip()) for literal in self.literals)

    @property
    def telling(self) -> bool:
        """Whether it is known by its own words, so that parts of it may stay unsaid."""
        return len(HAN.findall("".join(self.literals))) > 1 or (
            bool(self.literals[0]) and sum(map(len, self.literals)) > 2
        )

    def parts(self, text: str) -> Iterator[tuple[str, ...]]:
        """What stands in its places if it is the whole text: each as short as can be from the left, then from the right.

        One pass over the text each, with no way back: where there is a match, there are both of these.
        """
        first, *middle, last = self.literals
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return
        inner = text[len(first) : len(text) - len(last)]
        left = _cut(inner, middle)
        if left is None:
            return
        yield left
        right = tuple(p[::-1] for p in reversed(_cut(inner[::-1], [m[::-1] for m in reversed(middle)]) or ()))
        if right and right != left:
            yield right
        if "" in middle:  # two places side by side: wherever between them
            first_of = middle.index("")
            together = left[first_of] + left[first_of + 1]
            for at in range(1, min(len(together), SIDE_BY_SIDE)):
                yield (*left[:first_of], together[:at], together[at:], *left[first_of + 2 :])


def _cut(text: str, literals: list[str]) -> tuple[str, ...] | None:
    found, at = [], 0
    for literal in literals:
        place = text.find(literal, at)
        if place < 0:
            return None
        found.append(text[at:place])
        at = place + len(literal)
    return (*found, text[at:])


@dataclass
class Phrases:
    """Says texts by a catalogue; `kept` are texts that are nobody's message, such as names, and stay word for word.

    `whole` are texts that people may have written: they are said whole or not at all.
    """

    messages: Mapping[str, str]
    kept: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    _patterns: dict[str, list[Pattern]] = field(default_factory=dict)
    _said: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)
    _bare: dict[str, str] = field(default_factory=dict, init=False)
    _steps: int = field(default=0, init=False)
    _names: tuple[str, ...] = field(default=(), init=False)
    _inside: re.Pattern[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._patterns = self._patterns or _index(self.messages)
        bare = {k.strip(f" {JOINTS}"): v.strip(" :,;") for k, v in self.messages.items() if not is_pattern(k)}
        self._bare = {k: v for k, v in bare.items() if k and k not in self.messages}
        long = [k for k in self.kept if len(k) >= KEPT_FROM and HAN.search(k) and k not in self.messages]
        self._names = tuple(sorted(long, key=lambda k: (-len(k), k))[:MOST_KEPT])
        self._inside = re.compile("|".join(map(re.escape, self._names))) if self._names else None

    def keeping(self, kept: Iterable[str], whole: Iterable[str] = ()) -> Phrases:
        """The same catalogue for other texts."""
        return replace(self, kept=frozenset(kept), whole=frozenset(whole))

    def __call__(self, text: str) -> str:
        """`text` in the other language, as far as it is known; what begins a text begins with a capital."""
        if not FOREIGN.search(text) or (text in self.kept and text not in self.messages):
            return text
        self._steps = STEPS
        hidden = text
        if self._inside and text not in self.messages:
            hidden = self._inside.sub(lambda m: chr(FIRST_KEPT + self._names.index(m[0])), text)
        said, unsaid = self._say(hidden, DEEPEST)
        if unsaid and hidden != text:  # what is kept may be a word of the message by chance
            whole, rest = self._say(text, DEEPEST)
            said, unsaid = (said, unsaid) if rest else (whole, 0)
        if unsaid and text in self.whole:
            return text
        if said != hidden:
            said = _finished(said, hidden)
        return PRIVATE.sub(lambda m: self._names[ord(m[0]) - FIRST_KEPT], said)

    def _say(self, text: str, depth: int) -> tuple[str, int]:
        """(what is said, how many characters of it are not)."""
        unsaid = len(UNSAID.findall(text))
        if not unsaid:
            return text.translate(WIDE), 0
        if (known := self.messages.get(text) or self._bare.get(text)) is not None:
            return known, 0
        if text in self._said:
            return self._said[text]
        if text in self.kept or not depth or len(text) > LONGEST or self._steps <= 0:
            return text, unsaid
        self._steps -= 1
        if date := DATE.fullmatch(text):
            return f"{date[1]}-{int(date[2]):02d}-{int(date[3]):02d}", 0
        best = text, unsaid
        for way in self._ways(text, depth - 1):
            if way[1] < best[1]:
                best = way
            if not best[1]:
                break
        if self._steps > 0:
            self._said[text] = best
        return best

    def _ways(self, text: str, depth: int) -> Iterator[tuple[str, int]]:
        """What is said if a text is parted, the likeliest way first."""
        matches = list(self._matches(text))
        loose = [
            (pattern, parts) for pattern, parts in matches if any(mark in part for part in parts for mark in STRONG)
        ]
        for match in matches:
            if match not in loose:
                yield from self._filled(*match, depth)
        label, _, rest = text.partition("：")
        if label and rest and _balanced(label):
            (first, a), (second, b) = self._say(label, depth), self._say(rest, depth)
            yield f"{first}: {second}", a + b
        for mark, joint in STRONG.items():
            yield from self._parted(text, mark, joint, depth)
        for match in loose:
            yield from self._filled(*match, depth)
        head, _, number = text.rpartition(" ")
        if head and not FOREIGN.search(number):
            said, unsaid = self._say(head, depth)
            yield f"{said} {number}", unsaid
        code, _, rest = text.partition(" ")
        if rest and not FOREIGN.search(code):
            said, unsaid = self._say(rest, depth)
            yield f"{code} {said}", unsaid
        for mark, joint in WEAK.items():
            yield from self._parted(text, mark, joint, depth)
        yield from self._unwrapped(text, depth)
        if len(text) < SIDE_BY_SIDE:
            for at in range(2, len(text) - 1):
                if text[:at] in self.messages and text[at:] in self.messages:
                    yield f"{self.messages[text[:at]]} {self.messages[text[at:]]}", 0

    def _filled(self, pattern: Pattern, parts: tuple[str, ...], depth: int) -> Iterator[tuple[str, int]]:
        told = [self._say(part, depth) for part in parts]
        unsaid = sum(n for _, n in told)
        if pattern.telling or not unsaid:
            yield pattern.said.format(*(said for said, _ in told)), unsaid

    def _parted(self, text: str, mark: str, joint: str, depth: int) -> Iterator[tuple[str, int]]:
        """Parted at every `mark` that no bracket holds; then so that neighbours that are one message are not parted."""
        parts = _split(text, mark)
        if len(parts) > 1:
            yield _joined([self._say(part, depth) for part in parts], joint)
            yield _joined(list(self._together(parts, mark, depth)), joint)

    def _together(self, parts: list[str], mark: str, depth: int) -> Iterator[tuple[str, int]]:
        while parts:
            for count in range(min(TOGETHER, len(parts)), 1, -1):
                whole = self._whole(mark.join(parts[:count]), depth)
                if whole is not None:
                    yield whole, 0
                    parts = parts[count:]
                    break
            else:
                yield self._say(parts[0], depth)
                parts = parts[1:]

    def _whole(self, text: str, depth: int) -> str | None:
        """What is said if a text is one message, or one and numbers behind it."""
        if text in self.messages:
            return self.messages[text]
        for pattern, parts in self._matches(text):
            for said, unsaid in self._filled(pattern, parts, depth):
                if not unsaid:
                    return said
        head, _, number = text.rpartition(" ")
        if head and not FOREIGN.search(number) and (said_head := self._whole(head, depth)) is not None:
            return f"{said_head} {number}"
        return None

    def _unwrapped(self, text: str, depth: int) -> Iterator[tuple[str, int]]:
        """What stands before, in and after the first pair of brackets or quotes; with the pair, where it belongs to a message."""
        place = _first_pair(text)
        if place is None:
            return
        start, end = place
        before, held, after = text[:start], text[start : end + 1], text[end + 1 :]
        first, unsaid_before = self._say(before, depth)
        rest, unsaid_after = self._say(after, depth)
        around = unsaid_before + unsaid_after
        gap = " " if first and first[-1] not in " (/" else ""
        if before or after:
            pair, unsaid = self._say(held, depth)
            yield f"{first}{gap}{pair}{rest}", unsaid + around
        (left, right), (inside, unsaid) = BRACKETS[held[0]], self._say(held[1:-1], depth)
        behind = " " if rest and HAN.match(after) else ""
        yield f"{first}{gap}{left}{inside}{right}{behind}{rest}", unsaid + around

    def _matches(self, text: str) -> Iterator[tuple[Pattern, tuple[str, ...]]]:
        keys = {*text, *map("".join, pairwise(text))}
        near = [p for key in keys & self._patterns.keys() for p in self._patterns[key]]
        near.sort(key=lambda p: (-p.weight, len(p.places), p.literals))
        tried = 0
        for pattern in near:
            for parts in pattern.parts(text):
                ordered = tuple(part for _, part in sorted(zip(pattern.places, parts, strict=True)))
                if all(map(_balanced, ordered)):
                    yield pattern, ordered
                    tried += 1
            if tried >= TRIES:
                return


def _index(messages: Mapping[str, str]) -> dict[str, list[Pattern]]:
    """Patterns by the piece of one or two characters of theirs that the fewest share."""
    found = [Pattern.of(message, said) for message, said in messages.items() if is_pattern(message)]
    pieces = [
        {*(lit[i : i + 2] for lit in p.literals for i in range(len(lit) - 1)), *(c for lit in p.literals for c in lit)}
        for p in found
    ]
    shared = Counter(piece for own in pieces for piece in own)
    index: dict[str, list[Pattern]] = defaultdict(list)
    for pattern, own in zip(found, pieces, strict=True):
        if own:
            index[min(own, key=lambda piece: (shared[piece], -len(piece), piece))].append(pattern)
    return dict(index)


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in OPEN) - (character in CLOSE)
        if depth < 0:
            return False
    return depth == 0


def _finished(said: str, text: str) -> str:
    """A whole text: no blank where the first text has none, and a capital where a text or a part of its own begins."""
    if not re.search(r"^\s|\s\s|\s$", text):
        said = re.sub(r"(?<=[^\n ])[ \u00a0]+(?=[ \u00a0\n])", "", said.lstrip(" "))
        said = said if text[-1] in JOINTS else said.rstrip(f" {APART}")
    begins = re.match(r"[a-z]+", said)
    if begins and begins[0] not in text:
        said = said[0].upper() + said[1:]
    said = ONE.sub(lambda m: f"{m[1]}{SINGULAR.get(m[2], m[2])}", said)
    said = re.sub(f"({APART}|— )([a-z])", lambda m: m[1] + m[2].upper(), said)
    return said.replace(f".{APART}", ". ")


def _joined(told: list[tuple[str, int]], joint: str) -> tuple[str, int]:
    """Parts in a row; what ends a text needs no blank behind it."""
    text = told[0][0]
    for said, _ in told[1:]:
        text += (joint if said else joint.rstrip(f" {APART}") or joint) + said
    return text, sum(unsaid for _, unsaid in told)


def _split(text: str, mark: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if character == mark and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _first_pair(text: str) -> tuple[int, int] | None:
    """Where the first bracket or quote opens and closes."""
    start = next((at for at, character in enumerate(text) if character in BRACKETS), None)
    if start is None:
        return None
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] in OPEN) - (text[at] in CLOSE)
        if not depth:
            return start, at
    return None
