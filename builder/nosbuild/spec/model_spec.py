"""ModelSpec: a model.yaml as a validated, frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, StrictBool, StrictStr, ValidationInfo, field_validator

from nosbuild.errors import InternalError, SpecError
from nosbuild.spec.axes import axis_findings, used_dims, with_batch
from nosbuild.spec.declared_tensors import source_findings
from nosbuild.spec.dims import DEFAULT_BATCH, DimRange
from nosbuild.spec.fields import (
    BatchingField,
    BuildRequirementsField,
    CallableField,
    DimsField,
    InputsField,
    InstancesField,
    NameField,
    ObjectiveField,
    Origin,
    OutputsField,
    PadField,
    PrecisionField,
    PythonField,
    QualityField,
    RequirementsField,
    SecondsField,
    SourceField,
    VersionPolicyField,
    is_exported,
    known_outputs,
    origin_folder,
    refuse,
)
from nosbuild.spec.names import folder_findings
from nosbuild.spec.objective import Objective
from nosbuild.spec.problems import Finding, problem
from nosbuild.spec.quality import Quality, output_findings
from nosbuild.spec.references import check_callable
from nosbuild.spec.sequences import Sequence, state_findings
from nosbuild.spec.serving import Batching, Instances, Section, VersionPolicy, preferred_findings
from nosbuild.spec.triton_fields import raw_findings
from nosbuild.spec.yaml_source import KeyPath
from nosbuild.tensors import BATCH, TensorSpec, is_batched

_ONLY_SOME_HAVE = (
    "requirements",
    "python",
    "system_site",
    "methods",
    "models",
    "pad",
    "state",
    "sequence",
    "max_execution_seconds",
)


class ModelSpec(Section):
    """What a model is, its tensors, its quality bar, and how it is served.

    Made by :func:`nosbuild.spec.load_spec` alone. Two specs are equal when they say the same,
    wherever they were read from.
    """

    name: NameField
    """The model's name in Triton; its folder has the same."""
    description: StrictStr = ""
    """One sentence for people."""
    source: SourceField
    """Where the model comes from."""
    requirements: RequirementsField = ()
    """Of a python model: pip requirements of its own environment; none for the server's Python."""
    python: PythonField | None = None
    """Of a python model: the version of Python that its environment has; None for any."""
    system_site: StrictBool = False
    """Whether a python model's environment sees the packages of the Python it was made with."""
    methods: tuple[StrictStr, ...] = ("__call__",)
    """Of a python model: what to serve, each as a model: ``<name>``, then ``<name>.<method>``."""
    models: tuple[StrictStr, ...] = ()
    """Of a python model: other models that the class calls."""
    inputs: InputsField = Field(default=None, validate_default=True)
    """By name, in the order of the model's arguments; None where the source tells them."""
    outputs: OutputsField = Field(default=None, validate_default=True)
    """By name; None where the source tells them."""
    dims: DimsField = Field(default_factory=dict, validate_default=True)
    """Ranges of the named axes."""
    pad: PadField = Field(default_factory=dict)
    """Of a python model: input or output -> what to fill up with, so that those of unequal shape
    join.
    """
    state: dict[StrictStr, StrictStr] = Field(default_factory=dict)
    """Input -> the output that comes back as that input with the sequence's next request."""
    sequence: Sequence | None = None
    """How requests of one sequence find each other; None where each stands alone."""
    samples: CallableField | None = None
    """``file.py:callable`` or ``module:callable`` that gives real inputs."""
    quality: QualityField = Quality()
    """How near a variant must come to the original."""
    precision: PrecisionField = ("fp32",)
    """Candidates to build and prove."""
    objective: ObjectiveField = Objective()
    """What to choose by among the proven variants."""
    batching: BatchingField = None
    """Dynamic batching; None leaves it to the build."""
    instances: InstancesField = Instances()
    """Copies of the model and where they run."""
    max_execution_seconds: SecondsField | None = None
    """How long one execution, of a stream one step of it, may take before its worker counts as hung
    and is ended; None for no limit. How long requests wait is ``batching``'s.
    """
    version_policy: VersionPolicyField = VersionPolicy()
    """Which versions Triton serves."""
    response_cache: StrictBool = False
    """Lets Triton answer repeated requests from its cache."""
    optimization: dict[str, Any] = Field(default_factory=dict)
    """Triton's ModelOptimizationPolicy, as protobuf-JSON."""
    raw: dict[str, Any] = Field(default_factory=dict)
    """Any other field of Triton's ModelConfig, as protobuf-JSON."""
    build_requirements: BuildRequirementsField = ()
    """pip requirements whose packages hold the model or its samples."""

    _origin: Origin = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Keep where the spec came from."""
        self._origin = context

    @field_validator("name")
    @classmethod
    def _named_as_folder(cls, name: str, info: ValidationInfo) -> str:
        refuse(folder_findings(name, origin_folder(info)))
        return name

    @field_validator("inputs", "outputs")
    @classmethod
    def _tensors_fit_source(
        cls, tensors: dict[str, TensorSpec] | None, info: ValidationInfo
    ) -> dict[str, TensorSpec] | None:
        refuse(source_findings(str(info.field_name), tensors, info.data.get("source")))
        return tensors

    @field_validator("dims")
    @classmethod
    def _dims_fit_tensors(
        cls, dims: dict[str, DimRange], info: ValidationInfo
    ) -> dict[str, DimRange]:
        inputs, outputs = info.data.get("inputs"), info.data.get("outputs")
        exported = is_exported(info)
        refuse(axis_findings(inputs, outputs, dims, ranged=exported, of_one_model=exported))
        return with_batch(dims, inputs, outputs)

    @field_validator("state")
    @classmethod
    def _state_fits_tensors(cls, state: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        refuse(state_findings(state, info.data.get("inputs"), info.data.get("outputs")))
        return state

    @field_validator("samples")
    @classmethod
    def _samples_exist(cls, samples: str | None, info: ValidationInfo) -> str | None:
        if samples is not None:
            refuse(check_callable(("samples",), samples, origin_folder(info), "samples.py:samples"))
        return samples

    @field_validator("quality")
    @classmethod
    def _quality_fits_outputs(cls, bars: Quality, info: ValidationInfo) -> Quality:
        dtypes, complete = known_outputs(info)
        refuse(output_findings(bars, dtypes, complete=complete))
        return bars

    @field_validator("batching")
    @classmethod
    def _batching_fits_dims(
        cls, batching: Batching | None, info: ValidationInfo
    ) -> Batching | None:
        if "dims" in info.data:
            batched = None
            if is_exported(info):
                batched = _is_batched(info.data.get("inputs"), info.data.get("outputs"))
            largest = 0 if batched is False else info.data["dims"].get(BATCH, DEFAULT_BATCH).max
            refuse(preferred_findings(batching, largest))
        return batching

    @field_validator("raw")
    @classmethod
    def _raw_is_the_rest(cls, raw: dict[str, Any]) -> dict[str, Any]:
        refuse(raw_findings(raw))
        return raw

    @property
    def file(self) -> Path:
        """The model.yaml."""
        return self._origin.source.file

    @property
    def folder(self) -> Path:
        """The model's folder, where relative paths start."""
        return self._origin.folder

    @property
    def text_sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._origin.source.sha256

    @property
    def input_tensors(self) -> tuple[TensorSpec, ...] | None:
        """The inputs in the order they are written; None where the source tells them."""
        return None if self.inputs is None else tuple(self.inputs.values())

    @property
    def output_tensors(self) -> tuple[TensorSpec, ...] | None:
        """The outputs in the order they are written; None where the source tells them."""
        return None if self.outputs is None else tuple(self.outputs.values())

    @property
    def is_batched(self) -> bool | None:
        """Whether Triton may join requests; None until the tensors are known.

        What a python model declares are arguments of methods; see :meth:`with_tensors`.
        """
        if not (self.source.is_exported or self._origin.told):
            return None
        return _is_batched(self.inputs, self.outputs)

    @property
    def max_batch_size(self) -> int:
        """Triton's ``max_batch_size``: 0 where the first axis is no batch.

        Raises:
            InternalError: the tensors are not known yet; see :meth:`with_tensors`.
        """
        if self.is_batched is None:
            raise InternalError(f"the tensors of {self.name} are not known yet")
        return self.dim_range(BATCH).max if self.is_batched else 0

    def dim_range(self, axis: str) -> DimRange:
        """The sizes of a named axis; KeyError for one that only outputs have."""
        return self.dims.get(BATCH, DEFAULT_BATCH) if axis == BATCH else self.dims[axis]

    def section(self, *names: str) -> dict[str, Any]:
        """The named parts as JSON-able data, defaults filled in.

        What only some models have (their own packages, states) is left out where it is the
        default, so that it changes no digest of the others.

        Raises:
            InternalError: a name that no spec has.
        """
        if unknown := set(names) - set(type(self).model_fields):
            raise InternalError(f"a spec has no section {', '.join(sorted(unknown))}")
        fields = type(self).model_fields
        left_out = {
            name
            for name in _ONLY_SOME_HAVE
            if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return self.model_dump(mode="json", include=set(names) - left_out)

    def error(self, key: KeyPath, found: str, remedy: str) -> SpecError:
        """A SpecError about one key, with its line, for what only a later room can see."""
        return SpecError(self.file, [problem(Finding(key, found, remedy), self._origin.source)])

    def with_tensors(
        self,
        inputs: Iterable[TensorSpec],
        outputs: Iterable[TensorSpec],
        default_dims: Mapping[str, str] | None = None,
    ) -> ModelSpec:
        """The same spec with the tensors that its source told.

        Args:
            inputs: in the source's order.
            outputs: likewise.
            default_dims: axis -> ``min..typical..max`` that the source tells, for axes without a
                range of their own.

        The tensors of a python model are those of one of its methods, as Triton has them. Axes
        of python models and pipelines need no range.

        Raises:
            SpecError: the rest of the spec does not fit them, e.g. an axis without a range.
        """
        by_name = {tensor.name: tensor for tensor in inputs}
        results = {tensor.name: tensor for tensor in outputs}
        told = {axis: DimRange.parse(text) for axis, text in (default_dims or {}).items()}
        dims = with_batch({**told, **self.dims}, by_name, results)
        several = len(self.methods) > 1
        if several:  # the other methods' axes and outputs are not this model's
            dims = used_dims(dims, by_name, results)
        batched = _is_batched(by_name, results)
        dtypes = {tensor.name: tensor.dtype for tensor in results.values()}
        findings = [
            *axis_findings(by_name, results, dims, ranged=self.source.is_exported),
            *output_findings(self.quality, dtypes, complete=not several),
            *state_findings(self.state, by_name, results),
            *preferred_findings(self.batching, dims[BATCH].max if batched else 0),
        ]
        if findings:
            source = self._origin.source
            raise SpecError(self.file, [problem(finding, source) for finding in findings])
        copy = self.model_copy(update={"inputs": by_name, "outputs": results, "dims": dims})
        copy._origin = replace(self._origin, told=True)
        return copy


def _is_batched(
    inputs: dict[str, TensorSpec] | None, outputs: dict[str, TensorSpec] | None
) -> bool | None:
    known = [*(inputs or {}).values(), *(outputs or {}).values()]
    if known and not is_batched(known):
        return False
    return None if inputs is None or outputs is None else True
