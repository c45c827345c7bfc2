#!/usr/bin/env bash
# A configuration is checked without anything being asked of a store, and what it means is listed.
docs=$(cd "$(dirname "$0")/../../docs" && pwd)
. "$(dirname "$0")/common.sh"

# The example of the documents.
expect 0 "$CAIRN" config check "$docs/cairn.toml"
grep -q '^database  */srv/app/app.db  *s3://my-bucket/this-machine/app.db' "$out"
grep -q '^layer web_1 ' "$out"
grep -q 'is good: ' "$out"
CAIRN_PREFIX=elsewhere expect 0 "$CAIRN" config check "$docs/cairn.toml" --json
python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
d = {x["database"]: x for x in j["databases"]}
assert d["/srv/app/app.db"]["replica"].startswith("s3://my-bucket/elsewhere/app.db?"), d
assert d["/srv/shop/orders.db"]["interval_ms"] == 100 and d["/srv/app/app.db"]["interval_ms"] == 1000
assert d["/srv/app/app.db"]["level_windows_ms"] == "auto", d
l = {x["container"]: x for x in j["layers"]}
assert l["web_2"]["lower"] == ["/srv/image/rootfs"] and l["web_2"]["quiet_ms"] == 10000
assert j["state_dir"] and j["stop_timeout_ms"] == 30000' "$out"

# What patterns mean now.
mkdir -p data/1 data/2
touch data/1/app.db data/1/app.db-wal data/2/app.db
cat >cairn.toml <<END
[[database]]
glob = "$dir/data/*/app.db"
to = "$dir/backup"
END
expect 0 "$CAIRN" config check cairn.toml
grep -q "$dir/data/1/app.db *$dir/backup/1/app.db" "$out"
grep -q ': 2 databases now' "$out"

printf '[[database]]\npath = "%s/data/1/app.db"\nto = "%s/backup"\nrestore_if_missing = true\n' "$dir" "$dir" >missing.toml
expect 0 "$CAIRN" config check missing.toml
grep -q "$dir/data/1/app.db *$dir/backup, restored if missing" "$out"
for file in missing cairn; do
  expect 0 "$CAIRN" config check $file.toml --json
  python3 -c '
import json, sys
assert {d["restore_if_missing"] for d in json.load(open(sys.argv[1]))["databases"]} == {sys.argv[2] == "missing"}' "$out" $file
done

# What is wrong, where, and what to write: status 2.
wrong() { echo "$1" >>cairn.toml; expect 2 "$CAIRN" config check cairn.toml; }
wrong 'intervall = "1s"'
says "cairn.toml:4:1: [[database]] has no key 'intervall': did you mean 'interval'?"
sed -i '$d' cairn.toml
wrong 'interval = "soon"'
says 'cairn.toml:4:12: interval:'
sed -i '$d' cairn.toml
wrong "to = "
says 'cairn.toml:4:'
expect 2 "$CAIRN" config check nowhere.toml
says 'there is no configuration nowhere.toml'
expect 2 "$CAIRN" config check "$dir"
expect 2 "$CAIRN" config check cairn.toml --json
python3 -c 'import json; assert json.load(open("'"$out"'"))["error"]["kind"] == "invalid"'
# Options of a store that contradict each other.
printf '[[database]]\npath = "/x/a.db"\nto = "s3://bucket/a?kms_key_id=1&encryption=AES256"\n' >cairn.toml
expect 2 "$CAIRN" config check cairn.toml
says 'cairn.toml:1: '
# Two databases of patterns that would share a replica.
mkdir other && touch other/app.db
printf '[[database]]\ndirectory = "%s"\nto = "/b"\n' "$dir/other" "$dir/data/1" >cairn.toml
expect 2 "$CAIRN" config check cairn.toml
says "would share the replica file:///b/app.db with $dir/other/app.db"
expect 2 "$CAIRN" replicate --config cairn.toml
says "would share the replica"
expect 0 "$CAIRN" config
