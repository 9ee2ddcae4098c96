#!/bin/sh
# Make every lock anew from its .in file and pyproject.toml. The layers get the versions that the tests run with.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.12 --generate-hashes \
        --override requirements/overrides.txt --no-emit-index-url --no-header --no-annotate "$@"
}
lock_layer() {
    layer=$1
    shift
    compile "layers/$layer/requirements.in" --constraints requirements/dev.txt \
        --output-file "layers/$layer/requirements.txt" "$@"
}
compile pyproject.toml --extra stack --extra fonts --extra classify --extra edge --extra dev --output-file requirements/dev.txt "$@"
compile requirements/edge.in --constraints requirements/dev.txt --output-file requirements/edge.txt "$@"
lock_layer imaging "$@"
lock_layer network "$@"
lock_layer runtime "$@"
# For an environment of its own, which TorchXRayVision's users have: Python 3.11 and newer.
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate requirements/export_onnx.in --output-file requirements/export_onnx.txt "$@"
# Mounted on top of the others, which have the first five; the rest is never imported by what we call.
set -- "$@" --no-emit-package numpy --no-emit-package packaging --no-emit-package pillow \
    --no-emit-package pydicom --no-emit-package typing-extensions
lock_layer classify "$@" --no-emit-package flatbuffers --no-emit-package protobuf --no-emit-package pyjpegls
