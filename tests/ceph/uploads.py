"""The keys of a bucket's uploads that are neither completed nor aborted, one a line. AWS's variables say who asks.

    python3 uploads.py http://127.0.0.1:PORT BUCKET
"""
import hashlib
import hmac
import os
import sys
import time
import urllib.request
import xml.etree.ElementTree
from urllib.parse import quote, urlsplit

endpoint, bucket = sys.argv[1:]
now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
scope = f"{now[:8]}/{os.environ.get('AWS_REGION', 'us-east-1')}/s3/aws4_request"
query = "&".join(f"{name}={quote(value, safe='')}" for name, value in (
    ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
    ("X-Amz-Credential", f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"),
    ("X-Amz-Date", now),
    ("X-Amz-Expires", "60"),
    ("X-Amz-SignedHeaders", "host"),
    ("uploads", ""),
))
request = f"GET\n/{bucket}\n{query}\nhost:{urlsplit(endpoint).netloc}\n\nhost\nUNSIGNED-PAYLOAD"
signature = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
for step in (*scope.split("/"), text):
    signature = hmac.new(signature, step.encode(), hashlib.sha256).digest()
with urllib.request.urlopen(f"{endpoint}/{bucket}?{query}&X-Amz-Signature={signature.hex()}") as answer:
    root = xml.etree.ElementTree.parse(answer).getroot()
if not root.tag.endswith("ListMultipartUploadsResult"):
    sys.exit(f"this is no list of uploads: {root.tag}")
for element in root.iter():
    if element.tag.endswith("}Upload") or element.tag == "Upload":
        print(next(child.text for child in element if child.tag.split("}")[-1] == "Key"))
