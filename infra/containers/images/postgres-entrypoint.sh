#!/bin/sh
# An empty folder becomes a cluster with the user and the database that the environment names.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown postgres "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl --wait --silent --options "-c listen_addresses=" start
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --wait --silent --mode fast stop
fi
exec "$@" -c listen_addresses='*'
