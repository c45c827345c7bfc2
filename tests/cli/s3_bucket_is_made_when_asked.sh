#!/usr/bin/env bash
# With create_bucket=true a replica, or a container's history, can be begun where there is no bucket yet.
. "$(dirname "$0")/common.sh"

start_twin --bucket other
make_db app.db
once app.db --to "$(s3 app.db create_bucket=true)"
restores_to_state_of "$(s3 app.db)" app.db

stop_twin
start_twin --bucket other
mkdir tree
echo 1 >tree/file
expect 6 "$CAIRN" layer sync tree --to "$(s3 layers)" --name web --state-dir "$dir/state"
says 'create_bucket=true'
expect 0 "$CAIRN" layer sync tree --to "$(s3 layers create_bucket=true)" --name web --state-dir "$dir/state"
expect 0 "$CAIRN" layer restore "$(s3 layers)" --name web -o restored --state-dir "$dir/other-state"
diff -r tree restored
