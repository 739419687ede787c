# The lab's agent, for a GPU computer whose programs run in containers:
#
#   docker build -f infra/compose/agent.Dockerfile -t segrelay-agent .
#   docker run --gpus all --read-only --tmpfs /tmp -v agent:/srv/agent --env-file agent.env segrelay-agent
#
# Any command of lab-agent takes the place of its run: docker run … segrelay-agent doctor
FROM python:3.13-slim-trixie

# Any user id may run it; what is written to belongs to group 0.
RUN useradd --uid 10001 --gid 0 --no-create-home --shell /usr/sbin/nologin segrelay \
    && install --directory --owner segrelay --group 0 --mode 2770 /srv/agent
WORKDIR /srv/segrelay
# First what the agent needs of others: it changes less often than the agent.
COPY pyproject.toml LICENSE ./
COPY infra/constraints.txt infra/
# "lab,redis,brain" adds what cuts a brain out of a head.
ARG EXTRAS=lab,redis
RUN mkdir -p common/segrelay lab_side && touch README.md common/segrelay/__init__.py lab_side/__init__.py \
    && pip install --no-cache-dir --root-user-action ignore --constraint infra/constraints.txt \
    ".[$EXTRAS]" \
    && pip uninstall --yes --root-user-action ignore segrelay && rm -r common lab_side build
COPY common/segrelay segrelay
COPY lab_side lab_side
RUN python -m compileall -q segrelay lab_side

ENV HOME=/tmp PYTHONPATH=/srv/segrelay PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SEGRELAY_WORK_DIR=/srv/agent
USER 10001
VOLUME /srv/agent
ENTRYPOINT ["python", "-m", "lab_side.cli"]
CMD ["--log", "json", "run"]
