#!/usr/bin/env bash
# A bucket that is not there is never taken for an empty one.
. "$(dirname "$0")/common.sh"

start_twin --bucket other
make_db app.db
for command in 'replicate app.db --once --timeout 1s --to' 'snapshot app.db --to'; do
  expect 6 $command "$(s3 app.db)"
  says 'bucket'
  says 'create_bucket'
done
for command in history list verify 'restore -o x.db'; do
  expect 6 "$CAIRN" $command "$(s3 app.db)"
  says 'bucket'
done
[ ! -e x.db ]
