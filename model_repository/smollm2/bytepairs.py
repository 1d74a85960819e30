"""SmolLM2's tokenizer: merges.txt goes in; a talk as tokens, and tokens as text, come out."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

MERGES = "merges.txt"
"""The pairs to merge, in order, as the model's own GGUF file lists them."""
CONTROL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>"),
    *("<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>"),
    *("<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>"),
    *("<jupyter_script>", "<empty_output>"),
)
NEVER_SEEN = frozenset("ùĝõþüú÷òĔĖýñûÁÀĆöĄēÿø")
"""Bytes that the training data did not hold (of ByteLevel's letters): they have no token."""
START, END = CONTROL.index("<|im_start|>"), CONTROL.index("<|im_end|>")
ENDS = (CONTROL.index("<|endoftext|>"), END)
"""Tokens that end an answer."""


class TalkTokenizer:
    """Tokens: 17 for control, 235 bytes in the order of their letters, then one for each merge."""

    def __init__(self) -> None:
        lines = Path(__file__).with_name(MERGES).read_text(encoding="utf-8").splitlines()
        merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
        letters = sorted(set(ByteLevel.alphabet()) - NEVER_SEEN)
        tokens = [*CONTROL, *letters, *(left + right for left, right in merges)]
        numbers = {token: number for number, token in enumerate(tokens)}
        self.tokenizer = Tokenizer(BPE(vocab=numbers, merges=merges, unk_token=CONTROL[0]))
        self.tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
        self.tokenizer.decoder = ByteLevelDecoder()

    def talk(self, system: str, prompt: str) -> list[int]:
        """The model's chat template, up to where the assistant begins to speak.

        Control tokens stand only between the parts: in a prompt, ``<|im_end|>`` is mere text.
        """
        parts = (("system", system), ("user", prompt))
        said = [
            [START, *self._ids(f"{role}\n{text}"), END, *self._ids("\n")] for role, text in parts
        ]
        return [*said[0], *said[1], START, *self._ids("assistant\n")]

    def text(self, tokens: list[int]) -> str:
        """The text of tokens; ends in U+FFFD where a letter is not complete yet."""
        return str(self.tokenizer.decode(tokens))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text).ids)
