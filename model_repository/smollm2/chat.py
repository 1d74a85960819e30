"""A prompt goes in; the answer comes out in pieces, as smollm2_decoder finds token after token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from bytepairs import ENDS, TalkTokenizer

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
CONTEXT, PIECE = 1024, 256
"""Tokens that a talk may have, and tokens of a prompt that are read at once: smollm2_decoder's."""
ROW = (30, 6, 64)
"""Of the cache, for one token: layers, heads of keys and then of values, numbers."""


class Chat:
    """Answers prompts. What was said so far is kept as long as it answers, one cache a talk."""

    def __init__(self, models: Any, system: str = SYSTEM) -> None:
        self.models = models
        self.tokenizer = TalkTokenizer()
        self.system = system

    def stream(
        self, prompt: str, max_tokens: int = 64, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        """The answer, a few letters at a time.

        Args:
            prompt: what the user says.
            max_tokens: where to stop at the latest.
            temperature: 0 always takes the likeliest token; 1 draws as the model weighs them.
            seed: of the draws.

        Raises:
            ValueError: the prompt is longer than the model's context, or a number is negative.
        """
        if max_tokens < 1 or temperature < 0:
            raise ValueError("max_tokens is at least 1, temperature at least 0")
        tokens = self.tokenizer.talk(self.system, prompt)
        if len(tokens) >= CONTEXT:
            raise ValueError(f"the prompt has {len(tokens)} tokens, {CONTEXT - 1} is the most")
        draw = np.random.default_rng(seed)
        talk = Talk(self.models.smollm2_decoder)
        pending: list[int] = []  # a letter may be spread over several tokens
        for _ in range(min(max_tokens, CONTEXT - len(tokens))):
            token = _choose(talk.read(tokens), temperature, draw)
            if token in ENDS:
                break
            tokens = [token]
            pending.append(token)
            text = self.tokenizer.text(pending)
            if not text.endswith("\ufffd"):
                pending.clear()
                yield text
        if pending:
            yield self.tokenizer.text(pending)


class Talk:
    """The tokens read so far, as keys and values in a buffer as long as the context."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.cache = np.zeros((1, CONTEXT, *ROW), dtype=np.float32)
        self.count = 0

    def read(self, tokens: list[int]) -> np.ndarray:
        """Read further tokens: the logits of what comes next, float32[vocabulary]."""
        for start in range(0, len(tokens), PIECE):
            piece = np.array([tokens[start : start + PIECE]], dtype=np.int64)
            # No axis may be empty: before the first token stands a row that is masked out.
            past = max(self.count, 1)
            answer = self.decoder(
                input_ids=piece,
                cache=self.cache[:, :past],
                cache_mask=np.full((1, past), int(self.count > 0), dtype=np.int64),
            )
            end = self.count + piece.shape[1]
            self.cache[:, self.count : end] = answer["added"]
            self.count = end
        return answer["logits"][0]


def _choose(logits: np.ndarray, temperature: float, draw: np.random.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    # The largest of weights plus Gumbel noise is a draw from their softmax.
    return int((logits / temperature + draw.gumbel(size=logits.shape)).argmax())
