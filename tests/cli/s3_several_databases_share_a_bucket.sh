#!/usr/bin/env bash
# The name of each becomes a folder in front of the URL's options, whatever characters it has.
. "$(dirname "$0")/common.sh"

start_twin
mkdir data
make_db data/a.db
make_db 'data/b ü%?&#.db'
once data/a.db 'data/b ü%?&#.db' --to "$(s3 all/)"
expect 0 "$CAIRN" list "$(s3 all)" --json
python3 -c '
import json, sys
assert [r["path"] for r in json.load(open(sys.argv[1]))["replicas"]] == ["a.db", "b ü%?&#.db"]' "$out"
restores_to_state_of "$(s3 'all/b%20%C3%BC%25%3F&#.db' | sed 's/&#/%26%23/')" 'data/b ü%?&#.db'
