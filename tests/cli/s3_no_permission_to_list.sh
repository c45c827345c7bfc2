#!/usr/bin/env bash
# Without the right to list, nothing can be told from a bucket that is empty: that is said, and nothing is written.
. "$(dirname "$0")/common.sh"

start_twin --no-list
make_db app.db
expect 6 replicate app.db --once --timeout 1s --to "$(s3 app.db)"
says 's3:ListBucket'
for command in history list verify 'restore -o x.db'; do
  expect 6 "$CAIRN" $command "$(s3 app.db)"
  says 's3:ListBucket'
done
[ "$(requests put_object)" = 0 ]
