"""What the English edition of a record leaves in Chinese, apart from what the case itself says."""

from __future__ import annotations

from yanshou.reports.blocks import Document
from yanshou.reports.display import Data, fit
from yanshou.reports.document import build
from yanshou.reports.drawing import words_by
from yanshou.reports.english import answers, edition, own_words, speaker, strings
from yanshou.reports.phrases import HAN, Phrases

DIGEST = "ab" * 32


def english(record: Data, say: Phrases | None = None) -> tuple[Document, list[str]]:
    """The English edition, and every text of it and of its plots; by another speaker than the record's own if there is one."""
    printable, words = fit(record), []
    say = say or speaker(printable)

    def noted(text: str) -> str:
        words.append(say(text))
        return words[-1]

    with words_by(noted):
        document = build(printable, DIGEST)
    translated = edition(document, say, DIGEST)
    return translated, [*strings(translated.to_json()), *words]


def untranslated(record: Data, say: Phrases | None = None) -> list[str]:
    """Texts of the English edition with Chinese that neither the case nor anybody who answered said."""
    own = [text for text in own_words(record) | answers(record) if HAN.search(text)]
    texts = {text for text in english(record, say)[1] if HAN.search(text) and "<svg" not in text}
    return sorted(text for text in texts if not all(any(run in said for said in own) for run in _runs(text)))


def _runs(text: str) -> list[str]:
    """Stretches of Chinese characters."""
    return "".join(c if HAN.match(c) else " " for c in text).split()
