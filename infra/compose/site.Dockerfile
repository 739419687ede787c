# The site: Django under gunicorn. Built from the repository's root by infra/docker-compose.yml.
FROM python:3.11-slim

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin segrelay \
    && install --directory --owner segrelay /srv/static
WORKDIR /srv/segrelay
COPY pyproject.toml README.md LICENSE ./
COPY infra/constraints.txt infra/
COPY common common
COPY gcp_side gcp_side
RUN pip install --no-cache-dir --constraint infra/constraints.txt \
    '.[gcp]' 'gunicorn>=27.0.1' 'psycopg[binary]' drf-spectacular

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER segrelay
CMD ["gunicorn", "-c", "python:gcp_side.site.gunicorn", "--bind", "0.0.0.0:8000", "gcp_side.site.wsgi"]
