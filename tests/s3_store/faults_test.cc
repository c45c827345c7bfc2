// A store whose requests fail in every way and at every rate: what it says must be true of what lies there.
//
// Each thread works on keys of its own and keeps, for each, the set of states that it may be in: one state as long as
// answers are clear; "may have been done" adds one; a later look leaves the one that was seen. Anything that is seen
// and not in the set was lost, doubled, or made up. In the end the faults stop, and everything is read back.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "s3_store/twin_store.h"

namespace cairn::s3 {
namespace {

using State = std::optional<std::string>;  // the object's bytes; none: absent

constexpr std::uint64_t kPart = 64 << 10;

class Worker {
 public:
  Worker(Store& store, int number, std::uint64_t seed)
      : store_(store), number_(number), random_(seed * 100 + number) {}

  void work(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  // With the faults gone: everything is one of the things that it may be.
  void check_all() {
    for (auto& [key, states] : states_) {
      const auto object = store_.get(key);
      if (object) {
        see(key, std::string(as_text(object->bytes)));
      } else {
        ASSERT_EQ(object.error().kind(), ErrorKind::not_found) << object.error().message();
        see(key, std::nullopt);
      }
    }
  }
  const std::map<std::string, std::set<State>>& states() const { return states_; }
  int gave_up() const { return gave_up_; }

 private:
  void step() {
    const std::string key = "w" + std::to_string(number_) + "/" + std::to_string(random_.below(8));
    if (!states_.contains(key)) states_[key] = {std::nullopt};
    switch (random_.below(13)) {
      case 0:
      case 1:
        return put_new(key, body(random_.below(3000)));
      case 2:
        return put_new(key, body(3 * kPart + random_.below(3 * kPart)));
      case 3:
        return put_if(key);
      case 4:
        return remove(key);
      case 5:
        return upload(key);
      case 6:
        return see_answer("get", key, store_.get(key));
      case 7:
        return see_answer("get_suffix", key, store_.get_suffix(key, 10 * kPart));
      case 8:
        return head(key);
      case 9:
        return remove_many();
      case 10:
        return copy(key);
      case 11:
        return list_uploads();
      default:
        return list();
    }
  }

  std::string body(std::uint64_t size) {
    std::string text(size + 8, '\0');
    SeededRandom bytes(random_.next());
    for (char& c : text) c = static_cast<char>(bytes.next());
    return text;
  }
  bool may_be(const std::string& key, const State& state) const { return states_.at(key).contains(state); }
  bool may_exist(const std::string& key) const {
    const std::set<State>& states = states_.at(key);
    return states.size() > 1 || !states.contains(std::nullopt);
  }
  void see(const std::string& key, const State& state) {
    EXPECT_TRUE(may_be(key, state)) << key << ": " << (state ? "holds what was never stored" : "is gone")
                                    << "; it may be in " << states_.at(key).size() << " states";
    states_[key] = {state};
  }

  // Errors that say: not applied.
  void not_applied(const std::string& what, const Error& error) {
    ++gave_up_;
    EXPECT_TRUE(error.kind() == ErrorKind::retry_later)
        << what << ": " << name_of(error.kind()) << " " << error.message();
  }

  void put_new(const std::string& key, const std::string& text) {
    outcome_of_creation("put_new", key, text, store_.put_new(key, BytesSource(as_bytes(text))));
  }
  void outcome_of_creation(const char* what, const std::string& key, const std::string& text,
                           const Result<std::string>& etag) {
    if (etag) {
      EXPECT_TRUE(may_be(key, std::nullopt)) << what << " " << key << " replaced an object";
      states_[key] = {text};
    } else if (etag.error().kind() == ErrorKind::conflict) {
      EXPECT_TRUE(may_exist(key)) << what << " " << key << ": conflict with nothing: " << etag.error().message();
      states_[key].erase(std::nullopt);
    } else if (etag.error().kind() == ErrorKind::maybe_done || etag.error().kind() == ErrorKind::corrupt) {
      ++gave_up_;
      states_[key].insert(text);
    } else {
      not_applied(what, etag.error());
    }
  }

  void put_if(const std::string& key) {
    const auto head = store_.head(key);
    if (!store_.capabilities().compare_and_swap) return;
    if (!head) {
      if (head.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
      return not_applied("head", head.error());
    }
    states_[key].erase(std::nullopt);
    const std::string text = body(random_.below(2000));
    const auto etag = store_.put_if(key, BytesSource(as_bytes(text)), head->etag);
    if (etag) {
      states_[key] = {text};
    } else if (etag.error().kind() == ErrorKind::maybe_done || etag.error().kind() == ErrorKind::corrupt) {
      ++gave_up_;
      states_[key].insert(text);
    } else if (store_.capabilities().compare_and_swap) {
      // Nobody else writes here, so a conflict would be with ourselves.
      not_applied("put_if", etag.error());
    } else {
      EXPECT_EQ(etag.error().kind(), ErrorKind::unsupported) << etag.error().message();
    }
  }

  void remove(const std::string& key) {
    const auto removed = store_.remove(key);
    if (removed) {
      states_[key] = {std::nullopt};
    } else {
      ++gave_up_;
      EXPECT_TRUE(removed.error().kind() == ErrorKind::retry_later || removed.error().kind() == ErrorKind::maybe_done)
          << removed.error().message();
      states_[key].insert(std::nullopt);
    }
  }

  void upload(const std::string& key) {
    const auto id = store_.begin_upload(key);
    if (!id) return failed("begin_upload", id.error());
    const std::string one = body(kPart), two = body(random_.below(1000));
    std::vector<PartInfo> parts;
    for (const std::string& text : {one, two}) {
      const auto part = store_.put_part(key, *id, static_cast<int>(parts.size()) + 1, BytesSource(as_bytes(text)));
      if (!part) {
        failed("put_part", part.error());
        return give_up(key, *id);
      }
      parts.push_back(*part);
    }
    const auto listed = store_.list_parts(key, *id);
    if (listed) {
      ASSERT_EQ(listed->size(), parts.size()) << key << ": a part that was acknowledged is not listed";
      for (std::size_t i = 0; i < parts.size(); ++i) EXPECT_EQ((*listed)[i].etag, parts[i].etag) << key;
    } else {
      failed("list_parts", listed.error());
    }
    complete(key, *id, parts, one + two);
  }
  void complete(const std::string& key, const std::string& id, const std::vector<PartInfo>& parts,
                const std::string& text) {
    const auto etag = store_.complete_new(key, id, parts);
    // An upload can expire at any moment.
    if (!etag && etag.error().kind() == ErrorKind::not_found) return;
    outcome_of_creation("complete_new", key, text, etag);
    if (!etag) give_up(key, id);
  }

  void see_answer(const char* what, const std::string& key, const Result<Object>& object) {
    if (object) return see(key, std::string(as_text(object->bytes)));
    if (object.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
    not_applied(what, object.error());
  }

  void head(const std::string& key) {
    const auto info = store_.head(key);
    if (!info && info.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
    if (!info) return not_applied("head", info.error());
    std::erase_if(states_[key], [&](const State& state) { return !state || state->size() != info->size_bytes; });
    EXPECT_FALSE(states_[key].empty()) << key << ": is as long as nothing that was stored";
  }

  void remove_many() {
    std::vector<std::string> keys;
    for (auto& [key, states] : states_) {
      if (random_.chance(1, 2)) keys.push_back(key);
    }
    const auto left = store_.remove_many(keys);
    if (!left) {
      ++gave_up_;
      EXPECT_TRUE(may_have_been(left.error())) << left.error().message();
      for (const std::string& key : keys) states_[key].insert(std::nullopt);
      return;
    }
    for (const std::string& key : keys) {
      const auto named = std::ranges::find(*left, key, &NotRemoved::key);
      if (named == left->end()) {
        states_[key] = {std::nullopt};
      } else {
        ++gave_up_;
        EXPECT_TRUE(may_have_been(named->error)) << named->error.message();
        states_[key].insert(std::nullopt);
      }
    }
  }
  static bool may_have_been(const Error& error) {
    return error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
  }

  // Of an object that is known, into a new one.
  void copy(const std::string& key) {
    for (const auto& [source, states] : states_) {
      if (source == key || states.size() != 1 || !*states.begin()) continue;
      const std::string text = **states.begin();
      const auto id = store_.begin_upload(key);
      if (!id) return failed("begin_upload", id.error());
      const auto part = store_.copy_part(key, *id, 1, source, 0, text.size());
      if (part) return complete(key, *id, {*part}, text);
      failed("copy_part", part.error());
      return give_up(key, *id);
    }
  }

  void list_uploads() {
    const std::string prefix = "w" + std::to_string(number_) + "/";
    const auto uploads = store_.list_uploads(prefix);
    if (!uploads) return not_applied("list_uploads", uploads.error());
    for (const UploadInfo& upload : *uploads) EXPECT_TRUE(upload.key.starts_with(prefix)) << upload.key;
  }

  // Of what an upload is made: without an effect that anybody would see.
  void failed(const char* what, const Error& error) {
    ++gave_up_;
    const ErrorKind kind = error.kind();
    EXPECT_TRUE(may_have_been(error) || kind == ErrorKind::corrupt || kind == ErrorKind::unsupported ||
                kind == ErrorKind::not_found)
        << what << ": " << name_of(kind) << " " << error.message();
  }
  void give_up(const std::string& key, const std::string& id) {
    const auto aborted = store_.abort_upload(key, id);
    EXPECT_TRUE(aborted || may_have_been(aborted.error())) << aborted.error().message();
  }

  void list() {
    const std::string prefix = "w" + std::to_string(number_) + "/";
    std::set<std::string> keys;
    for (std::string after;;) {
      const auto page = store_.list(prefix, after, static_cast<int>(random_.below(4)));
      if (!page) return not_applied("list", page.error());
      for (const ObjectInfo& object : page->objects) keys.insert(object.key);
      if (!page->more) break;
      ASSERT_FALSE(page->objects.empty());
      after = page->objects.back().key;
    }
    for (auto& [key, states] : states_) {
      if (keys.contains(key)) {
        EXPECT_TRUE(may_exist(key)) << key << " is listed, and was never stored";
        states.erase(std::nullopt);
      } else {
        see(key, std::nullopt);
      }
    }
  }

  Store& store_;
  const int number_;
  SeededRandom random_;
  std::map<std::string, std::set<State>> states_;
  int gave_up_ = 0;
};

struct Case {
  std::string dialect;
  int per_mille;
  twin::Tls tls;
};

// More of them are tried with CAIRN_SEEDS=1000.
std::uint64_t seeds() {
  const char* more = std::getenv("CAIRN_SEEDS");
  return more == nullptr ? 3 : std::strtoull(more, nullptr, 10);
}

Result<std::string> upload(Store& store, const std::string& key, const Source& body) {
  CAIRN_ASSIGN(const std::string id, store.begin_upload(key));
  CAIRN_ASSIGN(const PartInfo part, store.put_part(key, id, 1, body));
  return store.complete_new(key, id, {&part, 1});
}

// Stores on which many may write at once, and all of them.
class FaultyTwin : public ::testing::TestWithParam<Case> {};
class FaultyStore : public ::testing::TestWithParam<Case> {};

TwinStoreOptions small_parts(const Case& one) {
  TwinStoreOptions options;
  options.twin.dialect = *twin::dialect_named(one.dialect);
  options.twin.tls = one.tls;
  options.twin.min_part_bytes = kPart;
  // What they lack is asked for only of who says that nobody else writes.
  const bool lacks_conditions =
      one.dialect.starts_with("swift") || one.dialect == "b2" || one.dialect == "nothing";
  options.s3.accept_single_writer = lacks_conditions;
  options.large = {4, 2 * kPart, 2 * kPart, kPart, kPart};
  options.retry.breaker.failures = 1'000'000;  // its time would be real time
  return options;
}

void set_faults(twin::Twin& twin, std::uint64_t seed, int per_mille, const std::vector<twin::Fault>& without = {}) {
  twin::FaultPlan plan;
  plan.seed = seed;
  plan.per_mille = per_mille;
  std::erase(plan.faults, twin::Fault::flipped);  // a store cannot see it; segments can
  std::erase_if(plan.faults, [&](twin::Fault fault) { return std::ranges::find(without, fault) != without.end(); });
  twin.set_faults(plan);
}

bool is_open(const Error& error) {
  return error.kind() == ErrorKind::maybe_done || error.kind() == ErrorKind::corrupt;
}

TEST_P(FaultyStore, NothingIsLostDoubledOrMadeUp) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    TwinStore on(small_parts(GetParam()));
    ASSERT_TRUE(on.requests->ready_to_write());
    set_faults(on.twin, seed, GetParam().per_mille);

    std::vector<Worker> workers;
    for (int i = 0; i < 3; ++i) workers.emplace_back(*on.store, i, seed);
    std::vector<std::thread> threads;
    for (Worker& worker : workers) threads.emplace_back([&] { worker.work(60); });
    for (std::thread& thread : threads) thread.join();

    set_faults(on.twin, seed, 0);
    int gave_up = 0;
    for (Worker& worker : workers) {
      worker.check_all();
      gave_up += worker.gave_up();
    }
    // What was begun and never ended can be found, and ended.
    const auto uploads = on.store->list_uploads("");
    ASSERT_TRUE(uploads) << uploads.error().message();
    for (const UploadInfo& upload : *uploads) EXPECT_TRUE(on.store->abort_upload(upload.key, upload.upload_id));
    for (const std::string& key : on.twin.upload_keys("bucket")) {
      // A trial of what the store can do; a process of an hour later ends it (UploadsLeftBehind).
      EXPECT_EQ(key, ".cairn-probe");
    }
    EXPECT_TRUE(on.twin.counts().all_faults() > 0 || GetParam().per_mille < 100);
    EXPECT_TRUE(gave_up == 0 || GetParam().per_mille > 0 || GetParam().dialect == "nothing");
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

Result<PartInfo> until_done(const std::function<Result<PartInfo>()>& call) {
  for (int i = 0;; ++i) {
    auto part = call();
    if (part || part.error().kind() == ErrorKind::not_found || i == 20) return part;
    EXPECT_NE(part.error().kind(), ErrorKind::conflict) << part.error().message();
  }
}

// Of what is given, 201 parts; all of them listed; the object is whole, or there is none.
TEST_P(FaultyStore, AnUploadOf201PartsIsWholeOrNothing) {
  constexpr int kParts = 201;
  constexpr std::size_t kSmall = 1024;
  TwinStoreOptions options = small_parts(GetParam());
  options.twin.min_part_bytes = kSmall;
  options.twin.max_page = 50;
  TwinStore on(options);
  ASSERT_TRUE(on.requests->ready_to_write());
  SeededRandom bytes(GetParam().per_mille + 1);
  std::string all(kParts * kSmall, '\0');
  for (char& c : all) c = static_cast<char>(bytes.next());
  // An upload of so many requests would hardly ever outlive what makes it expire: WhatExpired... is about that.
  set_faults(on.twin, 1, GetParam().per_mille, {twin::Fault::expired_upload, twin::Fault::conflict});

  Result<std::string> etag = Error(ErrorKind::cancelled, "not tried");
  std::string id;
  for (int tries = 0; tries < 20 && id.empty(); ++tries) id = on.store->begin_upload("big").value_or("");
  ASSERT_FALSE(id.empty());
  for (int number = 1; number <= kParts; ++number) {
    const std::string_view part = std::string_view(all).substr((number - 1) * kSmall, kSmall);
    const auto put = until_done([&] { return on.store->put_part("big", id, number, BytesSource(as_bytes(part))); });
    ASSERT_TRUE(put) << number << ": " << put.error().message();
  }
  Result<std::vector<PartInfo>> listed = Error(ErrorKind::cancelled, "not tried");
  for (int tries = 0; tries < 20 && !listed; ++tries) listed = on.store->list_parts("big", id);
  ASSERT_TRUE(listed) << listed.error().message();
  ASSERT_EQ(listed->size(), static_cast<std::size_t>(kParts));
  for (int tries = 0; tries < 20 && !etag; ++tries) {
    etag = on.store->complete_new("big", id, *listed);
    const auto there = on.twin.text_of("bucket", "big");
    EXPECT_TRUE(!there || *there == all) << "it holds something else";
    EXPECT_TRUE(!etag || there) << "told that it is there";
    // Where no token tells, or the answer was lost twice, it may be called somebody's: it must be there then.
    if (!etag && (etag.error().kind() == ErrorKind::conflict || etag.error().kind() == ErrorKind::not_found)) {
      ASSERT_TRUE(there) << name_of(etag.error().kind()) << " " << etag.error().message();
      break;
    }
    EXPECT_TRUE(etag || etag.error().kind() == ErrorKind::retry_later || is_open(etag.error()))
        << name_of(etag.error().kind()) << " " << etag.error().message();
  }
  set_faults(on.twin, 1, 0);
  const auto object = on.store->get("big");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_TRUE(as_text(object->bytes) == all);
}

// Writers that race for one key, small objects and large ones: at most one is told that it won, and what lies there
// is its.
TEST_P(FaultyTwin, OfManyWritersAtMostOneWins) {
  constexpr int kWriters = 4;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    TwinStore on(small_parts(GetParam()));
    ASSERT_TRUE(on.requests->ready_to_write());
    set_faults(on.twin, seed, GetParam().per_mille);
    for (int round = 0; round < 6; ++round) {
      const std::string key = "race/" + std::to_string(round);
      const bool uploads = round % 2 == 1;
      std::vector<std::string> texts;
      std::vector<Result<std::string>> outcomes(kWriters, Result<std::string>(Error(ErrorKind::cancelled, "")));
      std::vector<std::thread> writers;
      for (int i = 0; i < kWriters; ++i) texts.push_back(std::string(5000, static_cast<char>('a' + i)));
      for (int i = 0; i < kWriters; ++i) {
        writers.emplace_back([&, i] {
          const BytesSource body(as_bytes(texts[static_cast<std::size_t>(i)]));
          outcomes[static_cast<std::size_t>(i)] =
              uploads ? upload(*on.store, key, body) : on.store->put_new(key, body);
        });
      }
      for (std::thread& writer : writers) writer.join();

      const auto there = on.twin.text_of("bucket", key);
      int winners = 0, open = 0, refused = 0;
      for (int i = 0; i < kWriters; ++i) {
        const auto& outcome = outcomes[static_cast<std::size_t>(i)];
        const bool its = there && *there == texts[static_cast<std::size_t>(i)];
        winners += outcome ? 1 : 0;
        open += !outcome && is_open(outcome.error()) ? 1 : 0;
        refused += !outcome && outcome.error().kind() == ErrorKind::conflict ? 1 : 0;
        EXPECT_TRUE(!outcome || its) << key << ": told that it won, but another's lies there";
        EXPECT_TRUE(outcome || is_open(outcome.error()) || !its)
            << key << ": won, and told " << outcome.error().message();
      }
      EXPECT_LE(winners, 1) << key;
      // A completion may lose to a claim whose holder then fails: then nobody wins.
      EXPECT_TRUE(winners + open > 0 || refused == 0 || uploads) << key << ": all refused, and nothing there";
      EXPECT_TRUE(there || winners == 0) << key;
    }
    if (HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

// A counter that many increase by compare-and-swap: every increase that was told as done counts, and no other but
// those that may have been done.
TEST_P(FaultyTwin, NoIncreaseIsLostOrDoubled) {
  constexpr int kWriters = 3, kEach = 12;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    TwinStore on(small_parts(GetParam()));
    ASSERT_TRUE(on.store->put_new("count", BytesSource(as_bytes("0"))));
    set_faults(on.twin, seed, GetParam().per_mille);
    std::atomic<int> done = 0, open = 0;
    std::vector<std::thread> writers;
    for (int i = 0; i < kWriters; ++i) {
      writers.emplace_back([&] {
        for (int n = 0; n < kEach; ++n) {
          const auto now = on.store->get("count");
          if (!now) continue;
          const std::string next = std::to_string(std::stoi(std::string(as_text(now->bytes))) + 1);
          const auto put = on.store->put_if("count", BytesSource(as_bytes(next)), now->info.etag);
          if (put) ++done;
          if (!put && is_open(put.error())) ++open;
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
    const int count = std::stoi(*on.twin.text_of("bucket", "count"));
    EXPECT_GE(count, done) << "seed " << seed;
    EXPECT_LE(count, done + open) << "seed " << seed;
    if (HasFailure()) return;
  }
}

// The trial of a process that died: whoever completes an upload an hour later ends it.
TEST(UploadsLeftBehind, OldTrialsAreEndedByALaterProcess) {
  TwinStore on(small_parts({"aws", 0, twin::Tls::off}));
  const std::string text(4 * kPart, 't');
  ASSERT_TRUE(on.store->put_new("first", BytesSource(as_bytes("x"))));
  on.twin.set_denied({twin::Operation::abort_upload});
  ASSERT_TRUE(on.store->put_new("second", BytesSource(as_bytes(text))));
  ASSERT_EQ(on.twin.upload_keys("bucket"), (std::vector<std::string>{".cairn-probe"}));
  on.twin.set_denied({});
  const auto complete_with_a_new_store = [&](const std::string& key) {
    S3Store later(on.requests->client().settings(),
                  S3Parts{*on.http, *on.credentials, on.clock, on.random, on.http.get()});
    ASSERT_TRUE(later.ready_to_write());
    ASSERT_TRUE(later.learn_complete()) << key;
  };
  complete_with_a_new_store("soon");
  EXPECT_EQ(on.twin.upload_count("bucket"), 1u) << "it may be under way still";
  on.twin.set_clock_offset_ms(2 * 3'600'000);
  complete_with_a_new_store("later");
  EXPECT_EQ(on.twin.upload_count("bucket"), 0u);
}

void PrintTo(const Case& one, std::ostream* out) { *out << one.dialect << " " << one.per_mille; }

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return info.param.dialect + "_" + std::to_string(info.param.per_mille) +
         (info.param.tls == twin::Tls::off ? "" : "_tls");
}

// Every rate where all works and where most differs, and every way in which stores are known to differ at one rate.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* dialect : {"aws", "ceph16"}) {
    for (const int per_mille : {0, 10, 100, 300}) cases.push_back({dialect, per_mille, twin::Tls::off});
  }
  for (const char* dialect : {"ceph20", "swift230", "swift238", "r2", "minio", "b2", "nothing"}) {
    cases.push_back({dialect, 100, twin::Tls::off});
  }
  for (const char* dialect : {"aws", "ceph20", "swift238", "r2"}) cases.push_back({dialect, 100, twin::Tls::good});
  return cases;
}

// Where conditions hold for many at once.
std::vector<Case> cases_of_many() {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [](const Case& one) {
    return one.dialect.starts_with("swift") || one.dialect == "b2" || one.dialect == "nothing";
  });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Rates, FaultyStore, ::testing::ValuesIn(all_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Rates, FaultyTwin, ::testing::ValuesIn(cases_of_many()), case_name);

}  // namespace
}  // namespace cairn::s3
