"""The models of the gallery, by name: what a wheel must carry, and `nosbuild hub` list."""

GALLERY_MODELS = [
    "breast_cancer",
    "efficientnet_lite0",
    "image_classifier",
    "minilm",
    "minilm_tokenizer",
    "ocr",
    "ocr_detect",
    "ocr_direction",
    "ocr_recognize",
    "silero_vad",
    "smollm2",
    "smollm2_decoder",
    "text_embedding",
]
