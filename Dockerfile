# Two images: `edge`, the box on the hospital's network (router and dashboard), and `api`, the embedded stack
# and the API on one machine. See compose.yaml.

FROM python:3.13-slim-bookworm AS edge-tree
WORKDIR /opt/ponte
COPY requirements requirements
COPY tools tools
# Wheels by their digests; neither compiler nor installer is in what is copied on.
RUN python3 tools/bootstrap.py --edge \
    && .venv/bin/python -m pip uninstall --quiet --yes pip
COPY .env.example ./
COPY cli cli
COPY edge edge
COPY functions/render functions/render
COPY layers/ponte layers/ponte
RUN rm -r tools requirements \
    && .venv/bin/python -m compileall -q .venv/lib cli edge functions layers

FROM python:3.13-slim-bookworm AS edge
COPY --from=edge-tree /opt/ponte /opt/ponte
# The volume of compose.yaml takes owner and mode from this folder.
RUN useradd --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --uid 10001 ponte \
    && install --directory --owner=ponte --group=ponte --mode=0700 /home/dicom
USER 10001:10001
WORKDIR /home/dicom
ENV PATH=/opt/ponte/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DICOM_ROOT=/home/dicom \
    HTR_IP=0.0.0.0 \
    SCP_PORT=11112
EXPOSE 11112 8501
VOLUME /home/dicom
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --retries=3 --start-period=20s \
    CMD ["python", "-m", "installer.health", "router"]
CMD ["ponte", "router", "run"]

FROM python:3.13-slim-bookworm AS api
WORKDIR /ponte
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# First what changes seldom: the locked dependencies.
COPY LICENSE README.md pyproject.toml ./
COPY requirements requirements
COPY tools tools
RUN python3 tools/bootstrap.py

COPY cdk.json ./
COPY cli cli
COPY functions functions
COPY infra infra
COPY layers layers

# Not root; what is written at run time is in the volumes of compose.yaml. Synthesising once unpacks CDK's
# libraries into the cache, so that the container starts without doing so.
RUN useradd --create-home --uid 10001 ponte \
    && mkdir .ponte cdk.out.local \
    && chown ponte:ponte .ponte cdk.out.local
USER 10001:10001
RUN .venv/bin/python -m infra.app --stage local --output /tmp/warm && rm -r /tmp/warm

ENV API_HOST=0.0.0.0 \
    API_PORT=9000
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=10s --retries=3 --start-period=10s \
    CMD [".venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/health', timeout=9)"]
CMD [".venv/bin/ponte", "up", "--foreground"]
