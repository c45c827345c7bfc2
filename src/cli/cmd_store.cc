// cairn store: what a store is, and `cairn store probe URL`: what an S3 store can do.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/stop_on_signal.h"
#include "s3/probe.h"

namespace cairn::cli {

namespace {

constexpr const char* kStoreTeaching = R"(URLs of stores, wherever a command takes one:
  /backup, backup/app, file:///backup       a folder
  s3://bucket/prefix                        Amazon S3
  s3://bucket/prefix?endpoint=https://host:9000&region=eu-1
                                            whatever speaks its protocol; quote it, for the shell takes '?' and '&'

Options of an s3:// URL, after '?', joined with '&':
  endpoint=URL        the server. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, Amazon's
  region=NAME         Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1
  profile=NAME        of the shared files. Default: AWS_PROFILE, "default"
  addressing=HOW      path (https://host/bucket/...) or virtual_host (https://bucket.host/...)
  ca_bundle=PATH      certificates to trust. Default: AWS_CA_BUNDLE, the system's
  storage_class=NAME  of new objects, as STANDARD_IA
  encryption=HOW      AES256, or aws:kms with kms_key_id=ID
  tags=K%3DV%26K%3DV  put on new objects
  requester_pays=true, create_bucket=true
  accept_single_writer=true   for a store that ignores conditions: you say that nobody else ever writes there
  connections=N       transfers at once. Default: 8
AWS_MAX_ATTEMPTS says how often each request is tried. Default: 8, within 10 seconds

Keys are never part of a URL. They are looked for where AWS' own tools look, in this order:
  1. the environment          AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  2. a web identity           AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN (Kubernetes)
  3. the shared files         ~/.aws/credentials, ~/.aws/config: keys, or a credential_process
  4. the container endpoint   AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS)
  5. the instance metadata    the role of an EC2 instance
So where 'aws s3 ls' works, Cairn does. Keys that expire are renewed in time.

Examples:
  cairn store probe s3://my-bucket/backup
  cairn store probe 's3://my-bucket/backup?endpoint=https://minio.example:9000' --json)";

constexpr const char* kProbeNotes = R"(It writes some small objects below URL/.cairn-probe-<random>/,
races some of them, and removes them again. The exit status is 0 when replicas can be kept there, and 2 when not.

Example:
  cairn store probe 's3://my-bucket/backup?endpoint=https://s3.example.com')";

struct StoreCommand {
  std::string url;
  bool json = false;
};

Json report_json(const s3::ProbeReport& report) {
  Json json;
  json["store"] = report.url;
  json["service"] = report.service;
  json["region"] = report.region;
  json["server"] = report.server;
  json["usable"] = report.usable;
  json["verdict"] = report.verdict;
  json["findings"] = Json::array();
  for (const s3::ProbeFinding& finding : report.findings) {
    Json one;
    one["name"] = finding.name;
    one["what"] = finding.what;
    one["outcome"] = name_of(finding.outcome);
    one["detail"] = finding.detail;
    one["costs"] = finding.costs;
    json["findings"].push_back(std::move(one));
  }
  return json;
}

void print_report(const s3::ProbeReport& report) {
  print_line(fmt::format("{} at {}, region {}{}", report.url, report.service, report.region,
                         report.server.empty() ? "" : ", which calls itself " + report.server));
  std::vector<std::vector<std::string>> rows{{"", "", ""}};
  for (const s3::ProbeFinding& finding : report.findings) {
    rows.push_back({name_of(finding.outcome), finding.what, finding.detail});
  }
  const std::string table = table_text(rows);
  if (rows.size() > 1) print_line(table.substr(table.find('\n') + 1));
  for (const s3::ProbeFinding& finding : report.findings) {
    if (!finding.costs.empty()) print_line(fmt::format("{}: {}", finding.what, finding.costs));
  }
  print_line(report.verdict);
}

int probe(const StoreCommand& options) {
  const Style style = style_of(options.json);
  if (options.url.find("://") == std::string::npos || options.url.starts_with("file://")) {
    return report_usage("a folder can do everything: only s3:// URLs need to be probed", style);
  }
  const Result<s3::ProbeReport> probed = s3::probe(options.url);
  if (!probed) {
    const bool of_url = probed.error().kind() == ErrorKind::invalid;
    return report({probed.error(), of_url ? Origin::local : Origin::store}, style);
  }
  if (style == Style::json) {
    print_json(report_json(*probed));
  } else {
    print_report(*probed);
  }
  return probed->usable ? kDone : kUsage;
}

}  // namespace

void add_store(CLI::App& app, Run& run) {
  CLI::App* store = app.add_subcommand("store", "What a store is, where its keys come from, and what it can do.");
  store->footer(kStoreTeaching);
  const auto options = std::make_shared<StoreCommand>();
  CLI::App* command = store->add_subcommand(
      "probe", "Tries what an S3 store can do, and says what is missing and what that costs.");
  command->add_option("URL", options->url, "a place in the store")->required()->type_name("");
  command->add_flag("--json", options->json, "the report as one line of JSON");
  command->footer(kProbeNotes);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return probe(*options);
    };
  });
  // Runs after the one of a command below it.
  store->callback([store, &run] {
    if (run) return;
    run = [help = store->help("cairn")](const Tools&) {
      print_line(help);
      return kDone;
    };
  });
}

}  // namespace cairn::cli
