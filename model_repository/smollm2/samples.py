"""Prompts, and how they are asked: greedily, and once with a temperature and a seed."""

from __future__ import annotations

from collections.abc import Iterator

PROMPTS = (
    "What is the capital of France?",
    "Explain photosynthesis to a child in two sentences.",
    "Say something in Japanese 😀",
)


def prompts() -> Iterator[dict[str, object]]:
    """One item a prompt."""
    for prompt in PROMPTS:
        yield {"prompt": prompt, "max_tokens": 12, "temperature": 0.0, "seed": 0}
    yield {"prompt": "Write a haiku about the sea.", "max_tokens": 8, "temperature": 0.7, "seed": 3}
