# Ponte on one machine: the embedded stack and the API, in one container. See compose.yaml.
FROM python:3.13-slim-bookworm

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
USER ponte
RUN .venv/bin/python -m infra.app --stage local --output /tmp/warm && rm -r /tmp/warm

ENV API_HOST=0.0.0.0 \
    API_PORT=9000
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=10s --retries=3 --start-period=10s \
    CMD [".venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/health', timeout=9)"]
CMD [".venv/bin/ponte", "up", "--foreground"]
