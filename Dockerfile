# For CPUs: docker build --build-arg TORCH_INDEX=… -t lll .
#           docker run --rm --user "$(id -u)" -v lll-cache:/cache -v "$PWD:/work" lll train photos/
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md CITATION.cff MANIFEST.in ./
COPY src ./src
# The address of torch's wheels for CPUs, which pytorch.org names: without it gigabytes of CUDA come.
ARG TORCH_INDEX=""
RUN python -m venv /opt/lll \
    && /opt/lll/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
        "torch>=2.8,<2.14" \
    && /opt/lll/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/lll /opt/lll
ENV PATH=/opt/lll/bin:$PATH \
    LLL_CACHE=/cache \
    MPLCONFIGDIR=/cache/matplotlib \
    NUMBA_CACHE_DIR=/cache/numba
# Open to all, because --user may name anybody.
RUN useradd --uid 1000 --create-home lll && mkdir -m 1777 /cache /work
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["lll"]
CMD ["--help"]
