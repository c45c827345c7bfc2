#!/usr/bin/env bash
# A pattern means databases on a mount that stops answering: what is known there stays, a new database elsewhere is
# found, a reload and a stop are answered, and a start goes on without it and takes it up when it answers. The log tells
# of each time that it does not, and of its end.
. "$(dirname "$0")/hanging_common.sh"
mkdir elsewhere
make_db elsewhere/a.db
make_db mount/dead.db
cat >cairn.toml <<END
[defaults]
stop_timeout = "2s"
state_dir = "$dir/state"
interval = "10ms"
to = "$dir/store"
[[database]]
glob = "$dir/elsewhere/*.db"
[[database]]
glob = "$dir/mount/*.db"
END
start_configured
for name in elsewhere/a mount/dead; do wait_until "$CAIRN" sync "$name.db" --wait; done

kill -STOP "$fuse_pid"
make_db elsewhere/b.db
wait_until grep -q 'what lies at .*/mount/\*.db does not answer' "$log"
wait_until "$CAIRN" sync elsewhere/b.db --wait
restores_to_state_of store/b.db elsewhere/b.db
knows_both() {
  "$CAIRN" status --json | python3 -c '
import json, sys
names = sorted(one["database"].rsplit("/", 1)[1] for one in json.load(sys.stdin)["databases"])
sys.exit(names != ["a.db", "b.db", "dead.db"])'
}
knows_both || fail 'what was known is not known any more'
expect 0 timeout 30 "$CAIRN" reload
knows_both || fail 'what was known is not known any more after a reload'
kill -TERM "$cairn_pid"
wait_until grep -q 'is not answered by its store or disk, and let go of' "$log"
kill -CONT "$fuse_pid"  # the kernel lets go of a process when its last call has come back
wait "$cairn_pid" || true

# Begun while it hangs.
kill -STOP "$fuse_pid"
start_configured
wait_until "$CAIRN" status
add_rows elsewhere/a.db 5
wait_until "$CAIRN" sync elsewhere/a.db --wait
restores_to_state_of store/a.db elsewhere/a.db
expect 0 timeout 60 "$CAIRN" config check cairn.toml
grep -q 'what lies at .*/mount/\*.db does not answer' "$err" || fail 'the check does not say what it could not look at'
kill -CONT "$fuse_pid"
wait_until grep -q 'what lies at .*/mount/\*.db answers again' "$log"
add_rows mount/dead.db 5
wait_until "$CAIRN" sync mount/dead.db --wait
restores_to_state_of store/dead.db mount/dead.db

# Another outage is told as the first.
was_told=$(grep -c 'what lies at .*/mount/\*.db does not answer' "$log")
is_told_again() { [ "$(grep -c 'what lies at .*/mount/\*.db does not answer' "$log")" -gt "$was_told" ]; }
kill -STOP "$fuse_pid"
make_db elsewhere/c.db
wait_until is_told_again
kill -CONT "$fuse_pid"
stop_replicate
