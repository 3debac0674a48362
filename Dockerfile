# temporalkd in a container. Data and results are mounted:
#   docker build -t temporalkd .
#   docker run --rm --gpus all -v $PWD/data:/data -v $PWD/runs:/work/runs temporalkd train /src/configs/street/etc.yaml
# On the default base torch brings its own CUDA libraries. BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04 is a CUDA base.
# TORCH_INDEX: the index of PyTorch's wheels without CUDA, see its install page, for a small image without GPU.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
ARG TORCH_INDEX=""
ARG EXTRAS=export,report
RUN apt-get update \
    && apt-get install -y --no-install-recommends git python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH TEMPORALKD_DATA=/data TEMPORALKD_CACHE=/cache PIP_NO_CACHE_DIR=1
COPY . /src
RUN if [ -n "$TORCH_INDEX" ]; then pip install -c /src/constraints.txt torch torchvision --index-url "$TORCH_INDEX"; fi \
    && pip install -c /src/constraints.txt "/src[$EXTRAS]" \
    && mkdir -p /cache /work && chmod 777 /cache /work
WORKDIR /work
ENTRYPOINT ["temporalkd"]
CMD ["--help"]
