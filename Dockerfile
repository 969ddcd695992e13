# Meltano and both plugins in one environment, and nothing that is installed or written at start: works with a read-only root.
FROM python:3.13-slim AS build
WORKDIR /project
RUN pip install --no-cache-dir "uv>=0.8,<1"
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY tap_lytics_audience tap_lytics_audience
COPY target_cordial target_cordial
COPY lytics_to_cordial lytics_to_cordial
# Versions are those of uv.lock. Compiled now, as later nobody may write beside the files.
RUN UV_PROJECT_ENVIRONMENT=/opt/pipeline UV_PYTHON_DOWNLOADS=never uv sync --quiet --locked --no-default-groups --group fleet --extra receiver --extra s3 --extra sftp \
  --no-editable --compile-bytecode --link-mode copy

FROM python:3.13-slim
COPY --from=build /opt/pipeline /opt/pipeline
WORKDIR /project
COPY meltano.yml ./
COPY orchestrate orchestrate
# SFTP asks for the name of whoever runs it, which a bare user id has not.
ENV PATH=/opt/pipeline/bin:$PATH HOME=/tmp USER=pipeline PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MELTANO_SEND_ANONYMOUS_USAGE_STATS=false
# The ids of nobody in particular; all that is written goes to /tmp.
USER 10001:10001
ENTRYPOINT ["python", "orchestrate/run_audience.py"]
