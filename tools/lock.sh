#!/bin/sh
# Make every lock anew from its .in file and pyproject.toml. The layers get the versions that the tests run with.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.12 --generate-hashes \
        --override requirements/overrides.txt --no-emit-index-url --no-header --no-annotate "$@"
}
compile pyproject.toml --extra stack --extra fonts --extra dev --output-file requirements/dev.txt "$@"
for layer in imaging network runtime; do
    compile "layers/$layer/requirements.in" --constraints requirements/dev.txt \
        --output-file "layers/$layer/requirements.txt" "$@"
done
