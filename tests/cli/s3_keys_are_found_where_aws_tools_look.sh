#!/usr/bin/env bash
# Shared files, a program, a container's endpoint, an instance's metadata, a web identity: over real HTTP.
. "$(dirname "$0")/common.sh"

start_twin --session-token "$session_token"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
make_db app.db
works() { expect 0 replicate app.db --once --to "$(s3 app.db "${1:-}")"; no_secrets token identity 'keys please' services.py; }
keys="aws_access_key_id = $key_id
aws_secret_access_key = $secret_key
aws_session_token = $session_token"

AWS_ACCESS_KEY_ID=$key_id AWS_SECRET_ACCESS_KEY=$secret_key AWS_SESSION_TOKEN=$session_token works
mkdir .aws
printf '[default]\n%s\n' "$keys" >.aws/credentials
works
printf '[work]\n%s\n' "$keys" >.aws/credentials
AWS_PROFILE=work works
works profile=work

json='"AccessKeyId": "'$key_id'", "SecretAccessKey": "'$secret_key'", "Expiration": "2999-01-01T00:00:00Z"'
printf '#!/bin/sh\necho "asked with $1" >&2\ncat <<END\n{"Version": 1, %s, "SessionToken": "%s"}\nEND\n' \
  "$json" "$session_token" >'keys please'
chmod +x 'keys please'
rm .aws/credentials
printf '[profile p]\ncredential_process = "%s/keys please" "a b"\n' "$dir" >.aws/config
works profile=p
grep -q 'asked with a b' "$err"

# One small server plays the three services.
cat >services.py <<END
import http.server, sys, urllib.parse
KEYS = '{"Code": "Success", $json, "Token": "$session_token"}'
XML = ('<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
       '<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>$key_id</AccessKeyId>'
       '<SecretAccessKey>$secret_key</SecretAccessKey><SessionToken>$session_token</SessionToken>'
       '<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>'
       '</AssumeRoleWithWebIdentityResponse>')
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def do_PUT(self):
        good = self.path == '/latest/api/token' and self.headers['X-aws-ec2-metadata-token-ttl-seconds'] == '21600'
        self.answer(200 if good else 400, 'unsaid-session')
    def do_GET(self):
        role = '/latest/meta-data/iam/security-credentials/'
        session = self.headers['X-aws-ec2-metadata-token'] == 'unsaid-session'
        if self.path == role: self.answer(200 if session else 401, 'backup')
        elif self.path == role + 'backup': self.answer(200 if session else 401, KEYS)
        elif self.path == '/task?a=b':
            good = self.headers['Authorization'] == 'unsaid-authorization'
            self.answer(200 if good else 403, KEYS if good else '{"code": "no", "message": "who are you"}')
        else: self.answer(404, '')
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
        good = form['Action'] == ['AssumeRoleWithWebIdentity'] and form['WebIdentityToken'] == ['unsaid+identity']
        self.answer(200 if good and form['RoleArn'] == ['arn:aws:iam::1:role/r'] else 400, XML)
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
open('services.port.new', 'w').write(str(server.server_port))
import os
os.rename('services.port.new', 'services.port')
server.serve_forever()
END
python3 services.py &
pids+=($!)
wait_until test -s services.port
services=http://127.0.0.1:$(cat services.port)
rm .aws/config

export AWS_CONTAINER_CREDENTIALS_FULL_URI="$services/task?a=b"
AWS_CONTAINER_AUTHORIZATION_TOKEN=unsaid-authorization works
echo unsaid-authorization >token
AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$dir/token works
expect 6 "$CAIRN" history "$(s3 app.db)"
says 'container endpoint: answered with status 403: no: who are you'
unset AWS_CONTAINER_CREDENTIALS_FULL_URI

AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$services works

printf 'unsaid+identity\n' >identity
AWS_WEB_IDENTITY_TOKEN_FILE=$dir/identity AWS_ROLE_ARN=arn:aws:iam::1:role/r AWS_ENDPOINT_URL_STS=$services works
restores() { restores_to_state_of "$(s3 app.db)" app.db; }
AWS_WEB_IDENTITY_TOKEN_FILE=$dir/identity AWS_ROLE_ARN=arn:aws:iam::1:role/r AWS_ENDPOINT_URL_STS=$services restores
