# NVIDIA's own Triton container, with nosbuild to serve a repository in it:
#   docker build -f docker/gpu.Dockerfile -t nosbuild/server:gpu-0.1.0 .
#   docker run --rm --gpus all -p 8000-8002:8000-8002 --shm-size=1g \
#       -v $PWD/model_repository:/models:ro nosbuild/server:gpu-0.1.0
#
# The server, its ONNX Runtime, TensorRT and Python backends and its Python are NVIDIA's: nothing is
# written below /opt/tritonserver, and NOSBUILD_TRITON tells nosbuild to bring no backend of its own
# (builder/nosbuild/runtime/installed_server.py). docker/compatibility.yaml says what a release holds.
ARG TRITON_RELEASE=26.08
ARG BASE=nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

# The two wheels, from this very source.
# hadolint ignore=DL3006
FROM ${BASE} AS wheels
COPY docker/requirements/build.txt /requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /build \
    && python3 -m pip --python /build/bin/python install pip==26.3 -r /requirements/build.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE /source/
COPY client /source/client
COPY builder /source/builder
COPY model_repository /source/model_repository
RUN /build/bin/python -m pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation \
    --wheel-dir /wheels /source/client /source

# nosbuild in a Python of its own: NVIDIA's packages stay as they are.
# hadolint ignore=DL3006
FROM ${BASE} AS nosbuild
COPY docker/requirements/nosbuild.txt /requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/nosbuild \
    && python3 -m pip --python /opt/nosbuild/bin/python install --only-binary=:all: --no-deps \
        pip==26.3 numpy==1.26.4 -r /requirements/nosbuild.txt
COPY --from=wheels /wheels /wheels
RUN /opt/nosbuild/bin/python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl

# hadolint ignore=DL3006
FROM ${BASE} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
COPY --from=nosbuild /opt/nosbuild /opt/nosbuild
COPY docker/nosbuild-server docker/nosbuild-ready /usr/local/bin/
# Only the command comes onto PATH: python3 there stays NVIDIA's, which the Python backend runs on.
# NVIDIA's image has a user of number 1000 (triton-server).
RUN ln -s /opt/nosbuild/bin/nosbuild /usr/local/bin/nosbuild \
    && { getent passwd 1000 || useradd --uid 1000 --create-home nosbuild; } \
    && mkdir -p /models /var/cache/nosbuild \
    && chmod 1777 /var/cache/nosbuild
ENV NOSBUILD_TRITON=/opt/tritonserver \
    NOSBUILD_CACHE=/var/cache/nosbuild \
    ORT_DISABLE_TELEMETRY=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONPYCACHEPREFIX=/var/cache/nosbuild/pycache \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /tmp
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 CMD ["nosbuild-ready"]
# NVIDIA's entrypoint makes newer CUDA run on older drivers, then runs what follows it.
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/nvidia/nvidia_entrypoint.sh", "nosbuild-server"]

ARG BASE
ARG TRITON_RELEASE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
# As docker/compatibility.yaml has them for the release.
ARG ONNXRUNTIME_VERSION=1.28.0
ARG PYTHON=3.12
LABEL org.opencontainers.image.title="nosbuild server (GPU)" \
      org.opencontainers.image.description="NVIDIA's Triton Inference Server for repositories of nosbuild" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}" \
      nosbuild.kind="gpu" \
      nosbuild.version="${VERSION}" \
      nosbuild.triton.release="${TRITON_RELEASE}" \
      nosbuild.onnxruntime.version="${ONNXRUNTIME_VERSION}" \
      nosbuild.python="${PYTHON}"
