#!/usr/bin/env bash
# A publish of a small segment is one request, and a database that nobody touches makes none. (What is merged some time
# later is put once more: here that is after the test.)
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
start_replicate app.db --to "$(s3 app.db)" --interval 10ms --levels 10m --prices write=1000
is_following_s3() { grep -q 'following it' "$log" && grep -q 'snapshot published' "$log"; }
wait_until is_following_s3
settled() { local a; a=$(counts); sleep 0.3; [ "$a" = "$(counts)" ]; }
wait_until settled
before=$(requests put_object)
add_rows app.db 1  # the first one is also written into the replica's summary, which is renewed every five minutes
more() { [ "$(requests put_object)" -gt "$before" ]; }
wait_until more
wait_until settled
control POST counts/reset
for ((n = 0; n < 5; n++)); do
  add_rows app.db 1
  published() { [ "$(requests put_object)" -gt "$n" ]; }
  wait_until published
done
[ "$(requests put_object)" = 5 ]
sleep 3  # longer than the slow look
others=$(counts | awk '$1 !~ /^(put_object|requests)$/ && $2 > 0')
[ -z "$others" ] || fail "requests beside five publishes: $others"
[ "$(requests put_object)" = 5 ]
stop_replicate
grep -q 'app.db: asked of 127.0.0.1.*: .* writes, .* sent, .* received; \$.* at list prices (the prices that were given)' \
  "$log"
restores_to_state_of "$(s3 app.db)" app.db
no_secrets
