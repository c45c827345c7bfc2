#!/usr/bin/env bash
# A host that does not resolve, and one on which nobody listens.
. "$(dirname "$0")/common.sh"

start_twin
export AWS_MAX_ATTEMPTS=2  # a store that is away is to be found away soon
make_db app.db
at() { endpoint=$1 s3 app.db; }
expect 6 replicate app.db --once --timeout 100ms --to "$(at http://no-such-host.invalid)"
says 'no-such-host.invalid'
expect 6 "$CAIRN" history "$(at http://no-such-host.invalid)"
says 'no-such-host.invalid'
says 'check how the endpoint is spelled'
stop_twin
expect 6 replicate app.db --once --timeout 100ms --to "$(at "$endpoint")"
says '127.0.0.1'
says 'check host and port'
expect 2 "$CAIRN" history "$(at ftp://host)"
says 'http'
expect 2 "$CAIRN" history 's3://bucket/x?secret_access_key=unsaid'
says 'does not belong into a URL'
expect 2 "$CAIRN" history 's3://id:unsaid@bucket/x'
says 'do not belong into a URL'
expect 2 "$CAIRN" history 's3://bucket/x?endpiont=y'
says 'endpiont'
no_secrets
