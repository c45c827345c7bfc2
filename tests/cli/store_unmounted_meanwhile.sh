#!/usr/bin/env bash
# The folder of the replica goes from under a replicator: a mount that is lost. What would be put into the place that is
# left could never be restored, so nothing is, and it is told; all of it follows once the folder is back.
. "$(dirname "$0")/common.sh"

make_db app.db
start_replicate app.db --to mount/app.db --interval 10ms --timeout 500ms
wait_until is_following mount
add_rows app.db 5
restored_count() { "$CAIRN" restore mount/app.db -o now.db --overwrite && [ "$(count now.db)" = "$1" ]; }
wait_until restored_count 8  # nothing is on its way any more

mv mount elsewhere
add_rows app.db 7
wait_until grep -q 'not in .* any more' "$log"
[ -z "$(find mount -type f 2>/dev/null)" ] || fail 'something was put into the place that is left'
mkdir -p mount/app.db
add_rows app.db 11
status=0
kill -TERM "$cairn_pid"
wait "$cairn_pid" || status=$?
[ $status = 6 ] || fail "a stop ends with $status while nothing can be published"
[ -z "$(find mount -type f 2>/dev/null)" ] || fail 'something was put into the place that is left'

rm -r mount && mv elsewhere mount
start_replicate app.db --to mount/app.db --interval 10ms
wait_until restored_count 26
mv mount elsewhere
add_rows app.db 1
wait_until test "$(grep -c 'not in .* any more' "$log")" -ge 2
mv elsewhere mount
wait_until restored_count 27

# The folder of another replica in its place, that has got just as far: nothing is added to that.
newest=$(newest_sequence mount/app.db)
make_db other.db
mkdir others
once other.db --to others/app.db
for ((i = 0; i < newest; i++)); do add_rows other.db 1; once other.db --to others/app.db; done
[ "$(newest_sequence others/app.db)" = "$newest" ]
mv mount elsewhere && mv others mount
add_rows app.db 1
wait_until grep -q 'of another history' "$log"
mv mount others && mv elsewhere mount
wait_until restored_count 28
[ "$(newest_sequence others/app.db)" = "$newest" ]
restores_to_state_of others/app.db other.db
expect 0 "$CAIRN" verify others/app.db

# While commits are on their way: one may be put into the place that is left. It is published all the same.
ten_commits() { for one in {1..10}; do add_rows app.db 1; done; }
back() { rm -rf mount && mv -T elsewhere mount; }  # it may be made anew in between
for round in {1..8}; do
  ten_commits &
  writer_pid=$!
  sleep "0.0$round"
  mv mount elsewhere
  wait "$writer_pid"
  wait_until back
  wait_until restored_count $((28 + 10 * round))
done
stop_replicate
restores_to_state_of mount/app.db app.db
expect 0 "$CAIRN" verify mount/app.db
