#!/usr/bin/env bash
# What a directory store takes survives a power loss: a file is synced before it gets its name, the folder that the name
# is in after it, and the names of all folders above it before.
. "$(dirname "$0")/common.sh"
command -v strace >/dev/null || skip 'strace is not installed'
strace -f -qq -o trace true 2>"$err" || skip "strace does not work here: $(tail -n 1 "$err")"

calls=mkdir,mkdirat,link,linkat,rename,renameat,renameat2,fsync,fdatasync,write,pwrite64,pwritev,copy_file_range
traced() {  # traced <names>: publishes app.db; what got which name is as it should be, and so many got one
  expect 0 strace -f -y -qq -s 0 -e trace=$calls,utimensat -o trace "$CAIRN" replicate app.db --to deep/er/backup --once \
    --timeout 60s --levels none --state-dir "$dir/state"
  python3 "$scripts/names_are_synced.py" trace "$dir/deep/er/backup" "$dir" "$1"
}

make_db app.db
traced 3  # the claim, the snapshot, the claim that tells of it
[ -n "$(first_object deep/er/backup '*.sqlite.zst')" ]
add_rows app.db 10
traced 2
[ -n "$(first_object deep/er/backup '*.wal.zst')" ]
restores_to_state_of deep/er/backup app.db

# Killed between the two: the next start takes the object for published, and syncs its name first.
add_rows app.db 10
segments() { find deep/er/backup/wal -name '*.wal.zst' | wc -l; }
for n in 1 2 3 4 5 6; do  # the first ones are those of looking what is there
  [ "$(segments)" = 1 ] || break
  status=0
  strace -f -qq -o /dev/null -P "$dir/deep/er/backup/wal" -e inject=fsync:signal=KILL:when=$n "$CAIRN" replicate \
    app.db --to deep/er/backup --once --timeout 60s --levels none --state-dir "$dir/state" 2>"$err" || status=$?
  [ "$status" = 137 ] || fail "it was not killed, but ended with $status"
done
[ "$(segments)" = 2 ] || fail 'it was never killed with the segment just named'
expect 0 strace -f -y -qq -o trace -e trace=fsync "$CAIRN" replicate app.db --to deep/er/backup --once --timeout 60s \
  --levels none --state-dir "$dir/state"
grep -q "fsync([0-9]*<$dir/deep/er/backup/wal>) *= 0" trace || fail 'the name of the segment was not synced'
[ "$(segments)" = 2 ]
restores_to_state_of deep/er/backup app.db

# An object that comes in parts.
rm -rf deep state
sql app.db 'INSERT INTO t (v) VALUES (randomblob(20000000)); PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
traced 3
grep -q 'link.*\.cairn-uploads/.*\.sqlite\.zst' trace || fail 'the snapshot was not sent in parts'
restores_to_state_of deep/er/backup app.db
