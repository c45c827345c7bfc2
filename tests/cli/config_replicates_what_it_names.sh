#!/usr/bin/env bash
# Databases by path, glob and directory, and a layer beside them: followed by one process, those that come later too,
# and those that go are let go of. SIGTERM publishes all.
. "$(dirname "$0")/common.sh"

mkdir -p tenants/1 tenants/2 shop upper/sub
make_db app.db
make_db tenants/1/data.db
make_db tenants/2/data.db
make_db shop/one.db
echo 1 >upper/sub/file
cat >cairn.toml <<END
[defaults]
to = "$dir/backup"
state_dir = "$dir/state"
interval = "50ms"
[[database]]
path = "$dir/app.db"
[[database]]
path = "$dir/later.db"
[[database]]
glob = "$dir/tenants/*/data.db"
to = "$dir/backup/tenants"
[[database]]
directory = "$dir/shop"
to = "$dir/backup/shop"
[[layer]]
name = "web"
directory = "$dir/upper"
interval = "1h"
quiet = "20ms"
END
start_configured
is_replicated() { "$CAIRN" history "$1" | grep -q '^ *[0-9]'; }
for replica in app.db tenants/1/data.db tenants/2/data.db shop/one.db; do wait_until is_replicated "backup/$replica"; done
layer_is_stored() {
  rm -rf restored
  "$CAIRN" layer restore backup/layers --name web -o restored --state-dir other-state && diff -r upper restored
}
wait_until layer_is_stored

# What comes later: a database that is named, one of a new folder of the glob, one in the directory.
make_db later.db
mkdir tenants/3
make_db tenants/3/data.db
make_db shop/two.db
for replica in later.db tenants/3/data.db shop/two.db; do wait_until is_replicated "backup/$replica"; done
# What goes: let go of, and its replica stays. One that is renamed is another one.
rm shop/one.db*
wait_until grep -q "shop/one.db: stopped, published up to sequence 0" "$log"
is_replicated backup/shop/one.db
for end in '' -wal -shm; do [ ! -e shop/two.db$end ] || mv shop/two.db$end shop/three.db$end; done
wait_until is_replicated backup/shop/three.db
wait_until grep -q "shop/two.db: stopped" "$log"

for database in app.db later.db tenants/{1,2,3}/data.db shop/three.db; do add_rows "$database" 10; done
stop_replicate
for database in app.db later.db tenants/{1,2,3}/data.db shop/three.db; do
  restores_to_state_of "backup/$database" "$database"
  [ "$(count restored.db)" = 13 ]
done
layer_is_stored
