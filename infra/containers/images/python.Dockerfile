# As the official image of Python on Debian 13, with Debian's own Python in its place: in a virtual
# environment, as pip there knows nothing of Debian's packages.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates netbase tzdata python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/python
ENV PATH=/opt/python/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
# The authorities that this machine trusts: its way to the package index may need one of its own.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
