# attparse's environment: the project itself is mounted (docs/installation.md).
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git make \
        python3 python3.13-venv libgl1 libegl1 libgles2 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/attparse
COPY Makefile ./
COPY envs envs
# How pip reaches an index, if not as usual: docker build --build-arg PIP_…=…
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL
RUN make .venv/ready
# Any user may run it, also one without a name or a folder of its own.
ENV PATH=/opt/attparse/.venv/bin:$PATH HOME=/tmp LOGNAME=attparse
WORKDIR /project
