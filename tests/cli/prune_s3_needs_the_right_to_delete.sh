#!/usr/bin/env bash
# On object storage: without the right to delete it says so and nothing is gone; with it, what stays restores.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
for i in 1 2 3; do
  add_rows app.db 5
  once app.db --to "$(s3 app.db)"
done
snapshot app.db --to "$(s3 app.db)" >/dev/null 2>&1
prune() { "$CAIRN" prune "$(s3 app.db)" --grace 0 --keep-all 0 --hourly 0 --daily 0 --monthly 0 "$@"; }
control POST 'denied?operations=writes'
expect 0 prune --dry-run
expect 6 prune
says 's3:DeleteObject'
expect 0 "$CAIRN" restore "$(s3 app.db)" -o first.db --sequence 1
control POST 'denied'
expect 0 prune
expect 3 "$CAIRN" restore "$(s3 app.db)" -o gone.db --sequence 1
expect 0 "$CAIRN" verify "$(s3 app.db)"
restores_to_state_of "$(s3 app.db)" app.db
no_secrets
