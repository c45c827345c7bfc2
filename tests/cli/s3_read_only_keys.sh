#!/usr/bin/env bash
# Keys that may only read restore everything, and replicate nothing.
. "$(dirname "$0")/common.sh"

start_twin
make_db app.db
once app.db --to "$(s3 app.db)"
control POST 'denied?operations=writes'
restores_to_state_of "$(s3 app.db)" app.db
expect 0 "$CAIRN" verify "$(s3 app.db)"
add_rows app.db 3
expect 6 replicate app.db --once --timeout 1s --to "$(s3 app.db)"
says 's3:PutObject'
expect 6 replicate app.db --once --timeout 1s --to "$(s3 other.db)"
says 's3:PutObject'
control POST 'denied'
once app.db --to "$(s3 app.db)"
restores_to_state_of "$(s3 app.db)" app.db
