# The site: Django under gunicorn. Built from the repository's root by infra/docker-compose.yml.
FROM python:3.13-slim-trixie

# Any user id may run it, as OpenShift wants: what is written to belongs to group 0.
RUN useradd --uid 10001 --gid 0 --no-create-home --shell /usr/sbin/nologin segrelay \
    && install --directory --owner segrelay --group 0 --mode 2775 /srv/static
WORKDIR /srv/segrelay
# First what the site needs of others: it changes less often than the site.
COPY pyproject.toml LICENSE ./
COPY infra/constraints.txt infra/
RUN mkdir -p common/segrelay gcp_side && touch README.md common/segrelay/__init__.py gcp_side/__init__.py \
    && pip install --no-cache-dir --root-user-action ignore --constraint infra/constraints.txt \
    '.[gcp,redis]' 'gunicorn>=27.0.1' 'psycopg[binary]' drf-spectacular \
    && pip uninstall --yes --root-user-action ignore segrelay && rm -r common gcp_side build
COPY common/segrelay segrelay
COPY gcp_side gcp_side
RUN python -m compileall -q segrelay gcp_side

ENV HOME=/tmp PYTHONPATH=/srv/segrelay PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
CMD ["gunicorn", "-c", "python:gcp_side.site.gunicorn", "--bind", "0.0.0.0:8000", "gcp_side.site.wsgi"]
