# As the official image of PostgreSQL: the same places, variables and stop signal.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-17 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/17 \
    && install --directory --owner postgres --mode 700 /var/lib/postgresql/data \
    && install --directory --owner postgres --mode 3777 /run/postgresql
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
