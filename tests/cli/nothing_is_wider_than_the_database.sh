#!/usr/bin/env bash
# Whatever the umask: no file, folder or socket that Cairn makes for a database of mode 0600 can be read by another
# user.
. "$(dirname "$0")/common.sh"
umask 0

mkdir app cairn  # the second: everything that Cairn makes
for name in app/a.db app/b.db app/c.db; do
  make_db $name
  chmod 600 $name
done
mkdir -m 700 tree && echo private >tree/key && chmod 600 tree/key
export CAIRN_CONTROL=$dir/cairn/run/cairn.sock
cat >cairn.toml <<END
[defaults]
state_dir = "$dir/cairn/state"
to = "$dir/cairn/backup"
[[database]]
path = "$dir/app/a.db"
[[database]]
path = "$dir/app/b.db"
to = "$dir/cairn/away/b.db"
[[layer]]
name = "web"
directory = "$dir/tree"
to = "$dir/cairn/layers"
END
nothing_is_wide() {
  local wide
  # The files beside a database are SQLite's, and Cairn's when it is the first to open it.
  wide=$(find cairn app/?* ! -type l -perm /077 ! -path cairn)
  [ -z "$wide" ] || fail "others may read or write $wide, $1"
}
there_is() { [ -n "$(find cairn "$@" -print -quit)" ]; }  # there_is <test of find>...

start_configured
wait_until "$CAIRN" status
expect 0 "$CAIRN" register app/c.db
expect 0 "$CAIRN" sync app/a.db --wait
for ((i = 0; i < 2; i++)); do
  add_rows app/a.db 100
  expect 0 "$CAIRN" sync app/a.db --wait
done
expect 0 "$CAIRN" sync app/b.db --wait
mv cairn/away cairn/gone
(umask 077 && : >cairn/away)  # so what follows stays in the spool
add_rows app/b.db 5
wait_until there_is -path '*/spool/*' -type f
wait_until there_is -path '*/kept/*' -type f
wait_until there_is -path 'cairn/layers/*' -name '*.json'
nothing_is_wide 'while it runs'
expect 0 "$CAIRN" snapshot app/a.db --to cairn/backup/a.db --state-dir cairn/state
nothing_is_wide 'after a snapshot'
for what in '-type s -name cairn.sock' '-name registered.toml' '-path */backup/a.db/* -name *.sqlite.zst' \
            '-path */backup/c.db/* -name *.sqlite.zst' '-path */state/layers/* -type f'; do
  set -f; there_is $what || fail "there is no $what"; set +f
done
rm cairn/away
mv cairn/gone cairn/away
stop_replicate

mkdir -m 700 cairn/restored
expect 0 "$CAIRN" restore cairn/backup/a.db -o cairn/restored/a.db
expect 0 "$CAIRN" compact cairn/backup/a.db --catalogue cairn/catalogue/catalogue.db
expect 0 "$CAIRN" prune cairn/backup/a.db --grace 0s
nothing_is_wide 'restored, compacted and pruned'
expect 0 "$CAIRN" replicate app/c.db --to cairn/other/c.db --once --state-dir cairn/state
sql app/c.db 'DELETE FROM t'
expect 0 "$CAIRN" replicate app/c.db --to cairn/backup/a.db --adopt remote --once --state-dir cairn/state
nothing_is_wide 'adopted'
for form in upper oci-layout; do
  expect 0 "$CAIRN" layer restore cairn/layers --name web -o cairn/$form --as $form --state-dir cairn/state
done
nothing_is_wide 'of a layer'
