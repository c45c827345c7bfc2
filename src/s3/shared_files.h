// ~/.aws/credentials and ~/.aws/config, in the format of AWS' own tools: sections, `name = value`, comments.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

using Environment = std::function<std::optional<std::string>(const std::string&)>;

// The variable's value; none when it is empty too.
std::optional<std::string> set_value(const Environment& environment, const std::string& name);

// Name in lower case to value. A nested setting (lines that are indented below a name without a value) is left out.
using Section = std::map<std::string, std::string>;
using Sections = std::map<std::string, Section>;

// Lines that are no setting are passed over, as AWS' tools do.
Sections parse_shared_file(std::string_view text);

// Where the two files are: AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE, else below HOME; empty: there is no HOME.
struct SharedFilePaths {
  std::string credentials, config;
};
SharedFilePaths shared_file_paths(const Environment& environment);

// One profile, as both files have it. The same name in the file of credentials comes first.
struct Profile {
  std::string name;
  bool chosen = false;  // by the options or AWS_PROFILE: that it is nowhere is a mistake then
  bool found = false;
  Section credentials, config;

  std::optional<std::string> value(const std::string& setting) const;
};

// denied, io: a file is there and cannot be read.
Result<Profile> read_profile(const S3Options& options, const Environment& environment);

}  // namespace cairn::s3
