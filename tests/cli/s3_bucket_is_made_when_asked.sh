#!/usr/bin/env bash
# With create_bucket=true a replica can be begun where there is no bucket yet.
. "$(dirname "$0")/common.sh"

start_twin --bucket other
make_db app.db
once app.db --to "$(s3 app.db create_bucket=true)"
restores_to_state_of "$(s3 app.db)" app.db
