# cellflax in a container, built from this tree. CPU: docker build --target cpu -t cellflax .
# GPU: docker build --target cuda -t cellflax:cuda . (run with --gpus all; JAX brings its own CUDA, the driver is the host's)
# Run: docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" cellflax predict checkpoint=nuclei input=images output=predictions
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY cellflax cellflax
COPY conf conf
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim AS base
# Caches and W&B's settings, writable by whatever user the container runs as; results go to /work, which is mounted.
ENV CELLFLAX_CACHE=/cache HOME=/cache PYTHONDONTWRITEBYTECODE=1
RUN mkdir -m 1777 /cache /work
WORKDIR /work
ENTRYPOINT ["cellflax"]
CMD ["--help"]

FROM base AS cuda
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /dist/cellflax-*.whl)[cuda,formats,rois]" && pip check
USER 65534:65534

FROM base AS cpu
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /dist/cellflax-*.whl)[formats,rois]" && pip check
USER 65534:65534
