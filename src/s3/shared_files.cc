#include "s3/shared_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "base/files.h"
#include "base/utf8.h"

namespace cairn::s3 {

namespace {

constexpr std::uint64_t kMaxFileBytes = 4 << 20;
constexpr std::string_view kSpace = " \t\r\v\f";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// "[profile  x]  # note" is "profile x": one space between the words, no quotes around the name.
std::string section_name(std::string_view line) {
  const std::size_t end = line.find(']');
  std::string_view inside = trim(line.substr(1, end == std::string_view::npos ? line.size() - 1 : end - 1));
  std::string kind;
  if (const std::size_t space = inside.find_first_of(" \t"); space != std::string_view::npos) {
    kind = std::string(inside.substr(0, space)) + " ";
    inside = trim(inside.substr(space));
  }
  if (inside.size() >= 2 && (inside.front() == '"' || inside.front() == '\'') && inside.back() == inside.front()) {
    inside = inside.substr(1, inside.size() - 2);
  }
  return kind + std::string(inside);
}

// A comment behind a value has white space in front. A command keeps everything: it may hold a '#' of its own.
std::string_view without_comment(std::string_view name, std::string_view value) {
  if (name == "credential_process") return value;
  for (std::size_t i = 1; i < value.size(); ++i) {
    const bool begins = (value[i] == '#' || value[i] == ';') && kSpace.find(value[i - 1]) != std::string_view::npos;
    if (begins) return trim(value.substr(0, i));
  }
  return value;
}

std::string expand_home(const std::string& path, const std::optional<std::string>& home) {
  if (!home || !(path == "~" || path.starts_with("~/"))) return path;
  return *home + path.substr(1);
}

Result<Sections> read_file_if_there(const std::string& path) {
  if (path.empty()) return Sections{};
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  const Result<FileInfo> info = files->info(path);
  if (!info && info.error().kind() == ErrorKind::not_found) return Sections{};
  if (!info) return info.error().with("reading credentials");
  if (info->is_directory || info->size_bytes > kMaxFileBytes) {
    return Error(ErrorKind::invalid, fmt::format("{} is no file of credentials", path));
  }
  const Result<Bytes> bytes = read_file(*files, path);
  if (!bytes) return bytes.error().with("reading credentials");
  return parse_shared_file(as_text(*bytes));
}

const Section* find_section(const Sections& sections, const std::string& name) {
  const auto found = sections.find(name);
  return found == sections.end() ? nullptr : &found->second;
}

}  // namespace

std::optional<std::string> set_value(const Environment& environment, const std::string& name) {
  std::optional<std::string> value = environment(name);
  if (value && value->empty()) return std::nullopt;
  return value;
}

Sections parse_shared_file(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a mark that some editors write
  Sections sections;
  Section* section = nullptr;
  std::size_t indent = std::string_view::npos;  // of the setting above, in this section
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view line = trim(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      section = &sections[section_name(line)];
      indent = std::string_view::npos;
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::size_t own_indent = raw.find_first_not_of(kSpace);
    const bool nested = indent != std::string_view::npos && own_indent > indent;
    if (section == nullptr || nested || equals == std::string_view::npos) continue;
    indent = own_indent;
    const std::string name = ascii_lower(trim(line.substr(0, equals)));
    (*section)[name] = without_comment(name, trim(line.substr(equals + 1)));
  }
  return sections;
}

SharedFilePaths shared_file_paths(const Environment& environment) {
  const std::optional<std::string> home = set_value(environment, "HOME");
  SharedFilePaths paths;
  const auto choose = [&](const char* variable, const char* below_home) {
    if (const auto given = set_value(environment, variable)) return expand_home(*given, home);
    return home ? *home + below_home : std::string();
  };
  paths.credentials = choose("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
  paths.config = choose("AWS_CONFIG_FILE", "/.aws/config");
  return paths;
}

std::optional<std::string> Profile::value(const std::string& setting) const {
  for (const Section* section : {&credentials, &config}) {
    if (const auto at = section->find(setting); at != section->end() && !at->second.empty()) return at->second;
  }
  return std::nullopt;
}

Result<Profile> read_profile(const S3Options& options, const Environment& environment) {
  Profile profile;
  profile.name = options.profile;
  if (profile.name.empty()) profile.name = set_value(environment, "AWS_PROFILE").value_or("");
  profile.chosen = !profile.name.empty();
  if (!profile.chosen) profile.name = "default";

  const SharedFilePaths paths = shared_file_paths(environment);
  CAIRN_ASSIGN(const Sections credentials, read_file_if_there(paths.credentials));
  CAIRN_ASSIGN(const Sections config, read_file_if_there(paths.config));
  if (const Section* section = find_section(credentials, profile.name)) {
    profile.credentials = *section;
    profile.found = true;
  }
  // In the file of settings a section says that it is a profile; only "default" need not.
  const Section* section = find_section(config, "profile " + profile.name);
  if (section == nullptr && profile.name == "default") section = find_section(config, "default");
  if (section != nullptr) {
    profile.config = *section;
    profile.found = true;
  }
  return profile;
}

}  // namespace cairn::s3
