// A store whose requests fail in many ways at once, and at every rate: what it says must be true of what lies there.
// In the end the faults stop, and everything is read back. (Each way by itself: each_fault_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "s3_store/twin_store.h"
#include "s3_store/worker.h"

namespace cairn::s3 {
namespace {

struct FaultCase {
  std::string dialect;
  int per_mille;
  twin::Tls tls;
};

// More of them are tried with CAIRN_SEEDS=1000.
std::uint64_t seeds(const FaultCase& one) {
  if (const char* more = std::getenv("CAIRN_SEEDS")) return std::strtoull(more, nullptr, 10);
  return one.dialect == "aws" || one.dialect == "ceph16" ? 3 : 1;
}

Result<std::string> upload(Store& store, const std::string& key, const Source& body) {
  CAIRN_ASSIGN(const std::string id, store.begin_upload(key));
  CAIRN_ASSIGN(const PartInfo part, store.put_part(key, id, 1, body));
  return store.complete_new(key, id, {&part, 1});
}

// Stores on which many may write at once, and all of them.
class FaultyTwin : public ::testing::TestWithParam<FaultCase> {};
class FaultyStore : public ::testing::TestWithParam<FaultCase> {};

TwinStoreOptions over(const FaultCase& one) { return small_parts(one.dialect, one.tls); }

void set_faults(twin::Twin& twin, std::uint64_t seed, int per_mille, const std::vector<twin::Fault>& without = {}) {
  twin::FaultPlan plan;
  plan.seed = seed;
  plan.per_mille = per_mille;
  std::erase(plan.faults, twin::Fault::flipped);  // what a worker makes of it: each_fault_test.cc
  std::erase_if(plan.faults, [&](twin::Fault fault) { return std::ranges::find(without, fault) != without.end(); });
  twin.set_faults(plan);
}

bool is_open(const Error& error) {
  return error.kind() == ErrorKind::maybe_done || error.kind() == ErrorKind::corrupt;
}

TEST_P(FaultyStore, NothingIsLostDoubledOrMadeUp) {
  for (std::uint64_t seed = 1; seed <= seeds(GetParam()); ++seed) {
    TwinStore on(over(GetParam()));
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
  TwinStoreOptions options = over(GetParam());
  options.twin.min_part_bytes = kSmall;
  options.twin.max_page = 50;
  TwinStore on(options);
  ASSERT_TRUE(on.requests->ready_to_write());
  const std::string all = SeededRandom(GetParam().per_mille + 1).bytes(kParts * kSmall);
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
  for (std::uint64_t seed = 1; seed <= seeds(GetParam()); ++seed) {
    TwinStore on(over(GetParam()));
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
  for (std::uint64_t seed = 1; seed <= seeds(GetParam()); ++seed) {
    TwinStore on(over(GetParam()));
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
  TwinStore on(small_parts("aws", twin::Tls::off));
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

void PrintTo(const FaultCase& one, std::ostream* out) { *out << one.dialect << " " << one.per_mille; }

std::string case_name(const ::testing::TestParamInfo<FaultCase>& info) {
  return info.param.dialect + "_" + std::to_string(info.param.per_mille) +
         (info.param.tls == twin::Tls::off ? "" : "_tls");
}

// Every rate on every kind of store.
std::vector<FaultCase> all_cases() {
  std::vector<FaultCase> cases;
  for (const char* dialect : {"aws", "ceph16", "ceph20", "swift230", "swift238", "r2", "minio", "b2", "nothing"}) {
    for (const int per_mille : {0, 10, 100, 300}) cases.push_back({dialect, per_mille, twin::Tls::off});
  }
  for (const char* dialect : {"aws", "ceph20", "swift238", "r2"}) cases.push_back({dialect, 100, twin::Tls::good});
  return cases;
}

// Where conditions hold for many at once.
std::vector<FaultCase> cases_of_many() {
  std::vector<FaultCase> cases = all_cases();
  std::erase_if(cases, [](const FaultCase& one) {
    return one.dialect.starts_with("swift") || one.dialect == "b2" || one.dialect == "nothing";
  });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Rates, FaultyStore, ::testing::ValuesIn(all_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Rates, FaultyTwin, ::testing::ValuesIn(cases_of_many()), case_name);

}  // namespace
}  // namespace cairn::s3
