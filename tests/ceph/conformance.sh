#!/usr/bin/env bash
# The conformance suite that every store passes, against Ceph.
. "$(dirname "$0")/common.sh"

start_cluster
CAIRN_TEST_S3_URL=$(s3 "") "${S3_TESTS:?is the program with the conformance suite}" \
  --gtest_filter="*CAIRN_TEST_S3_URL*" --gtest_brief=1
