"""Build reports with figures as real builds give them, and with those that plots stumble over."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nosbuild.report.build_report import BuildReport, VariantReport, Verdict
from nosbuild.verify.measure import Latency, Measurement, Ratio, Throughput
from nosbuild.verify.proof import Finding, Proof

BATCHES = (1, 8, 32)


def speed(
    *median_ms: float,
    over: float | None = None,
    batches: Sequence[int] = BATCHES,
    typical: int = 8,
    rate: float | None = None,
) -> Measurement:
    """Two placements; latencies at each batch size, p99 a fifth above the median."""
    base = median_ms[batches.index(typical)]
    best = rate if rate is not None else 1000 * typical / base
    return Measurement(
        latencies=tuple(
            Latency(batch=batch, median_ms=ms, p99_ms=1.2 * ms)
            for batch, ms in zip(batches, median_ms, strict=True)
        ),
        throughputs=(
            Throughput(
                instances=1,
                threads=2,
                batch=typical,
                items_per_second=0.9 * best,
                p99_ms=1.3 * base,
            ),
            Throughput(
                instances=2, threads=1, batch=typical, items_per_second=best, p99_ms=2.1 * base
            ),
        ),
        instances=2,
        threads=1,
        why="best of 2 placements",
        over_baseline=over
        if over is None
        else Ratio(value=over, low=0.97 * over, high=1.04 * over, confidence=0.9375, rounds=5),
    )


def finding(
    value: float,
    bar: str = "cosine >= 0.99",
    output: str = "sentence_embedding",
    *,
    holds: bool = True,
    noise: float | None = 0.99999998,
    noise_misses: bool = False,
) -> Finding:
    return Finding(
        output=output,
        bar=bar,
        value=value,
        holds=holds,
        batch=8,
        sample=137,
        noise=noise,
        noise_misses=noise_misses,
    )


def proof(name: str, *findings: Finding, reasons: tuple[str, ...] = (), real: bool = True) -> Proof:
    return Proof(
        variant=name,
        artifact={"model.onnx": "ab" * 32},
        findings=findings,
        reasons=reasons,
        samples=212,
        real_samples=real,
        batches=BATCHES,
    )


def variant(
    name: str,
    verdict: Verdict,
    reason: str = "",
    *,
    found: Sequence[Finding] | None = None,
    reasons: tuple[str, ...] = (),
    measured: Measurement | None = None,
    size: int | None = 90_900_000,
    how: str = "torch.onnx.export, opset 20",
    precision: str = "fp32",
    real: bool = True,
) -> VariantReport:
    return VariantReport(
        name=name,
        precision=precision,
        backend="" if verdict in ("source", "skipped") else "onnxruntime",
        how=how,
        bytes=None if verdict in ("source", "skipped") else size,
        proof=None if found is None else proof(name, *found, reasons=reasons, real=real),
        speed=measured,
        verdict=verdict,
        reason=reason,
    )


def report(*variants: VariantReport, published: str = "", **changes: object) -> BuildReport:
    chosen = published or next(v.name for v in variants if v.verdict == "published")
    facts: dict[str, object] = {
        "model": "minilm",
        "description": "Sentence embeddings (all-MiniLM-L6-v2), unit length.",
        "headline": "onnx-int8-dynamic is 2.2x faster than fp32 ONNX and 4.1x faster than PyTorch "
        "at cosine 0.9911 (bar 0.99); published as version 2",
        "objective": "throughput",
        "target": "cpu",
        "typical_batch": 8,
        "samples": 212,
        "real_samples": True,
        "host": {
            "cpus": 2,
            "cpu_model": "Intel(R) Xeon(R) Processor @ 2.60GHz",
            "memory_bytes": 8_335_000_000,
            "python": "3.11.9",
        },
        "libraries": {"torch": "2.13.0", "onnxruntime": "1.32.0", "numpy": "2.3.1"},
        "nosbuild": "0.1.0",
        **changes,
    }
    return BuildReport.model_validate({"published": chosen, "variants": variants, **facts})


def minilm() -> BuildReport:
    """Source and nine variants: all verdicts but one."""
    return report(
        variant(
            "pytorch-eager", "source", measured=speed(17.2, 94.1, 351), how="PyTorch 2.13.0, eager"
        ),
        variant(
            "onnx-fp32",
            "proven",
            "1.9 to 2.4 times slower than onnx-int8-dynamic",
            found=[finding(0.99999996)],
            measured=speed(7.31, 39.2, 161),
        ),
        variant(
            "onnx-fp32-optimized",
            "proven",
            "slower than onnx-int8-dynamic",
            found=[finding(0.99999994)],
            measured=speed(6.84, 36.0, 150, over=1.09),
            how="ONNX Runtime's transformer optimizer: 6 Attention, 12 SkipLayerNormalization, "
            "6 BiasGelu",
        ),
        variant(
            "onnx-fp16",
            "proven",
            "slower than onnx-int8-dynamic; this processor has no fp16 arithmetic",
            found=[finding(0.999971)],
            measured=speed(11.9, 61.5, 240, over=0.64),
            size=45_500_000,
            how="fp16 inside, inputs and outputs fp32",
            precision="fp16",
        ),
        variant("onnx-bf16", "skipped", "the target cpu has no bf16", how="", precision="bf16"),
        variant(
            "onnx-int8-dynamic",
            "published",
            "fastest of those that keep to their bars",
            found=[finding(0.9911)],
            measured=speed(3.05, 17.6, 74, over=2.21),
            size=23_000_000,
            how="8-bit weights per channel, 36 of 36 MatMul",
            precision="int8",
        ),
        variant(
            "onnx-int8-static",
            "refused",
            "sentence_embedding: cosine >= 0.99, worst 0.9412 (batch 8, sample 137; the source "
            "against itself: 1): missed\nrescued 12 layers without reaching the bar in 8 attempts",
            found=[finding(0.9412, holds=False)],
            measured=speed(2.9, 16.1, 70, over=2.4),
            size=23_100_000,
            how="QDQ, percentile calibration on 212 samples",
            precision="int8",
        ),
        variant(
            "onnx-int8-static-entropy",
            "refused",
            "the answers hold NaN",
            found=[finding(math.nan, holds=False)],
            reasons=("output sentence_embedding holds NaN where the source has numbers",),
            measured=speed(3.0, 16.4, 71, over=2.38),
            size=23_100_000,
            how="QDQ, entropy calibration on 212 samples",
            precision="int8",
        ),
        variant(
            "tensorrt-fp16",
            "unproven",
            "built, not proven here: no GPU",
            size=46_200_000,
            how="TensorRT-RTX 1.7.1, profiles batch 1..8..32, seq 2..32..256",
            precision="fp16",
        ),
    )


def single() -> BuildReport:
    """One variant, one batch size, random inputs, no error at all."""
    return report(
        variant(
            "onnx-fp32",
            "published",
            "the only variant",
            found=[finding(0.0, "relative <= 0.001", "y", noise=0.0)],
            measured=speed(0.0123, batches=(1,), typical=1),
            size=1_234,
            real=False,
        ),
        model="tiny",
        description="",
        headline="onnx-fp32 is the only variant; published as version 1",
        typical_batch=1,
        samples=212,
        real_samples=False,
    )


def forest() -> BuildReport:
    """scikit-learn: labels exactly, probabilities by allclose; nothing with a zero error."""

    def both(agreed: float, excess: float) -> list[Finding]:
        return [
            finding(agreed, "agreement >= 1", "label", noise=1.0),
            finding(excess, "allclose(atol=1e-05) excess <= 0", "probabilities", noise=-1e-5),
        ]

    return report(
        variant("scikit-learn", "source", measured=speed(4.1, 4.3, 5.2), how="scikit-learn 1.7.2"),
        variant(
            "onnx-fp32",
            "published",
            "the only variant for this source",
            found=both(1.0, -9.4e-6),
            measured=speed(0.041, 0.092, 0.31),
            size=412_000,
            how="skl2onnx 1.20, zipmap off",
        ),
        model="breast_cancer",
        description="Random forest on breast_cancer.",
        headline="onnx-fp32 is 47x faster than scikit-learn at equal labels; published",
    )


def crowded() -> BuildReport:
    """Fifteen variants, six outputs with long names."""
    outputs = [f"decoder_block_{index}_cross_attention_projection_output" for index in range(5)] + [
        "logits"
    ]
    precisions = ("fp32", "fp16", "bf16", "int8", "fp8")
    variants = [variant("pytorch-eager", "source", measured=speed(41, 301, 1190))]
    for index in range(14):
        precision = precisions[index % 5]
        holds = index % 4 != 3
        found = [
            finding(
                1 - 1e-7 * 2.4**index if holds or place else 0.91 - 0.01 * index,
                "cosine >= 0.99" if place else "top1_agreement >= 0.98",
                output,
                holds=holds or place != 0,
            )
            for place, output in enumerate(outputs)
        ]
        verdict: Verdict = "published" if index == 8 else "proven" if holds else "refused"
        rate = 1 + 0.35 * (index % 7)
        variants.append(
            variant(
                f"onnx-{precision}-optimized-for-cpu-avx512-{index}",
                verdict,
                "fastest of those that keep to their bars" if index == 8 else "slower, or refused",
                found=found,
                measured=speed(20 / rate, 140 / rate, 560 / rate, over=rate),
                precision=precision,
                size=400_000_000 // (1 + index % 3),
            )
        )
    return report(
        *variants,
        model="a_translation_model_with_a_name_that_does_not_end_where_it_should",
        headline="The best of fourteen is 1.7x faster than fp32 ONNX",
    )


ALL = {"minilm": minilm, "single": single, "forest": forest, "crowded": crowded}
