#!/usr/bin/env bash
# A bucket that is not there is never taken for an empty one.
. "$(dirname "$0")/common.sh"

start_twin --bucket other
make_db app.db
advice="there is no bucket 'bucket' at $endpoint: create it, or add create_bucket=true to the URL"
for command in 'replicate app.db --once --timeout 1s --to' 'snapshot app.db --to'; do
  expect 6 $command "$(s3 app.db)"
  says "$advice"
done
for command in history list verify 'restore -o x.db'; do
  expect 6 "$CAIRN" $command "$(s3 app.db)"
  says "$advice"
done
[ ! -e x.db ]
