# As the official image of nginx: the same places, variables and entry point, with Debian's nginx.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx curl gettext-base \
    && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled \
    && useradd --system --uid 101 --user-group --no-create-home --shell /bin/false nginx \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log
COPY nginx.conf /etc/nginx/nginx.conf
COPY nginx-entrypoint.sh /docker-entrypoint.sh
EXPOSE 80
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]
