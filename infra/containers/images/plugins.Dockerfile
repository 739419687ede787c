# docker's plugins, to be copied out.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends docker-compose docker-buildx \
    && rm -rf /var/lib/apt/lists/*
