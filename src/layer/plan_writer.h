// Filling a plan: for the scan only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "layer/catalogue.h"
#include "layer/plan.h"
#include "sqlite/local_database.h"

namespace cairn::layer {

// Writes nothing, and begins no transaction, before the first row. Its end without finish() is a rollback.
class PlanWriter {
 public:
  // keep: stamps are noted, but no plan is made (ScanGoal::look).
  enum class Making { plan, nothing };
  PlanWriter(Catalogue& catalogue, Making making) : catalogue_(catalogue), making_(making) {}
  ~PlanWriter();
  PlanWriter(const PlanWriter&) = delete;
  PlanWriter& operator=(const PlanWriter&) = delete;

  bool has_rows() const { return rows_ > 0; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t bytes() const { return bytes_; }

  // A put of the same name replaces it, and keeps what is forgotten.
  Result<void> put(const PlanRow& row);
  Result<void> whiteout(std::string_view key, Mark mark);
  Result<void> opaque(std::string_view directory_key, Mark mark);
  // `directory` has to be put (again, or for this alone), with one more forgotten name.
  Result<void> forget(const PlanRow& directory, std::string_view name);
  Result<bool> has(std::string_view key);
  // The name's contents are as they were, under a new stamp.
  Result<void> note_stamp(const CatalogueRow& row);

  // Commits. Without a row there is no plan, and one of before stays.
  Result<void> finish(SyncKind kind, std::int64_t began_ms, std::uint64_t sockets);

 private:
  Result<void> begin();
  Result<void> begin_plan();
  Result<void> add(const PlanRow& row);

  Catalogue& catalogue_;
  Making making_;
  bool begun_ = false, plan_begun_ = false, finished_ = false;
  std::uint64_t rows_ = 0, bytes_ = 0;
  sqlite::Statement insert_, forget_, find_, stamp_;
};

}  // namespace cairn::layer
