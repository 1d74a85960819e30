"""Conversations, cut at several places: the tokens of the next step, and what lies before them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from llama import HEAD, KV_HEADS, LAYERS, create

SYSTEM = (
    *(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411),
    *(407, 19712, 8182, 2, 198, 1, 4093, 198),
)
"""<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
<|im_start|>user
"""
ASSISTANT = (2, 198, 1, 520, 9531, 198)
"""<|im_end|>
<|im_start|>assistant
"""
TALKS = (
    # What is the capital of France? The capital of France is Paris.
    ((1780, 314, 260, 3575, 282, 4649, 47), (504, 3575, 282, 4649, 314, 7042, 30, 2)),
    # Write a haiku about the sea. The waves of the sea, a silent beauty,\nA gentle
    (
        (19161, 253, 421, 30614, 563, 260, 3426, 30),
        (504, 6147, 282, 260, 3426, 28, 253, 13879, 6122, 28, 198, 49, 9154),
    ),
    # Translate to French: Good morning, how are you? Je suis bonjour, merci
    (
        (8241, 12837, 288, 3432, 42, 6422, 5738, 28, 638, 359, 346, 47),
        (46719, 393, 271, 14047, 24583, 28, 5083, 605),
    ),
    # Tell me a short story about a lighthouse keeper. The lighthouse keeper, a kind-hearted
    (
        (31530, 549, 253, 1890, 1977, 563, 253, 33059, 40061, 30),
        (504, 33059, 40061, 28, 253, 1942, 29, 20461),
    ),
)
"""Tokens of a question, and of the model's own answer to it."""
CUTS = ((16, 1), (32, 1), (44, 1), (24, 8))
"""(tokens before, new tokens) of a step in the middle of a talk."""


def steps() -> Iterator[dict[str, np.ndarray]]:
    """Five items a talk: its question read at once, and steps further on."""
    decoder = create()
    for question, answer in TALKS:
        prompt = [*SYSTEM, *question, *ASSISTANT]
        tokens = np.array([*prompt, *answer], dtype=np.int64)
        first = {
            "input_ids": tokens[: len(prompt)],
            "cache": np.zeros((1, LAYERS, 2 * KV_HEADS, HEAD), dtype=np.float32),
            "cache_mask": np.zeros(1, dtype=np.int64),
        }
        yield first
        whole = {**first, "input_ids": tokens}
        with torch.no_grad():
            read = decoder(**{name: torch.from_numpy(array)[None] for name, array in whole.items()})
        cache = read["added"][0].numpy()
        for past, new in CUTS:
            yield {
                "input_ids": tokens[past : past + new],
                "cache": cache[:past],
                "cache_mask": np.ones(past, dtype=np.int64),
            }
