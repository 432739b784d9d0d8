# The user study (docs/study.md). Written for Docker and Podman; not built where it was written.
FROM python:3.12-slim

WORKDIR /opt/occlumap
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir ".[study]" && useradd --create-home study

# study.yaml and its stimulus set are mounted here; answers are in the database only
USER study
WORKDIR /study
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/', timeout=8)"]
ENTRYPOINT ["occlumap", "study"]
CMD ["serve", "study.yaml", "--bind", "0.0.0.0:8000"]
