"""Reference lists that an instrument may look things up in: what a scene is called, what an answer scores. Data, read strictly.

They are no part of the public list and hold none of its thresholds, so that an instrument still does not know what it is
expected to read. Each list says how it is known (`standing`); what is known at second hand is printed as such.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from yanshou.harness.strict_yaml import YamlMap, read_bytes

FILE = "reference_lists.yaml"
STANDINGS = {"found": "有逐字列出的资料", "found-secondary": "只有二手资料", "memory": "凭知识，未检索到原文"}
"""How a list is known -> the words that are printed."""


@dataclass(frozen=True)
class Listed:
    """A list of names. `names`: each name, folded as `folded` does, to how it is known: a key of STANDINGS."""

    title: str
    names: Mapping[str, str]

    def within(self, text: str) -> tuple[str, ...]:
        """The names of the list that stand in `text`, in the order of the list, blanks and width apart."""
        there = folded(text)
        return tuple(name for name in self.names if name in there)


def folded(text: str) -> str:
    """`text` in NFKC without any blank, as names of the list are compared."""
    return "".join(unicodedata.normalize("NFKC", text).split())


@dataclass(frozen=True)
class Band:
    """An interval (`above`, `upto`] of a share in percent, the first one with 0, and what it scores."""

    above: Decimal
    upto: Decimal
    points: Decimal


@dataclass(frozen=True)
class Question:
    """A scored question. Either `choices` (an answer -> points) or `bands` of a percentage say what an answer scores."""

    id: str
    part: str
    title: str
    most: Decimal
    choices: Mapping[str, Decimal]
    bands: tuple[Band, ...] = ()
    counted: bool = False
    """True where the answer is how many of several measures are taken; else choices are words or steps."""

    def points(self, answer: str) -> Decimal | None:
        """What `answer` scores; None where it is none."""
        if not self.bands:
            return self.choices.get(answer)
        try:
            share = Decimal(answer.removesuffix("%"))
        except ArithmeticError:
            return None
        if not share.is_finite() or not 0 <= share <= self.bands[-1].upto:
            return None
        return next(band.points for band in self.bands if share <= band.upto)


@dataclass(frozen=True)
class Scene:
    """A scene of 数字化经营, judged by its own level 0 to 4. `criterion`: what level two asks for, where it is known."""

    name: str
    constrained: bool
    criterion: str


@dataclass(frozen=True)
class LevelRule:
    """What an enterprise's level takes: points, and scenes at `scene_level` of which some are 约束性."""

    name: str
    level: int
    points: Decimal
    scenes: int
    constrained: int
    scene_level: int


@dataclass(frozen=True)
class SmeEdition:
    """One edition of 中小企业数字化水平评测指标. `standing`: what part of it is known how, in Chinese, line by line."""

    title: str
    edition: str
    questions: tuple[Question, ...]
    scenes: tuple[Scene, ...]
    levels: tuple[LevelRule, ...]
    standing: tuple[str, ...]

    def level(self, points: Decimal, scenes: Mapping[str, int]) -> int:
        """The highest level whose rule `points` and the levels of `scenes` keep; 0 below the first."""
        constrained = {scene.name for scene in self.scenes if scene.constrained}
        reached = 0
        for rule in self.levels:
            there = {name for name, level in scenes.items() if level >= rule.scene_level}
            if points >= rule.points and len(there) >= rule.scenes and len(there & constrained) >= rule.constrained:
                reached = max(reached, rule.level)
        return reached


@cache
def _lists(folder: str = "wuhan_2024") -> YamlMap:
    path = Path(str(resources.files("yanshou.scenarios"))) / folder / FILE
    return YamlMap.parse(path, read_bytes(path))


@cache
def listed(name: Literal["scenes_5g_20", "six_modes"]) -> Listed:
    """The 20 scenes of “5G+工业互联网”, or the six modes of the industrial internet. Raises UserError for damaged data."""
    if name == "six_modes":
        return _lists().one(name, lambda m: Listed(m.text("title"), _named(m)))
    return _lists().one(name, lambda m: Listed(m.text("title"), m.one("batch1", _named) | m.one("batch2", _named)))


def _named(m: YamlMap) -> dict[str, str]:
    m.text("basis")
    return dict.fromkeys(map(folded, m.texts("items")), m.choice("status", STANDINGS))


@cache
def sme_edition() -> SmeEdition:
    """The edition of 2024: that of 2022 has other tables and is never mixed with it. Raises UserError for damaged data."""
    return _lists().one("sme_level_2024", _edition)


def _edition(m: YamlMap) -> SmeEdition:
    title, edition = m.text("title"), m.text("edition")
    parts = m.table("score")
    criteria = m.table("level_2_criteria")
    constrained, guiding = m.texts("scenes_constrained"), m.texts("scenes_guiding")
    scenes = tuple(Scene(name, name in constrained, str(criteria.get(name, ""))) for name in (*constrained, *guiding))
    questions = m.all("questions", _question)
    for part, most in parts.items():
        if sum(q.most for q in questions if q.part == part) != most:
            m.refuse("score", f"{part} 各题之和不是 {most}")
    if unknown := criteria.keys() - {scene.name for scene in scenes}:
        m.refuse("level_2_criteria", f"没有场景 {'、'.join(sorted(unknown))}")
    standing = (
        f"分值：{m.text('questions_status')}",
        f"三部分的分值：{m.text('score_status')}",
        f"等级线：{m.text('levels_status')}",
        f"场景：{m.text('scenes_status')}",
        f"二级标准：{m.text('level_2_criteria_status')}",
    )
    return SmeEdition(title, edition, questions, scenes, m.all("levels", _level, "name"), standing)


def _level(m: YamlMap) -> LevelRule:
    names = ("level", "score_min", "scenes_min", "constrained_min", "scene_level_min")
    level, points, scenes, constrained, scene_level = map(m.integer, names)
    return LevelRule(m.text("name"), level, Decimal(points), scenes, constrained, scene_level)


def _question(m: YamlMap) -> Question:
    most = Decimal(m.exact("max"))
    kind = m.choice("type", ("multi", "single"))
    bands: tuple[Band, ...] = ()
    if kind == "multi":
        choices = dict(_counts(m, most))
    elif steps := m.numbers("steps"):
        choices = {str(number): points for number, points in enumerate(steps, 1)}
    elif rows := m.rows("bands"):
        bands = tuple(Band(*row) for row in rows)
        choices = {}
        m.text("unit")
    else:
        choices = {answer: Decimal(str(points)) for answer, points in m.table("scores").items()}
    given = [band.points for band in bands] or list(choices.values())
    if max(given, default=Decimal(0)) != most:
        m.refuse("max", f"{m.text('id')} 的最高分不是 {most}")
    return Question(m.text("id"), m.text("dim"), m.text("title"), most, choices, bands, kind == "multi")


def _counts(m: YamlMap, most: Decimal) -> Iterator[tuple[str, Decimal]]:
    """How many measures are taken -> points. All of them give the full score, whatever a single one is worth."""
    each, number = Decimal(m.exact("per_option")), m.integer("options")
    if "last_option" in m.lines:  # which of them it is nobody knows: see the data
        m.exact("last_option")
    for taken in range(number):
        yield str(taken), taken * each
    yield str(number), most
