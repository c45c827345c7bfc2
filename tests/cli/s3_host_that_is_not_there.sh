#!/usr/bin/env bash
# A host that does not resolve, and one on which nobody listens.
. "$(dirname "$0")/common.sh"

start_twin
export AWS_MAX_ATTEMPTS=2  # a store that is away is to be found away soon
make_db app.db
at() { endpoint=$1 s3 app.db; }
unresolved='http://no-such-host.invalid: this host name does not resolve: check how the endpoint is spelled, and the network'
expect 6 replicate app.db --once --timeout 100ms --to "$(at http://no-such-host.invalid)"
says "$unresolved"
expect 6 "$CAIRN" history "$(at http://no-such-host.invalid)"
says "$unresolved"
stop_twin
expect 6 replicate app.db --once --timeout 100ms --to "$(at "$endpoint")"
says "$endpoint: nobody answers there"
says ': check host and port, and that the store runs'
expect 6 "$CAIRN" history "$(at "$endpoint")"
says ': check host and port, and that the store runs'
expect 2 "$CAIRN" history "$(at ftp://host)"
says 'http'
expect 2 "$CAIRN" history 's3://bucket/x?secret_access_key=unsaid'
says 'does not belong into a URL'
expect 2 "$CAIRN" history 's3://id:unsaid@bucket/x'
says 'do not belong into a URL'
expect 2 "$CAIRN" history 's3://bucket/x?endpiont=y'
says 'endpiont'
no_secrets
