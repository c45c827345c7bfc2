// Services that hand out keys for a while: AWS' token service for web identities, the container endpoint, and the
// metadata of an instance.
//
// Each answers with credentials, with "there is none" and why (a Looked without credentials: the next place is asked),
// or with an error: it is configured and fails. retry_later: the same may work later.
//
// Container endpoint and metadata are never asked through a proxy, whatever the environment names: their addresses mean
// this machine, and would mean another one to the proxy, which sees the keys, or answers with its own machine's.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/error.h"
#include "s3/credentials.h"
#include "s3/http.h"
#include "s3/shared_files.h"

namespace cairn::s3 {

// What came of looking at one place.
struct Looked {
  std::optional<Credentials> found;
  std::string where;  // for people: the place, and why there is nothing
};

struct EndpointContext {
  const Environment& environment;
  HttpClient& http;
  Clock& clock;
};

// AssumeRoleWithWebIdentity: the token of a file (which somebody renews) against keys of a role.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
struct WebIdentity {
  std::string token_file, role_arn, session_name;  // without a name one is made
  std::string region;                              // empty: the global endpoint
};
Result<Credentials> assume_role_with_web_identity(const WebIdentity& identity, const EndpointContext& context);

// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI: ECS, EKS, and what imitates them.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
Result<Looked> ask_container_endpoint(const EndpointContext& context);

// Version 2 only: version 1 answers anybody who can make this machine send a GET.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
Result<Looked> ask_instance_metadata(const EndpointContext& context);

}  // namespace cairn::s3
