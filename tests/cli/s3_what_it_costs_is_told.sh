#!/usr/bin/env bash
# Requests and bytes by kind, in JSON too, and their price where it is known.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
expect 0 replicate app.db --to "$(s3 app.db)" --once --json
python3 -c '
import json, sys
store = json.load(open(sys.argv[1]))["store"]
assert store["service"].startswith("127.0.0.1"), store
assert store["breaker"] == "closed" and store["requests"]["write"] >= 2 and store["requests"]["unanswered"] == 0, store
assert store["sent_bytes"] > 100 and store["prices"] is None and store["cost_usd"] is None, store' "$out"
grep -q 'asked of 127.0.0.1.*: .* writes, .* sent' "$err"
add_rows app.db 3
expect 0 replicate app.db --to "$(s3 app.db)" --once --json --prices s3
python3 -c '
import json, sys
store = json.load(open(sys.argv[1]))["store"]
requests = store["requests"]
cost = (requests["write"] + requests["list"]) * 0.005 / 1000 + requests["read"] * 0.0004 / 1000
assert abs(store["cost_usd"] - cost - store["received_bytes"] * 0.09 / 1e9) < 1e-9, store
assert store["prices"] == "S3 Standard in us-east-1" and store["day_usd"] is None, store' "$out"
expect 2 replicate app.db --to "$(s3 app.db)" --once --prices cheap
says "'cheap' is no list of prices"
