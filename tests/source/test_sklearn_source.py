"""scikit-learn estimators: classifiers, regressors, transformers, pipelines."""

import numpy as np
import pytest

from nosbuild.errors import ExportError, SourceError
from nosbuild.source.load import load_source

TRAIN = """
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

def train():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    y = X[:, 0] + X[:, 1] > 0
    return (ESTIMATOR).fit(X, TARGET)
"""


@pytest.fixture
def sklearn_model(make_model):
    def make(estimator, target="y.astype(int)", more=""):
        code = TRAIN.replace("ESTIMATOR", estimator).replace("TARGET", target)
        return make_model("source: {sklearn: 'model.py:train'}\n" + more, model=code)

    return make


def declared(spec):
    source, _ = load_source(spec)
    return {tensor.name: tensor.declaration for tensor in (*source.inputs, *source.outputs)}


FEATURES = {"features": "float32[batch, 4]"}
LABEL = {"label": "int64[batch]", "probabilities": "float32[batch, 2]"}
WORDS = {"label": "string[batch]", "probabilities": "float32[batch, 2]"}
NATURAL = [
    ("RandomForestClassifier(5, random_state=0)", "y.astype(int)", LABEL),
    ("LogisticRegression()", "y.astype(np.int32)", LABEL),
    ("LogisticRegression()", "y", LABEL),
    ("LogisticRegression()", "np.where(y, 'up', 'down')", WORDS),
    ("make_pipeline(StandardScaler(), LogisticRegression())", "np.where(y, 'up', 'down')", WORDS),
    ("RidgeClassifier()", "y.astype(int)", {"label": "int64[batch]"}),
    ("LinearSVC()", "y.astype(int)", {"label": "int64[batch]"}),
    ("LinearRegression()", "X[:, 0]", {"prediction": "float32[batch, 1]"}),
    ("LinearRegression()", "X[:, :2]", {"prediction": "float32[batch, 2]"}),
    ("make_pipeline(StandardScaler(), PCA(3))", "None", {"transformed": "float32[batch, 3]"}),
]


@pytest.mark.parametrize(("estimator", "target", "outputs"), NATURAL)
def test_tensors_are_told_by_the_estimator(sklearn_model, export, estimator, target, outputs):
    spec = sklearn_model(estimator, target)
    assert declared(spec) == FEATURES | outputs
    exported = export(spec)
    assert list(exported.outputs) == list(outputs)
    exported.agrees_at(batch=1)
    exported.agrees_at(batch=9)


def test_outputs_may_be_renamed_reordered_and_left_out(sklearn_model, export):
    yaml = "inputs: {rows: 'float32[batch, 4]'}\noutputs: {scores: 'float32[batch, 2]'}\n"
    exported = export(sklearn_model("RandomForestClassifier(5, random_state=0)", more=yaml))
    assert list(exported.inputs) == ["rows"]
    assert list(exported.outputs) == ["scores"]
    exported.agrees_at(batch=3)
    yaml = "outputs: {p: 'float32[batch, 2]', c: 'int64[batch]'}\n"
    exported = export(sklearn_model("RandomForestClassifier(5, random_state=0)", more=yaml))
    assert list(exported.outputs) == ["p", "c"]
    exported.agrees_at(batch=3)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("inputs: {x: 'float32[batch, 5]'}", "the estimator was fitted on float32[batch, 4]"),
        ("inputs: {x: 'float64[batch, 4]'}", "the estimator was fitted on float32[batch, 4]"),
        ("inputs: {x: 'float32[batch]'}", "the estimator was fitted on float32[batch, 4]"),
        (
            "inputs: {a: 'float32[batch, 2]', b: 'float32[batch, 2]'}",
            "the estimator was fitted on float32[batch, 4]",
        ),
        ("outputs: {y: 'float32[batch, 3]'}", "RandomForestClassifier gives label: int64[batch]"),
        ("outputs: {y: 'string[batch]'}", "outputs.y is string[batch], but"),
    ],
)
def test_declarations_that_do_not_fit(sklearn_model, yaml, said):
    with pytest.raises(SourceError) as caught:
        load_source(sklearn_model("RandomForestClassifier(5, random_state=0)", more=yaml))
    assert said in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("estimator", "target", "said"),
    [
        ("KMeans(2)", "None", "KMeans.predict gives int32"),
        ("RandomForestClassifier(2)", "np.stack([y, y], 1).astype(int)", "2 labels at once"),
        ("LogisticRegression()", "y.astype(float)", "fitted on float64 labels"),
    ],
)
def test_estimators_that_cannot_be_served(sklearn_model, estimator, target, said):
    with pytest.raises(SourceError) as caught:
        load_source(sklearn_model(estimator, target))
    assert said in caught.value.message


def test_a_part_without_a_converter(sklearn_model, export):
    spec = sklearn_model("make_pipeline(StandardScaler(), LinearSVC())")
    with pytest.raises(ExportError, match="skl2onnx cannot convert Pipeline") as caught:
        export(spec)
    assert "supported models" in caught.value.remedy


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def train(): return 3", "returned a int, not a scikit-learn estimator"),
        (
            "from sklearn.linear_model import LinearRegression as train",
            "returned a class, not a scikit-learn estimator",
        ),
        (
            "from sklearn.linear_model import LinearRegression\ndef train():\n"
            "    return LinearRegression()",
            "returned a LinearRegression that is not fitted",
        ),
    ],
)
def test_what_is_no_fitted_estimator(make_model, code, said):
    with pytest.raises(SourceError) as caught:
        load_source(make_model("source: {sklearn: 'model.py:train'}", model=code))
    assert said in caught.value.message or "not fitted" in caught.value.message
    assert caught.value.remedy


def test_a_fitted_estimator_object_itself(make_model):
    code = TRAIN.replace("ESTIMATOR", "LinearRegression()").replace("TARGET", "X[:, 0]")
    spec = make_model("source: {sklearn: 'model.py:ready'}", model=code + "\nready = train()\n")
    source, _ = load_source(spec)
    zeros = np.zeros((2, 4), np.float32)
    assert source.run({"features": zeros})["prediction"].shape == (2, 1)


TEXTS = """
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

TEXTS = ["win a free prize", "cheap pills, click here", "meeting at ten", "lunch with the team"]


def train():
    spam = ["spam", "spam", "ham", "ham"]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, spam)
"""


def test_a_pipeline_fitted_on_texts(make_model, export):
    exported = export(make_model("source: {sklearn: 'model.py:train'}", model=TEXTS))
    texts = np.array([["A FREE prize!"], ["lunch at ten?"], [""]], dtype=object)
    source, _ = load_source(exported.spec)
    expected, found = source.run({"text": texts}), exported.run(text=texts)
    assert list(expected["label"])[:2] == ["spam", "ham"]
    assert list(found["label"]) == list(expected["label"])
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)


def test_numbers_declared_for_a_pipeline_fitted_on_texts(make_model):
    declared = "inputs: {text: 'float32[batch, 3]'}"
    spec = make_model(f"source: {{sklearn: 'model.py:train'}}\n{declared}", model=TEXTS)
    with pytest.raises(SourceError, match=r"fitted on string\[batch, 1\]") as caught:
        load_source(spec)
    assert "inputs: {text: 'string[batch, 1]'}" in caught.value.remedy
