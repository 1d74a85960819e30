# Triton on the CPU, with all that `nosbuild serve` needs and nothing that a build needs:
#   docker build -f docker/cpu.Dockerfile -t nosbuild/server:cpu-0.1.0 .
#   docker run --rm -p 8000-8002:8000-8002 --shm-size=1g -v $PWD/model_repository:/models:ro \
#       nosbuild/server:cpu-0.1.0
#
# The base may be any Debian 12; pin it by its digest: --build-arg BASE=...@sha256:...
# Where pip needs settings to find packages: --secret id=pip,src=pip.conf (it stays out of the image).
ARG BASE=docker.io/library/debian:bookworm-slim
ARG VERSION=0.1.0
ARG TRITON_VERSION=2.51.0

# What runs in the end: a Python with its shared library (Triton's Python backend links it), an init.
# hadolint ignore=DL3006
FROM ${BASE} AS python
# Debian's security updates come without our help, so no versions here; SBOM and labels tell them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpython3.11 python3 tini \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* \
        /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /usr/share/doc /usr/share/man \
        /usr/share/locale /usr/share/info /usr/share/lintian

FROM python AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_ONLY_BINARY=:all:
# Nothing of this stage comes into an image but what is copied.
# hadolint ignore=DL3008,DL3009
RUN apt-get update && apt-get install -y --no-install-recommends binutils python3-venv

# The two wheels, from this very source.
FROM tools AS wheels
COPY docker/requirements/build.txt /requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /build && /build/bin/pip install -r /requirements/build.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE /source/
COPY client /source/client
COPY builder /source/builder
COPY model_repository /source/model_repository
RUN /build/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation \
    --wheel-dir /wheels /source/client /source

# nosbuild's own Python, and beside it Triton with the Python of its backends.
FROM tools AS server
COPY docker/requirements/nosbuild.txt docker/requirements/server.txt /requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/nosbuild \
    && /opt/nosbuild/bin/pip install --no-deps -r /requirements/nosbuild.txt
COPY --from=wheels /wheels /wheels
ENV NOSBUILD_CACHE=/var/cache/nosbuild
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    /opt/nosbuild/bin/pip install --no-index --no-deps /wheels/*.whl \
    && PIP_CONSTRAINT=/requirements/server.txt /opt/nosbuild/bin/python -c \
        "from nosbuild.runtime.environment import server_environment; server_environment(print)" \
    && /opt/nosbuild/bin/pip uninstall --yes setuptools
COPY docker/slim_server.py /docker/
RUN python3 /docker/slim_server.py /opt/nosbuild "$NOSBUILD_CACHE"

# What is in the image, by package.
FROM tools AS sbom
COPY docker/requirements/sbom.txt /requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /sbom && /sbom/bin/pip install -r /requirements/sbom.txt
COPY --from=python /var/lib/dpkg/status /dpkg-status
COPY --from=server /opt/nosbuild /opt/nosbuild
COPY --from=server /var/cache/nosbuild /var/cache/nosbuild
COPY docker/sbom.py /docker/
ARG VERSION
ARG TRITON_VERSION
RUN /sbom/bin/python /docker/sbom.py --name nosbuild/server --version "${VERSION}" \
    --packages /opt/nosbuild --packages /var/cache/nosbuild/server --dpkg /dpkg-status \
    --triton "${TRITON_VERSION}" \
    --out /usr/share/sbom/nosbuild-server.cdx.json

FROM python AS runtime
COPY --from=server /opt/nosbuild /opt/nosbuild
COPY --from=server /var/cache/nosbuild /var/cache/nosbuild
COPY --from=sbom /usr/share/sbom /usr/share/sbom
COPY docker/nosbuild-server docker/nosbuild-ready /usr/local/bin/
# Servers of any user keep their logs, locks and state there; none can change the server itself.
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin nosbuild \
    && chmod 1777 /var/cache/nosbuild \
    && mkdir /models \
    && rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
ENV NOSBUILD_CACHE=/var/cache/nosbuild \
    PATH=/opt/nosbuild/bin:/usr/local/bin:/usr/bin:/bin \
    ORT_DISABLE_TELEMETRY=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONPYCACHEPREFIX=/var/cache/nosbuild/pycache \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/nosbuild
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["nosbuild-ready"]
ENTRYPOINT ["/usr/bin/tini", "--", "nosbuild-server"]

# Last, as they change most.
ARG BASE
ARG VERSION
ARG REVISION=unknown
ARG CREATED=unknown
ARG TRITON_VERSION
ARG TRITON_RELEASE=24.10
ARG ONNXRUNTIME_VERSION=1.32.0
LABEL org.opencontainers.image.title="nosbuild server (CPU)" \
      org.opencontainers.image.description="Triton Inference Server for repositories of nosbuild" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}" \
      nosbuild.kind="cpu" \
      nosbuild.version="${VERSION}" \
      nosbuild.triton.version="${TRITON_VERSION}" \
      nosbuild.triton.release="${TRITON_RELEASE}" \
      nosbuild.onnxruntime.version="${ONNXRUNTIME_VERSION}" \
      nosbuild.python="3.11" \
      nosbuild.sbom="/usr/share/sbom/nosbuild-server.cdx.json"
