# bas on a CPU: docker build -t torchbas .
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" torchbas label photos/ --out labels/
FROM python:3.12-slim

RUN pip install --no-cache-dir uv
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY torchbas ./torchbas
# The wheel of torch without CUDA is a tenth as large.
RUN uv pip install --system --no-cache --torch-backend cpu -c constraints.txt .

# Whoever the container runs as can write here; weights are kept beside the photos.
ENV HF_HOME=/data/.cache/huggingface NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["bas"]
CMD ["--help"]
