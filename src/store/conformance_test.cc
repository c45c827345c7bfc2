#include "store_conformance_uploads.h"

#include <cstdlib>
#include <filesystem>

#include "base/clock.h"
#include "store/counting.h"
#include "store/directory_store.h"
#include "store/faulty.h"
#include "store/retry.h"

namespace cairn {
namespace {

StoreUnderTest memory() { return {nullptr, make_memory_store()}; }

StoreUnderTest directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "cairn-store-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return {};
  std::shared_ptr<void> environment(new std::string(pattern), [](void* path) {
    std::filesystem::remove_all(*static_cast<std::string*>(path));
    delete static_cast<std::string*>(path);
  });
  auto store = make_directory_store(pattern + "/not/yet/there");
  return store ? StoreUnderTest{environment, std::move(*store)} : StoreUnderTest{};
}

// Decorators that do nothing special change nothing.
struct Decorated {
  std::unique_ptr<Store> inner = make_memory_store();
  FaultPlan plan;
  SeededRandom random{1};
};

StoreUnderTest counted() {
  auto environment = std::make_shared<Decorated>();
  return {environment, std::make_unique<CountingStore>(*environment->inner)};
}

StoreUnderTest faultless() {
  auto environment = std::make_shared<Decorated>();
  return {environment, make_faulty_store(*environment->inner, environment->plan, environment->random)};
}

StoreUnderTest retrying() { return {nullptr, make_retrying_store(make_memory_store())}; }

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance,
                         ::testing::Values(StoreFactory{"memory", memory}, StoreFactory{"directory", directory},
                                           StoreFactory{"counting", counted}, StoreFactory{"faulty", faultless},
                                           StoreFactory{"retrying", retrying}),
                         store_factory_name);

}  // namespace
}  // namespace cairn
