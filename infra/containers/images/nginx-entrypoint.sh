#!/bin/sh
# Fills the variables of the environment into /etc/nginx/templates, then becomes its command.
set -eu
if [ -n "${NGINX_ENTRYPOINT_LOCAL_RESOLVERS:-}" ]; then
    NGINX_LOCAL_RESOLVERS=$(awk '$1 == "nameserver" { printf "%s ", $2 }' /etc/resolv.conf)
    export NGINX_LOCAL_RESOLVERS
fi
known=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
    name=$(basename "$template" .template)
    envsubst "$known" <"$template" >"/etc/nginx/conf.d/$name"
done
exec "$@"
