# A small image that runs as nobody in particular. Build: docker build -t umbel .
# Three stages: the pages' libraries from npm; the locked environment; what is needed to run it, and nothing else.
FROM node:24-slim AS assets
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent

FROM python:3.13-slim AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv
ENV UV_PROJECT_ENVIRONMENT=/opt/umbel \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1
WORKDIR /src
# What Umbel needs changes more rarely than Umbel: a layer of its own.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-default-groups --no-install-project --extra top --extra parquet --extra alerts --extra mcp --extra otel --extra sentry
COPY --from=assets /src/node_modules ./node_modules
COPY package.json hatch_build.py README.md LICENSE ./
COPY scripts ./scripts
COPY src ./src
RUN python scripts/assets.py \
    && uv sync --frozen --no-default-groups --no-editable --extra top --extra parquet --extra alerts --extra mcp --extra otel --extra sentry

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Umbel" \
      org.opencontainers.image.description="Watches Celery in production" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 umbel \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/umbel --create-home --shell /usr/sbin/nologin umbel \
    && chmod 0700 /var/lib/umbel
COPY --from=build /opt/umbel /opt/umbel
ENV PATH=/opt/umbel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UMBEL_HOST=0.0.0.0 \
    UMBEL_DATA_DIR=/var/lib/umbel/data \
    UMBEL_STORE=sqlite:////var/lib/umbel/umbel.db
USER 10001:10001
WORKDIR /var/lib/umbel
VOLUME /var/lib/umbel
EXPOSE 5555
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["umbel", "health"]
ENTRYPOINT ["umbel"]
CMD ["up"]
