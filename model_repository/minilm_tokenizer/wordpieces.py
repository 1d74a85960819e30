"""Texts go in; the token ids and masks that MiniLM takes come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
from tokenizers import BertWordPieceTokenizer

LENGTH = 128
"""Tokens of every text: what MiniLM was trained on. All of one length, so that Triton can join any
requests; the mask keeps the padding out of the embedding."""


class Tokens(TypedDict):
    """What MiniLM takes."""

    input_ids: Annotated[np.ndarray, "int64[batch, 128]"]
    attention_mask: Annotated[np.ndarray, "int64[batch, 128]"]


class Tokenizer:
    """MiniLM's own tokenizer: lower case, word pieces, [CLS] before and [SEP] behind."""

    def __init__(self) -> None:
        vocabulary = Path(__file__).with_name("vocab.txt")
        self.tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self.tokenizer.enable_truncation(LENGTH)
        self.tokenizer.enable_padding(length=LENGTH)

    def __call__(self, text: list[str]) -> Tokens:
        encoded = self.tokenizer.encode_batch(text)
        return {
            "input_ids": np.array([row.ids for row in encoded], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in encoded], dtype=np.int64),
        }
