# Builds models for docker/gpu.Dockerfile: torch, and the very TensorRT that the server will load
# engines with, as an engine of another version does not load.
#   docker build -f docker/builder.Dockerfile -t nosbuild/builder:gpu-0.1.0 .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v $PWD/model_repository:/models \
#       nosbuild/builder:gpu-0.1.0 /models --target gpu,triton:26.08
#
# The base is the server's image, not NVIDIA's TensorRT image of the same release: the two have had
# different versions (triton-inference-server/server, issue 5975).
ARG TRITON_RELEASE=26.08
ARG BASE=nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

# hadolint ignore=DL3006
FROM ${BASE}
ARG TORCH=torch==2.13.0
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/nosbuild \
    && python3 -m pip --python /opt/nosbuild/bin/python install pip==26.3 "${TORCH}"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Which TensorRT this is, the library's own package says; the Python package must be that one.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    version=$(dpkg-query --show --showformat='${Version}\n' 'libnvinfer[0-9]*' | head -1) \
    && version=${version%%-*} \
    && /opt/nosbuild/bin/python -m pip install "tensorrt-cu${CUDA_VERSION%%.*}==${version}.*" \
    && /opt/nosbuild/bin/python -c "import sys, tensorrt; \
sys.exit(not tensorrt.__version__.startswith('${version}') and f'{tensorrt.__version__} is not ${version}')"
COPY pyproject.toml README.md CHANGELOG.md LICENSE /source/
COPY client /source/client
COPY builder /source/builder
COPY model_repository /source/model_repository
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    /opt/nosbuild/bin/python -m pip install /source/client '/source[torch,sklearn]'
ENV NOSBUILD_CACHE=/var/cache/nosbuild \
    NOSBUILD_TRITON=/opt/tritonserver \
    ORT_DISABLE_TELEMETRY=1
RUN mkdir -p /models /var/cache/nosbuild && chmod 1777 /var/cache/nosbuild
USER 1000:1000
WORKDIR /models
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "/opt/nosbuild/bin/nosbuild", "build"]

ARG BASE
ARG TRITON_RELEASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nosbuild builder (GPU)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}" \
      nosbuild.kind="builder" \
      nosbuild.version="${VERSION}" \
      nosbuild.triton.release="${TRITON_RELEASE}"
