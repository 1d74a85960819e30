"""``source: {sklearn: ...}`` goes in; a fitted estimator with declared tensors comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from nosbuild.errors import SourceError
from nosbuild.source.references import call, load_callable
from nosbuild.tensors import BATCH, DTYPES, TensorSpec, dtype_from_numpy

if TYPE_CHECKING:
    from nosbuild.spec import ModelSpec


class SklearnSource:
    """A fitted estimator as a LoadedSource: one input, float32[batch, features].

    A pipeline that was fitted on texts takes string[batch, 1] instead: a column of them.

    Classifiers give ``label`` and ``probabilities``, regressors ``prediction``, transformers
    ``transformed``; a spec may call them otherwise: outputs are told apart by their type.
    """

    def __init__(self, estimator: Any, spec: ModelSpec) -> None:
        self.estimator = estimator
        self.default_dims: dict[str, str] = {}
        own = _natural_input(estimator)
        self.inputs = spec.input_tensors or (own,)
        declared = [tensor.declaration for tensor in self.inputs]
        if declared != [own.declaration]:
            raise SourceError(
                f"inputs are {', '.join(declared)}, but the estimator was fitted on "
                f"{own.declaration}",
                f"Declare inputs: {{{self.inputs[0].name}: '{own.declaration}'}}.",
            )
        self.takes_texts = own.dtype.name == "string"
        natural = self._natural_outputs()
        self.outputs = spec.output_tensors or natural
        self.methods = {
            tensor.name: self._method(tensor, natural, spec.output_tensors is not None)
            for tensor in self.outputs
        }

    @property
    def classifies(self) -> bool:
        """True for estimators that predict one of a set of labels."""
        return hasattr(self.estimator, "classes_")

    @property
    def has_probabilities(self) -> bool:
        """True for classifiers that tell them; skl2onnx would wrap them in a ZipMap."""
        return self.classifies and hasattr(self.estimator, "predict_proba")

    def _natural_outputs(self) -> tuple[TensorSpec, ...]:
        if self.classifies:
            classes = self.estimator.classes_
            if isinstance(classes, list):
                raise SourceError(
                    f"{type(self.estimator).__name__} predicts {len(classes)} labels at once",
                    "Build one model for each label.",
                )
            if classes.dtype.kind == "f":
                raise SourceError(
                    f"{type(self.estimator).__name__} was fitted on {classes.dtype} labels",
                    "Fit it on integers or strings; ONNX classifiers answer nothing else.",
                )
            # ONNX classifiers answer int64 or strings, whatever integers they were fitted on.
            words = dtype_from_numpy(classes.dtype).name == "string"
            label = TensorSpec("label", DTYPES["string" if words else "int64"], (BATCH,))
            scores = TensorSpec("probabilities", DTYPES["float32"], (BATCH, len(classes)))
            return (label, scores) if self.has_probabilities else (label,)
        method = "predict" if hasattr(self.estimator, "predict") else "transform"
        shape = self.inputs[0].sized({BATCH: 1})
        example = [""] if self.takes_texts else np.zeros(shape, np.float32)
        result = self._dense(getattr(self.estimator, method)(example))
        if result.dtype.kind != "f":
            raise SourceError(
                f"{type(self.estimator).__name__}.{method} gives {result.dtype}",
                "Supported are classifiers, regressors and transformers to floats.",
            )
        width = result.shape[1] if result.ndim == 2 else 1
        name = "prediction" if method == "predict" else "transformed"
        return (TensorSpec(name, DTYPES["float32"], (BATCH, width)),)

    def _method(self, tensor: TensorSpec, natural: tuple[TensorSpec, ...], declared: bool) -> str:
        """``predict``, ``predict_proba`` or ``transform``: the one whose result fits ``tensor``."""
        for candidate in natural:
            same_kind = candidate.dtype.is_float == tensor.dtype.is_float
            if same_kind and len(candidate.shape) == len(tensor.shape):
                fits = [a == b for a, b in zip(candidate.shape, tensor.shape, strict=True)]
                if candidate.dtype == tensor.dtype and all(fits):
                    return {"probabilities": "predict_proba", "transformed": "transform"}.get(
                        candidate.name, "predict"
                    )
        gives = ", ".join(f"{t.name}: {t.declaration}" for t in natural)
        raise SourceError(
            f"outputs.{tensor.name} is {tensor.declaration}, but "
            f"{type(self.estimator).__name__} gives {gives}",
            "Declare those (under names of your choice), or leave outputs out.",
        )

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call the estimator's methods on one array."""
        array = inputs[self.inputs[0].name]
        rows = [str(text) for text in array[:, 0]] if self.takes_texts else array
        results = {}
        for tensor in self.outputs:
            value = self._dense(getattr(self.estimator, self.methods[tensor.name])(rows))
            if len(tensor.shape) == 2 and value.ndim == 1:
                value = value[:, None]
            results[tensor.name] = value.astype(tensor.dtype.numpy)
        return results

    def run_precise(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """The estimator on float64 features; None where it takes texts."""
        if self.takes_texts:
            return None
        name = self.inputs[0].name
        return self.run({name: inputs[name].astype(np.float64)})

    def use_threads(self, count: int) -> None:
        """Nothing: an estimator's ``n_jobs`` is its maker's choice."""

    @staticmethod
    def _dense(result: Any) -> np.ndarray:
        """Text vectorisers give sparse matrices; a served tensor is dense."""
        return np.asarray(result.toarray() if hasattr(result, "toarray") else result)


def _natural_input(estimator: Any) -> TensorSpec:
    """What it was fitted on: numbers leave ``n_features_in_`` behind, texts do not."""
    if hasattr(estimator, "n_features_in_"):
        return TensorSpec("features", DTYPES["float32"], (BATCH, int(estimator.n_features_in_)))
    return TensorSpec("text", DTYPES["string"], (BATCH, 1))


def load(spec: ModelSpec) -> SklearnSource:
    """Call the spec's callable; it returns a fitted estimator.

    Raises:
        SourceError: it raises, or returns something that is not a fitted estimator.
    """
    what = f"source.sklearn: {spec.source.reference}"
    found = load_callable(spec.source.reference, spec.folder)
    is_factory = callable(found) and not hasattr(found, "get_params")
    estimator = call(found, what, spec.folder, **spec.source.init) if is_factory else found
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        found = "class" if isinstance(estimator, type) else type(estimator).__name__
        raise SourceError(
            f"{what} returned a {found}, not a scikit-learn estimator",
            "Return the fitted estimator or Pipeline.",
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as exc:
        raise SourceError(
            f"{what} returned a {type(estimator).__name__} that is not fitted",
            "Call fit() before returning it.",
        ) from exc
    return SklearnSource(estimator, spec)
