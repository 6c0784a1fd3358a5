# Potluck as a container, and as a Hugging Face Space of the Docker SDK (docs/space.md).
FROM python:3.11-slim

# Where pip takes PyTorch from: its CPU build is a tenth of the one with CUDA, which a coordinator has no use for.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Spaces run containers as user 1000, whatever is said here; so the files are that user's.
RUN useradd --create-home --uid 1000 potluck
ENV HOME=/home/potluck PATH=/home/potluck/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
USER potluck
WORKDIR /home/potluck/app

# First what seldom changes.
RUN pip install "torch>=2.9,<2.14" --index-url $TORCH_INDEX
COPY --chown=potluck . .
RUN POTLUCK_WEB=require pip install ".[space,llm,gemini]"

EXPOSE 7860
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=5)"]
CMD ["python", "space_app.py"]
