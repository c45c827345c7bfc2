#!/usr/bin/env bash
# No inotify watch is left (fs.inotify.max_user_watches): databases are followed all the same, asleep or not, new ones
# in a directory are found, and it is said what to raise.
. "$(dirname "$0")/common.sh"

make_db app.db
mkdir in
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/state"
to = "$dir/backup"
sleep_after = "1ms"
[[database]]
path = "$dir/app.db"
[[database]]
directory = "$dir/in"
END
# A user namespace has a limit of its own, for what is in it alone.
none_left='echo 0 >/proc/sys/user/max_inotify_watches && exec "$@"'
unshare --user --map-root-user bash -c "$none_left" - true 2>"$err" ||
  skip "no user namespace with a limit: $(cat "$err")"
unshare --user --map-root-user bash -c "$none_left" - "$CAIRN" replicate --config cairn.toml 2>"$log" &
cairn_pid=$!
pids+=($cairn_pid)

sleeps() {
  "$CAIRN" status "$1" --json >"$out" 2>"$err" && python3 -c '
import json, sys
sys.exit(not json.load(open(sys.argv[1]))["databases"][0]["asleep"])' "$out"
}
wait_until sleeps "$dir/app.db"
grep -q "$dir/in cannot be watched for new databases .*: raise fs.inotify.max_user_watches with sysctl" "$log"
grep -q "app.db cannot be watched for changes .*: raise fs.inotify.max_user_watches with sysctl" "$log"
is_published() { [ "$(newest_sequence "backup/$1" 2>/dev/null)" = "$2" ]; }
add_rows app.db 3
wait_until is_published app.db 1
restores_to_state_of backup/app.db app.db
make_db in/new.db
wait_until sleeps "$dir/in/new.db"
restores_to_state_of backup/new.db in/new.db
[ "$(grep -c 'raise fs.inotify' "$log")" = 2 ]  # once each
stop_replicate
