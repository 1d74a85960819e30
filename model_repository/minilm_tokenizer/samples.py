"""Texts of every kind: words, sentences, other scripts, code, and one that is far too long."""

from __future__ import annotations

from collections.abc import Iterator

TEXTS = (
    "Hello",
    "A cat is sleeping on the sofa.",
    "How do I reset my password?",
    "The stock market fell sharply after the central bank raised interest rates.",
    "THIS IS AN ANNOUNCEMENT IN CAPITAL LETTERS",
    "naïve café déjà vu",
    "Wo ist der nächste Bahnhof?",
    "¿Dónde está la biblioteca?",
    "今日は天気がいいですね。",
    "Как пройти в библиотеку?",
    "I ❤️ this place 😀",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "C:\\Windows\\System32\\drivers\\etc\\hosts",
    "[MASK] and [SEP] are words of the tokenizer's own.",
    "   spaces\tand\nlines   ",
    "",
    "On and on it went. " * 100,
)


def texts() -> Iterator[dict[str, str]]:
    """One item a text."""
    for text in TEXTS:
        yield {"text": text}
