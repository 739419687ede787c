# As the image of the Orthanc team: the same places of settings, storage and probe.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends orthanc python3 \
    && rm -rf /var/lib/apt/lists/* /etc/orthanc/* /usr/share/orthanc/plugins/*
COPY orthanc-entrypoint.py /docker-entrypoint.py
COPY orthanc-alive.py /probes/test-aliveness.py
VOLUME /var/lib/orthanc/db
EXPOSE 4242 8042
ENTRYPOINT ["python3", "/docker-entrypoint.py"]
CMD ["/tmp/orthanc.json"]
