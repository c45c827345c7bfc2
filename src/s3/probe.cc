// Each trait is tried by requests of its own, spelled out here and not by the store's code: what is printed is what
// the server did, whatever the store makes of it.
#include "s3/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/executor.h"
#include "s3/answers.h"
#include "s3/checksum.h"
#include "s3/connect.h"
#include "s3/dialect.h"
#include "s3/xml.h"
#include "store/key.h"

namespace cairn::s3 {

namespace {

using Outcome = ProbeFinding::Outcome;

constexpr int kTries = 4, kRacers = 8, kRaces = 4;
// Amazon copies ranges of objects above 5 MiB only.
constexpr std::size_t kCopiedBytes = (5u << 20) + 1;

// Other bytes at the second reading: what is hashed is not what is sent.
class ChangingSource final : public Source {
 public:
  std::uint64_t size_bytes() const override { return 1; }
  Result<void> read_at(std::uint64_t, std::span<std::byte> into) const override {
    std::fill(into.begin(), into.end(), reads_++ == 0 ? std::byte{'a'} : std::byte{'b'});
    return {};
  }

 private:
  mutable std::atomic<int> reads_ = 0;
};

class Prober {
 public:
  Prober(Client& client, std::string base) : client_(client), base_(std::move(base)) {}

  // The basics, without which nothing else can be tried.
  Result<void> begin() {
    CAIRN_TRY(expect(list_call({}, 1)));
    CAIRN_TRY(put_plain("object", "0123456789"));
    return {};
  }

  void try_all() {
    create_only();
    compare_and_swap();
    uploads();
    copy_part();
    checksum();
    signed_payload();
    ranges();
    listing();
    remove_many();
    remove();
  }

  // Whatever of all that is still there.
  void clean_up() {
    Call uploads;
    uploads.action = Action::list;
    uploads.query = {{"uploads", ""}, {"encoding-type", "url"}, {"prefix", base_}};
    if (const auto response = expect(uploads)) {
      if (const auto page = parse_uploads(response->body)) {
        for (const UploadInfo& upload : page->uploads) (void)abort(upload.key.substr(base_.size()), upload.upload_id);
      }
    }
    if (const auto page = list({}, 1000)) {
      for (const ObjectInfo& object : page->objects) {
        (void)send(call(Action::remove, "DELETE", object.key.substr(std::min(object.key.size(), base_.size()))));
      }
    }
  }

  std::vector<ProbeFinding> findings;

 private:
  // Calls. The same again while the store is only busy: the probe is about what it can do.
  Result<HttpResponse> send(const Call& call) {
    for (int i = 1;; ++i) {
      auto response = client_.send(call);
      const bool busy = response ? response->status >= 500 && response->status != 501
                                 : response.error().kind() == ErrorKind::retry_later;
      if (!busy || i == kTries) return response;
    }
  }
  Result<HttpResponse> expect(const Call& call) {
    CAIRN_ASSIGN(HttpResponse response, send(call));
    if (!is_success(response)) return client_.error_of(response, call);
    return response;
  }
  Call call(Action action, std::string method, std::string_view name) const {
    Call made;
    made.action = action;
    made.method = std::move(method);
    made.key = base_ + std::string(name);
    made.headers = client_.settings().object_bytes;
    return made;
  }
  Call put_call(std::string_view name, const Source& body) const {
    Call made = call(Action::write, "PUT", name);
    const HeaderFields& more = client_.settings().new_object;
    made.headers.insert(made.headers.end(), more.begin(), more.end());
    made.body = &body;
    return made;
  }
  Result<HttpResponse> put(std::string_view name, std::string_view text, const HeaderFields& headers) {
    const BytesSource body(as_bytes(text));
    Call made = put_call(name, body);
    made.headers.insert(made.headers.end(), headers.begin(), headers.end());
    return send(made);
  }
  Result<HttpResponse> put_plain(std::string_view name, std::string_view text) {
    const BytesSource body(as_bytes(text));
    return expect(put_call(name, body));
  }
  Result<HttpResponse> get(std::string_view name, const std::string& range) {
    Call made = call(Action::read, "GET", name);
    made.headers.emplace_back("Range", range);
    return send(made);
  }
  Call list_call(std::string_view start_after, int limit) const {
    Call made;
    made.action = Action::list;
    made.query = {
        {"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(limit)}, {"prefix", base_}};
    if (!start_after.empty()) made.query.emplace_back("start-after", base_ + std::string(start_after));
    return made;
  }
  Result<ObjectsPage> list(std::string_view start_after, int limit) {
    CAIRN_ASSIGN(const HttpResponse response, expect(list_call(start_after, limit)));
    return parse_objects(response.body);
  }
  Result<std::string> begin_upload(std::string_view name) {
    Call made = call(Action::write, "POST", name);
    const HeaderFields& more = client_.settings().new_object;
    made.headers.insert(made.headers.end(), more.begin(), more.end());
    made.query = {{"uploads", ""}};
    CAIRN_ASSIGN(const HttpResponse response, expect(made));
    return parse_upload_id(response.body);
  }
  Result<PartInfo> put_part(std::string_view name, const std::string& id, std::string_view text, int number = 1) {
    const BytesSource body(as_bytes(text));
    Call made = call(Action::write, "PUT", name);
    made.query = {{"partNumber", std::to_string(number)}, {"uploadId", id}};
    made.body = &body;
    CAIRN_ASSIGN(const HttpResponse response, expect(made));
    return PartInfo{number, etag_of(response), text.size()};
  }
  Result<HttpResponse> complete(std::string_view name, const std::string& id, const PartInfo& part,
                                const HeaderFields& headers) {
    const std::string document = complete_document({&part, 1});
    const BytesSource body(as_bytes(document));
    Call made = call(Action::write, "POST", name);
    made.headers.insert(made.headers.end(), headers.begin(), headers.end());
    made.query = {{"uploadId", id}};
    made.body = &body;
    return send(made);
  }
  Result<HttpResponse> abort(std::string_view name, const std::string& id) {
    Call made = call(Action::remove, "DELETE", name);
    made.query = {{"uploadId", id}};
    return send(made);
  }

  // Findings.
  void found(std::string_view name, Outcome outcome, std::string detail) {
    const auto trait =
        std::find_if(std::begin(kTraits), std::end(kTraits), [&](const Trait& one) { return one.name == name; });
    ProbeFinding finding{std::string(name), std::string(trait->what), outcome, std::move(detail), {}};
    if (outcome == Outcome::missing) finding.costs = trait->costs;
    findings.push_back(std::move(finding));
  }
  static std::string shown(const Result<HttpResponse>& response) {
    if (!response) return response.error().message();
    const Refusal refusal = refusal_of(*response);
    return fmt::format("answered {}{}{}", response->status, refusal.document.code.empty() ? "" : " ",
                       refusal.document.code);
  }
  // Of a request whose condition does not hold.
  void found_condition(std::string_view name, const Result<HttpResponse>& response) {
    if (!response) return found(name, Outcome::unknown, shown(response));
    const bool success = is_success(*response) && !refusal_of(*response).has_document;
    if (success) return found(name, Outcome::missing, "the condition is ignored");
    const bool refused = response->status == 412 || response->status == 409 || response->status == 404;
    if (refused) return found(name, Outcome::works, shown(response));
    found(name, response->status == 403 ? Outcome::unknown : Outcome::missing, shown(response));
  }
  bool works(std::string_view name) const {
    return std::any_of(findings.begin(), findings.end(), [&](const ProbeFinding& finding) {
      return finding.name == name && finding.outcome == Outcome::works;
    });
  }

  void create_only() {
    found_condition("create_only", put("object", "0123456789", {{"If-None-Match", "*"}}));
    if (!works("create_only")) return found("create_only_race", Outcome::unknown, "there is nothing to race for");
    int most = 0, least = kRacers;
    for (int race = 0; race < kRaces; ++race) {
      const int winners = winners_of_race(fmt::format("race-{}", race));
      most = std::max(most, winners);
      least = std::min(least, winners);
    }
    if (most > 1) {
      return found("create_only_race", Outcome::missing,
                   fmt::format("of {} writers at once, {} were told that they had won", kRacers, most));
    }
    found("create_only_race", least == 1 ? Outcome::works : Outcome::unknown,
          fmt::format("{} times {} writers at once, {} each time", kRaces, kRacers,
                      least == 1 ? "one winner" : "not one winner"));
  }
  int winners_of_race(const std::string& name) {
    std::atomic<int> winners = 0;
    std::latch start(kRacers);
    const auto pool = make_thread_pool(kRacers);
    std::latch done(kRacers);
    for (int i = 0; i < kRacers; ++i) {
      pool->run([&, i] {
        start.arrive_and_wait();
        const std::string text = fmt::format("writer {}", i);
        const BytesSource body(as_bytes(text));
        Call made = put_call(name, body);
        made.headers.emplace_back("If-None-Match", "*");
        const auto response = client_.send(made);  // not repeated: a second try could be told of the first
        if (response && is_success(*response)) ++winners;
        done.count_down();
      });
    }
    done.wait();
    return winners;
  }

  void compare_and_swap() {
    const auto put_first = put_plain("swapped", "first");
    if (!put_first) return found("compare_and_swap", Outcome::unknown, shown(put_first));
    const std::string etag = etag_of(*put_first);
    const auto wrong = put("swapped", "wrong", {{"If-Match", "\"00000000000000000000000000000000\""}});
    if (!wrong || wrong->status == 501 || is_success(*wrong)) return found_condition("compare_and_swap", wrong);
    const auto quoted = put("swapped", "second", {{"If-Match", fmt::format("\"{}\"", etag)}});
    if (quoted && is_success(*quoted)) {
      found("compare_and_swap", Outcome::works, "replaced what was known, and nothing else");
      return found("if_match_quoted", Outcome::works, shown(quoted));
    }
    const auto bare = put("swapped", "second", {{"If-Match", etag}});
    const bool bare_works = bare && is_success(*bare);
    found("compare_and_swap", bare_works ? Outcome::works : Outcome::missing, shown(bare));
    found("if_match_quoted", bare_works ? Outcome::missing : Outcome::unknown, shown(quoted));
  }

  void uploads() {
    const auto id = begin_upload("uploaded");
    const auto part = id ? put_part("uploaded", *id, "part") : Result<PartInfo>(id.error());
    if (!part) {
      found("multipart", part.error().kind() == ErrorKind::denied ? Outcome::unknown : Outcome::missing,
            part.error().message());
      return;
    }
    Call parts = call(Action::list, "GET", "uploaded");
    parts.query = {{"uploadId", *id}};
    found_list("list_parts", send(parts), [](ByteView body) {
      const auto page = parse_parts(body);
      return page && page->parts.size() == 1;
    });
    Call uploads;
    uploads.action = Action::list;
    uploads.query = {{"uploads", ""}, {"prefix", base_}};
    found_list("list_uploads", send(uploads), [](ByteView body) {
      const auto page = parse_uploads(body);
      return page && !page->uploads.empty();
    });
    const auto completed = complete("uploaded", *id, *part, {});
    const bool whole = completed && is_success(*completed) && !refusal_of(*completed).has_document;
    found("multipart", whole ? Outcome::works : Outcome::missing, shown(completed));
    if (!whole) return;
    many_parts();
    complete_create_only();
  }
  void many_parts() {
    const auto id = begin_upload("numbered");
    if (!id) return found("many_parts", Outcome::unknown, id.error().message());
    const auto last = put_part("numbered", *id, "last", kMaxPartNumber);
    const bool refused = !last && last.error().kind() == ErrorKind::invalid;
    found("many_parts", last ? Outcome::works : refused ? Outcome::missing : Outcome::unknown,
          last ? "took part 10,000" : last.error().message());
    (void)abort("numbered", *id);
  }
  template <class Good>
  void found_list(std::string_view name, const Result<HttpResponse>& response, const Good& good) {
    const bool listed = response && is_success(*response) && good(response->body);
    const bool denied = response && response->status == 403;
    found(name, listed ? Outcome::works : denied || !response ? Outcome::unknown : Outcome::missing, shown(response));
  }
  void complete_create_only() {
    const auto id = begin_upload("uploaded");  // which is there by now
    const auto part = id ? put_part("uploaded", *id, "other") : Result<PartInfo>(id.error());
    if (!part) return found("complete_create_only", Outcome::unknown, part.error().message());
    found_condition("complete_create_only", complete("uploaded", *id, *part, {{"If-None-Match", "*"}}));
    (void)abort("uploaded", *id);
  }

  void copy_part() {
    const std::string large(kCopiedBytes, 'c');
    const auto source = put_plain("large", large);
    const auto id = source ? begin_upload("copied") : Result<std::string>(source.error());
    if (!id) return found("copy_part", Outcome::unknown, id.error().message());
    Call made = call(Action::write, "PUT", "copied");
    const HeaderFields& more = client_.settings().copied_object;
    made.headers.insert(made.headers.end(), more.begin(), more.end());
    made.query = {{"partNumber", "1"}, {"uploadId", *id}};
    made.headers.emplace_back(
        "x-amz-copy-source",
        percent_encode("/" + client_.settings().location.bucket + "/" + base_ + "large", Slash::keep));
    made.headers.emplace_back("x-amz-copy-source-range", range_value(1, kCopiedBytes - 1));
    const auto copied = send(made);
    const bool good = copied && is_success(*copied) && parse_etag_of_copy(copied->body);
    found("copy_part", good ? Outcome::works : Outcome::missing, shown(copied));
    (void)abort("copied", *id);
  }

  void checksum() {
    const std::string text = "0123456789";
    const auto with = [&](const std::string& value) {
      return put("checked", text,
                 {{"x-amz-sdk-checksum-algorithm", "CRC64NVME"}, {"x-amz-checksum-crc64nvme", value}});
    };
    const auto right = with(base64_be(crc64nvme(0, as_bytes(text))));
    const bool echoed = right && is_success(*right) && right->header("x-amz-checksum-crc64nvme") != nullptr;
    if (!echoed) return found("checksum", Outcome::missing, shown(right) + ", and did not repeat the checksum");
    const auto wrong = with(base64_be(crc64nvme(1, as_bytes(text))));
    const bool noticed = wrong && !is_success(*wrong);
    found("checksum", noticed ? Outcome::works : Outcome::missing,
          noticed ? shown(wrong) + " to a wrong one" : "a wrong one was not noticed");
  }

  void signed_payload() {
    const ChangingSource body;
    const auto response = client_.send(put_call("signed", body));
    const bool noticed = response && !is_success(*response);
    found("signed_payload",
          noticed    ? Outcome::works
          : response ? Outcome::missing
                     : Outcome::unknown,
          shown(response));
  }

  void ranges() {
    const auto middle = get("object", "bytes=2-4");
    const auto end = get("object", "bytes=-3");
    const auto past = get("object", "bytes=10-11");
    const bool good = middle && middle->status == 206 && as_text(middle->body) == "234" && end &&
                      end->status == 206 && as_text(end->body) == "789" && past && past->status == 416;
    found("ranges", good ? Outcome::works : Outcome::missing,
          good ? "from the middle, from the end, past the end"
               : fmt::format("{}; {}; {}", shown(middle), shown(end), shown(past)));
  }

  void listing() {
    static constexpr std::array<std::string_view, 6> kNames{"list/B",   "list/a",   "list/a b",
                                                            "list/a-b", "list/a/b", "list/\xc3\xa9+"};
    for (const std::string_view name : kNames) {
      if (const auto put = put_plain(name, "x"); !put) return found("list_order", Outcome::unknown, shown(put));
    }
    const auto all = list("list", 1000);
    if (!all) return found("list_order", Outcome::unknown, all.error().message());
    std::vector<std::string> names, expected(kNames.begin(), kNames.end());
    for (const ObjectInfo& object : all->objects) {
      std::string name = object.key.substr(std::min(object.key.size(), base_.size()));
      if (name.starts_with("list/")) names.push_back(std::move(name));
    }
    const bool ordered = names == expected;
    std::sort(names.begin(), names.end());
    found("list_order", ordered ? Outcome::works : Outcome::missing,
          ordered             ? "in the order of bytes, odd names as they are"
          : names == expected ? "in another order than that of bytes"
                              : "odd names do not come back as they are");
    const auto rest = list("list/a-b", 1000);
    const bool after = rest && !rest->objects.empty() && rest->objects.front().key == base_ + "list/a/b";
    found("list_start_after", after ? Outcome::works : Outcome::missing,
          after ? "from the key on" : "the list began at another key");
  }

  void remove_many() {
    const std::vector<std::string> names{"many/a & b", "many/c"};
    std::vector<std::string> keys;
    for (const std::string& name : names) {
      const auto put = put_plain(name, "x");
      if (!put) return found("remove_many", Outcome::unknown, put.error().message());
      keys.push_back(base_ + name);
    }
    const std::string document = delete_document(keys);
    const BytesSource body(as_bytes(document));
    Call made;
    made.action = Action::remove;
    made.method = "POST";
    made.query = {{"delete", ""}};
    made.headers = {{"Content-Type", "application/xml"}, {"Content-MD5", base64(md5(as_bytes(document)))}};
    made.body = &body;
    const auto removed = send(made);
    const bool gone = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
      const auto there = get(name, "bytes=0-0");
      return there && there->status == 404;
    });
    const bool denied = removed && removed->status == 403;
    found("remove_many", gone ? Outcome::works : denied ? Outcome::unknown : Outcome::missing, shown(removed));
  }

  void remove() {
    const auto removed = send(call(Action::remove, "DELETE", "object"));
    const auto gone = get("object", "bytes=0-0");
    const bool good = removed && is_success(*removed) && gone && gone->status == 404;
    const bool denied = removed && removed->status == 403;
    found("remove", good ? Outcome::works : denied ? Outcome::unknown : Outcome::missing, shown(removed));
  }

  Client& client_;
  const std::string base_;
};

// Without these nothing can be kept there, whatever the user accepts.
bool is_usable(const std::vector<ProbeFinding>& findings, bool single_writer) {
  return std::all_of(findings.begin(), findings.end(), [&](const ProbeFinding& finding) {
    if (finding.name == "create_only_race") return single_writer || finding.outcome != Outcome::missing;
    const bool needed =
        finding.name == "ranges" || finding.name == "list_order" || (finding.name == "create_only" && !single_writer);
    return !needed || finding.outcome == Outcome::works;
  });
}

std::string verdict_of(const ProbeReport& report, bool single_writer) {
  const auto missing = std::count_if(report.findings.begin(), report.findings.end(),
                                     [](const ProbeFinding& finding) { return finding.outcome == Outcome::missing; });
  if (!report.usable) return "Cairn cannot keep replicas there as it is: see what is missing";
  if (single_writer) return "Cairn can keep replicas there; that there is a single writer is your word";
  if (missing == 0) return "Cairn can keep replicas there, and nothing is missing";
  return "Cairn can keep replicas there; what is missing costs what is said beside it";
}

}  // namespace

Result<ProbeReport> probe(std::string_view url, const S3Options& options) {
  CAIRN_ASSIGN(const Connection connection, connect(url, options));
  Client& client = connection.requests->client();
  const Settings& settings = client.settings();
  const bool single_writer = settings.location.options.accept_single_writer;
  if (settings.location.options.create_bucket) {
    // Makes it, if need be. That conditions do not work is the probe's to tell.
    auto ready = connection.requests->ready_to_write();
    if (!ready && ready.error().kind() != ErrorKind::unsupported) return ready.error();
  }
  SystemRandom random;
  Prober prober(client, fmt::format("{}.cairn-probe-{}/", settings.location.prefix, random.id().hex().substr(0, 16)));
  if (auto begun = prober.begin(); !begun) {
    prober.clean_up();
    return begun.error();
  }
  prober.try_all();
  prober.clean_up();

  ProbeReport report;
  report.url = settings.location.url();
  report.service = client.endpoint().origin();
  report.region = client.region();
  report.server = client.server();
  report.findings = std::move(prober.findings);
  report.usable = is_usable(report.findings, single_writer);
  report.verdict = verdict_of(report, single_writer);
  return report;
}

}  // namespace cairn::s3
