"""Texts go in; the token ids and masks that MiniLM takes come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from tokenizers import BertWordPieceTokenizer

LONGEST = 256
"""Tokens of a text at most: what is longer is cut."""
STEP = 32
"""Texts are filled up to a multiple of it, so that requests of near lengths share a batch in
minilm; the mask keeps the padding out of the embedding."""


class Tokens(TypedDict):
    """What MiniLM takes."""

    input_ids: Annotated[np.ndarray, "int64[batch, seq]"]
    attention_mask: Annotated[np.ndarray, "int64[batch, seq]"]


class Tokenizer:
    """MiniLM's own tokenizer: lower case, word pieces, [CLS] before and [SEP] behind."""

    def __init__(self) -> None:
        vocabulary = Path(__file__).with_name("vocab.txt")
        self.tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding(pad_to_multiple_of=STEP)

    def __call__(self, text: list[str]) -> Tokens:
        encoded = self.tokenizer.encode_batch(text)
        return {
            "input_ids": np.array([row.ids for row in encoded], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in encoded], dtype=np.int64),
        }
