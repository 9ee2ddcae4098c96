#!/bin/sh
# A study's PDF as the answer: client.sh http://127.0.0.1:9000 1.2.840.113619.2.55.3 study.pdf
# PONTE_TOKEN is sent where it is set. Exit code 0 with the PDF, else 1 with what the API said.
set -eu
api=$1 study=$2 pdf=$3
set -- --silent --show-error --location --max-time 60
[ -z "${PONTE_TOKEN:-}" ] || set -- "$@" --header "Authorization: Bearer $PONTE_TOKEN"
status=$(curl "$@" --output "$pdf" --write-out '%{http_code}' \
    --header 'Content-Type: application/json' \
    --data "{\"examID\": 1, \"pacs_studies_iuid\": \"$study\"}" "$api/render/sync")
# 202: it takes longer than the gateway waits. The job says when it is done.
while [ "$status" = 202 ] || [ "$status" = 409 ]; do
    [ -n "${job:-}" ] || job=$(sed -n 's/.*"job_id": *"\([^"]*\)".*/\1/p' "$pdf")
    sleep 1
    status=$(curl "$@" --output "$pdf" --write-out '%{http_code}' "$api/jobs/$job/pdf")
done
[ "$status" = 200 ] || { cat "$pdf" >&2; rm -f "$pdf"; exit 1; }
