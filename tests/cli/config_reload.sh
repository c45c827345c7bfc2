#!/usr/bin/env bash
# SIGHUP reads the configuration again: what is new is begun, what has gone is ended, what has changed is begun anew, and
# nothing else is touched. A file that is not good changes nothing.
. "$(dirname "$0")/common.sh"

for name in kept gone changed new; do make_db $name.db; done
mkdir upper && echo 1 >upper/file
prices=write=1 restore_if_missing=false
write_config() {  # write_config <interval of changed.db> <database>...
  printf '[defaults]\nto = "%s/backup"\nstate_dir = "%s/state"\ninterval = "50ms"\nprices = "%s"\n' \
    "$dir" "$dir" "$prices" >cairn.toml
  printf '[[database]]\npath = "%s/changed.db"\ninterval = "%s"\nrestore_if_missing = %s\n' \
    "$dir" "$1" "$restore_if_missing" >>cairn.toml
  for name in "${@:2}"; do printf '[[database]]\npath = "%s/%s.db"\n' "$dir" "$name" >>cairn.toml; done
  printf '[[layer]]\nname = "web"\ndirectory = "%s/upper"\n' "$dir" >>cairn.toml
}
follows() { [ "$(grep -c "$dir/$1.db: following it" "$log")" = "$2" ]; }
write_config 50ms kept gone
start_configured
for name in kept gone changed; do wait_until follows $name 1; done
wait_until grep -q 'web: sync 1' "$log"

write_config 70ms kept new
kill -HUP "$cairn_pid"
wait_until follows new 1
wait_until follows changed 2
wait_until grep -q "gone.db: stopped" "$log"
# They go on from where they are.
follows kept 1
! grep -q "kept.db: stopped" "$log"
[ "$(grep -c 'web: watching' "$log")" = 1 ]
add_rows gone.db 5
add_rows kept.db 5
wait_until test -n "$(find backup/new.db -name '*.sqlite.zst')"
published() { [ "$(newest_sequence "backup/$1.db")" = "$2" ]; }
wait_until published kept 1
published gone 0

# Not good: told with file and line, and all goes on.
echo 'directry = "/x"' >>cairn.toml
kill -HUP "$cairn_pid"
wait_until grep -q "not taken, and all goes on as before: $dir/cairn.toml:[0-9]*:1: \[\[layer\]\] has no key 'directry': did you mean 'directory'?" "$log"
add_rows kept.db 5
wait_until published kept 2
# Put right again, with the one that had gone: what happened to it meanwhile is one difference.
write_config 70ms kept gone
kill -HUP "$cairn_pid"
wait_until published gone 1
wait_until grep -q "new.db: stopped" "$log"
follows kept 1
restore_if_missing=true
write_config 70ms kept gone
kill -HUP "$cairn_pid"
wait_until follows changed 3
follows kept 1
prices=write=2
write_config 70ms kept gone
kill -HUP "$cairn_pid"
wait_until follows kept 2
stop_replicate
for name in kept gone changed new; do restores_to_state_of backup/$name.db $name.db; done
