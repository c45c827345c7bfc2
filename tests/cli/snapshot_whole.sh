#!/usr/bin/env bash
# What the last snapshot has as well is copied by the store, with whatever damage it has there. With --whole nothing is:
# then nothing depends on an older snapshot. So it is when a cairn that replicates the database is asked for it.
. "$(dirname "$0")/common.sh"

start_twin
url=$(s3 app.db)
make_db app.db
sql app.db 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
            INSERT INTO t (v) SELECT randomblob(4000000) FROM n'
once app.db --to "$url"
copies() { requests copy_part; }
sends() {  # sends <copied|all> <command>...: and what is sent can be restored
  local before made
  before=$(copies) made=$(requests complete_upload)
  add_rows app.db 1
  expect 0 "${@:2}"
  [ "$(requests complete_upload)" -gt "$made" ] || fail "no snapshot was made: ${*:2}"
  [ "$1" = copied ] || [ "$(copies)" = "$before" ] || fail "it was copied: ${*:2}"
  [ "$1" = all ] || [ "$(copies)" -gt "$before" ] || fail "nothing was copied: ${*:2}"
  restores_to_state_of "$url" app.db
}
sends copied snapshot app.db --to "$url"
sends all snapshot app.db --to "$url" --whole
start_replicate app.db --to "$url"
wait_until grep -q 'following it' "$log"
sends all snapshot app.db --to "$url" --whole
sends copied snapshot app.db --to "$url"
stop_replicate
expect 0 "$CAIRN" verify "$url"
no_secrets
