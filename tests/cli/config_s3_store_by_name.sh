#!/usr/bin/env bash
# A store of the configuration with its options as keys, the endpoint from the environment: databases and a layer in one
# bucket, and a store that is away is told and waited for.
. "$(dirname "$0")/common.sh"

start_twin --directory "$dir/bucket"
make_db one.db
make_db two.db
mkdir upper && echo 1 >upper/file
cat >cairn.toml <<END
[defaults]
store = "main"
state_dir = "$dir/state"
interval = "50ms"
[stores.main]
url = "s3://bucket/machine"
endpoint = "\${TWIN}"
region = "us-east-1"
connections = 4
[[database]]
path = "$dir/one.db"
[[database]]
path = "$dir/two.db"
to = "s3://bucket/other/two.db?endpoint=\${TWIN}"
[[layer]]
name = "web"
directory = "$dir/upper"
quiet = "10ms"
END
expect 2 "$CAIRN" config check cairn.toml
says "the environment has no variable 'TWIN'"
export TWIN=$endpoint
start_configured
wait_until grep -q "one.db: snapshot published" "$log"
wait_until grep -q "two.db: snapshot published" "$log"
wait_until grep -q 'web: sync 1' "$log"
port=${endpoint##*:}
stop_twin
add_rows one.db 5
wait_until grep -q "warning $dir/one.db: " "$log"
start_twin --directory "$dir/bucket" --port "$port"
wait_until grep -q "one.db: the store is well again" "$log"
add_rows two.db 5
stop_replicate
restores_to_state_of "$(s3 machine/one.db)" one.db
restores_to_state_of "$(s3 other/two.db)" two.db
expect 0 "$CAIRN" layer restore "$(s3 machine/layers)" --name web -o restored --state-dir other-state
diff -r upper restored
no_secrets
