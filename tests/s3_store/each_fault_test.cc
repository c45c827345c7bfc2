// Each way in which the twin fails, by itself, at every rate, on every operation that it can befall: what the store
// says must be true of what lies there.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "s3_store/twin_store.h"
#include "s3_store/worker.h"

namespace cairn::s3 {
namespace {

using twin::Fault;
using twin::Operation;

// What the calls of a store are made of. (Of a bucket itself only something is asked before it is known to be there.)
constexpr std::array kOperations{
    Operation::put_object,    Operation::get_object,      Operation::head_object, Operation::delete_object,
    Operation::delete_objects, Operation::list_objects,   Operation::create_upload, Operation::upload_part,
    Operation::copy_part,     Operation::list_parts,      Operation::list_uploads, Operation::complete_upload,
    Operation::abort_upload,
};

void set_fault(twin::Twin& twin, Fault fault, int per_mille, std::uint64_t seed) {
  twin::FaultPlan plan;
  plan.seed = seed;
  plan.per_mille = per_mille;
  plan.faults = {fault};
  twin.set_faults(plan);
}

// Only over TLS are there checksums to be wrong.
twin::Tls tls_for(Fault fault) { return fault == Fault::wrong_checksum ? twin::Tls::good : twin::Tls::off; }

TwinStoreOptions options_for(Fault fault, const std::string& dialect) {
  TwinStoreOptions options = small_parts(dialect, tls_for(fault));
  if (fault == Fault::stall) options.most_wait_ms = 200;
  options.twin.unguarded_ms = 1;  // nobody races here
  return options;
}

Licence licence_for(Fault fault, twin::Twin& twin) {
  Licence licence;
  licence.strikes = [&twin, fault] { return twin.counts().of(fault); };
  licence.flips = fault == Fault::flipped;
  licence.garbles = fault == Fault::flipped_document;
  if (fault == Fault::stale_list) licence.hidden = [&twin] { return twin.newest_keys_of("bucket"); };
  return licence;
}

// The operations that have been asked for and were not struck, by name.
std::vector<std::string> spared(const twin::Counts& counts, Fault fault) {
  std::vector<std::string> names;
  for (const Operation operation : kOperations) {
    if (!befallen_by(fault).contains(operation)) continue;
    // A burst goes on with what else is asked for.
    const std::uint64_t more = fault == Fault::burst ? counts.of(operation, Fault::slow_down) : 0;
    if (counts.of(operation, fault) + more == 0) names.emplace_back(name_of(operation));
  }
  return names;
}

void expect_all_is_well(TwinStore& on, Worker& worker) {
  on.twin.set_faults({});
  worker.check_all();
  const auto uploads = on.store->list_uploads("");
  ASSERT_TRUE(uploads) << uploads.error().message();
  for (const UploadInfo& upload : *uploads) EXPECT_TRUE(on.store->abort_upload(upload.key, upload.upload_id));
}

using FaultAtRate = std::tuple<Fault, int>;

class EachFault : public ::testing::TestWithParam<FaultAtRate> {};

TEST_P(EachFault, LosesDoublesAndMakesUpNothing) {
  constexpr int kSteps = 60, kMostRounds = 40;
  const auto [fault, per_mille] = GetParam();
  TwinStore on(options_for(fault, "aws"));
  ASSERT_TRUE(on.requests->ready_to_write());
  on.twin.reset_counts();
  set_fault(on.twin, fault, per_mille, 1);
  Worker worker(*on.store, 0, 1, licence_for(fault, on.twin));
  // Until it has struck; at the highest rate, until nothing has been spared.
  const auto has_struck = [&] {
    const twin::Counts counts = on.twin.counts();
    return per_mille < 300 ? counts.of(fault) > 0 : spared(counts, fault).empty();
  };
  for (int round = 0; round < kMostRounds && !HasFailure() && (round == 0 || !has_struck()); ++round) {
    worker.work(kSteps);
  }
  const twin::Counts counts = on.twin.counts();
  for (const Operation operation : kOperations) EXPECT_GT(counts.requests[operation], 0u) << name_of(operation);
  EXPECT_GT(counts.of(fault), 0u);
  if (per_mille >= 300) {
    const std::vector<std::string> names = spared(counts, fault);
    EXPECT_TRUE(names.empty()) << "never struck: " << names.front();
  }
  EXPECT_EQ(counts.all_faults() - counts.of(fault), fault == Fault::burst ? counts.of(Fault::slow_down) : 0u);
  expect_all_is_well(on, worker);
}

INSTANTIATE_TEST_SUITE_P(Twin, EachFault,
                         ::testing::Combine(::testing::ValuesIn(twin::every_fault()), ::testing::Values(10, 100, 300)),
                         [](const auto& one) {
                           return std::string(name_of(std::get<Fault>(one.param))) + "_" +
                                  std::to_string(std::get<int>(one.param));
                         });

// The same on stores that differ, in few steps each.
class EachFaultOn : public ::testing::TestWithParam<const char*> {};

TEST_P(EachFaultOn, LosesDoublesAndMakesUpNothing) {
  constexpr int kSteps = 10, kMostRounds = 20;
  for (const Fault fault : twin::every_fault()) {
    TwinStore on(options_for(fault, GetParam()));
    ASSERT_TRUE(on.requests->ready_to_write());
    on.twin.reset_counts();
    Worker worker(*on.store, 0, 1, licence_for(fault, on.twin));
    set_fault(on.twin, fault, 100, 1);
    worker.work(kSteps);
    set_fault(on.twin, fault, 300, 2);
    for (int round = 0; round < kMostRounds && (round == 0 || on.twin.counts().of(fault) == 0); ++round) {
      worker.work(kSteps);
    }
    // No conditions, no conflicts: after a trial none is sent there.
    const bool is_rare = fault == Fault::conflict && std::string(GetParam()) == "b2";
    EXPECT_TRUE(is_rare || on.twin.counts().of(fault) > 0) << name_of(fault);
    expect_all_is_well(on, worker);
    if (HasFailure()) {
      ADD_FAILURE() << name_of(fault);
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dialects, EachFaultOn,
                         ::testing::Values("ceph16", "ceph20", "swift230", "swift238", "r2", "minio", "b2", "nothing"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace cairn::s3
