# The image of Cronium, for `web`, `worker` and every other command of manage.py. BASE is a Debian image with Python 3.11
# or newer, or one whose apt-get installs it. `manage.py images build` builds the images of runs.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS base
RUN if ! command -v python3 >/dev/null; then \
      apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv \
      && rm -rf /var/cache/apt/* /var/lib/apt/lists/*; \
    fi \
 && useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin cronium \
 && install -d -o cronium -g cronium -m 700 /data

FROM base AS build
# If a proxy signs TLS with its own certificate authority, put the authority's certificate (PEM, *.crt) into deploy/ca/.
COPY deploy/ca/ /tmp/ca/
COPY requirements.txt /tmp/
ARG PIP_INDEX_URL=
RUN if ls /tmp/ca/*.crt >/dev/null 2>&1; then cat /tmp/ca/*.crt >/tmp/ca.pem; export PIP_CERT=/tmp/ca.pem; fi \
 && if [ -z "$PIP_INDEX_URL" ]; then unset PIP_INDEX_URL; fi \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: -r /tmp/requirements.txt \
 && /opt/venv/bin/pip uninstall -q -y pip
WORKDIR /opt/cronium
COPY manage.py LICENSE ./
COPY executor executor
COPY cron_rules cron_rules
COPY cronium_admin cronium_admin
COPY images images
COPY static static
COPY templates templates
COPY docs/*.md docs/
# The root is read-only at run time, so Python files are compiled and static files collected here. The keys that Django
# generates in this step are in /tmp/data, which is not copied into the final stage.
RUN /opt/venv/bin/python -m compileall -q -j 0 /opt/cronium/executor /opt/cronium/cron_rules /opt/cronium/cronium_admin \
 && CRONIUM_DATA_DIR=/tmp/data CRONIUM_STATIC_DIR=/opt/cronium/collected \
    /opt/venv/bin/python manage.py collectstatic --no-input --verbosity 0

FROM base
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/cronium /opt/cronium
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONUTF8=1 PYTHONDONTWRITEBYTECODE=1 \
    CRONIUM_DATA_DIR=/data CRONIUM_STATIC_DIR=/opt/cronium/collected CRONIUM_HOST=0.0.0.0 CRONIUM_PORT=8000
# scripts/release_image.sh sets these: the version, the commit, and the address of the sources.
ARG VERSION= REVISION= SOURCE=
LABEL org.opencontainers.image.title="Cronium" \
      org.opencontainers.image.description="Runs bash, python and node jobs in throw-away, hardened containers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /opt/cronium
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For `web` and `serve`; compose.yaml disables it for services without a port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['CRONIUM_PORT']}/api/v1/health\", timeout=4)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["web"]
