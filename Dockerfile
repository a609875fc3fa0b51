# hms-sync in an environment of its own; built from the hashed lock, run as a numeric user on a read-only file system.
# docker run --read-only --mount type=bind,src=$PWD/sync-config.yml,dst=/etc/hms-sync/sync-config.yml,ro --env HMS_DSN hms-sync
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/hms-sync \
    && /opt/hms-sync/bin/pip install --require-hashes -r requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY cdc cdc
COPY connectors connectors
COPY hms_sync hms_sync
COPY migrations migrations
COPY outbox outbox
COPY transformers transformers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel . \
    && /opt/hms-sync/bin/pip install --no-deps /opt/wheel/*.whl

FROM ${BASE}
# A stray folder in the working directory must not stand in for one of our packages.
ENV PATH=/opt/hms-sync/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HMS_HEALTH_URL=http://127.0.0.1:9187/healthz
COPY --from=build /opt/hms-sync /opt/hms-sync
WORKDIR /etc/hms-sync
USER 10001:10001
EXPOSE 9187
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['HMS_HEALTH_URL'], timeout=4)"]
ENTRYPOINT ["hms-sync"]
CMD ["run"]
