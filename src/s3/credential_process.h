// A program of the user's that prints keys: `credential_process` of a profile.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "s3/credentials.h"

namespace cairn::s3 {

// The words of a command as a POSIX shell would split it: quotes and backslashes, nothing else (no variables, no ~).
// invalid: a quote that is not closed, or no word at all.
Result<std::vector<std::string>> split_command(std::string_view command);

// Runs it without a shell, and reads what it prints. Its standard error is ours.
// denied: it cannot be started, fails, takes longer than `limit_ms`, or prints something else. The message names the
// program, not its arguments (they may hold secrets) and nothing that it printed.
Result<Credentials> run_credential_process(std::string_view command, std::int64_t limit_ms, const std::string& source);

}  // namespace cairn::s3
