#!/usr/bin/env bash
# A certificate that nobody vouches for ends it at once; the user can.
. "$(dirname "$0")/common.sh"

start_twin --tls good --certificate-file "$dir/certificate.pem"
make_db app.db
expect 6 replicate app.db --once --timeout 1s --to "$(s3 app.db)"
says 'certificate'
says 'ca_bundle'
expect 6 "$CAIRN" history "$(s3 app.db)"
says 'certificate'
expect 0 replicate app.db --once --to "$(s3 app.db "ca_bundle=$dir/certificate.pem")"
AWS_CA_BUNDLE=$dir/certificate.pem restores_to_state_of "$(s3 app.db)" app.db
# A folder holds certificates under the names that `openssl rehash` gives them.
mkdir folder
cp "$dir/certificate.pem" folder/
openssl rehash folder
AWS_CA_BUNDLE=$dir/folder restores_to_state_of "$(s3 app.db)" app.db
for flaw in wrong_name expired; do
  start_twin --tls "$flaw" --certificate-file "$dir/certificate.pem"
  expect 6 "$CAIRN" history "$(s3 app.db "ca_bundle=$dir/certificate.pem")"
  says 'certificate'
done
expect 2 "$CAIRN" history "$(s3 app.db "ca_bundle=$dir/nowhere.pem")"
says 'nowhere.pem'
