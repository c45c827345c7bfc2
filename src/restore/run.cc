// A restore, from top to bottom: look at the place, plan, open and check the chain, decide where each page comes from,
// copy what an old file has, fetch the rest, compare the whole with the database hash, put it in place. Up to the last
// step nothing but a temporary file is touched. When an object of the plan is gone (somebody prunes), the plan is made
// again from a fresh list; so it is, without it, when one is damaged (damage.h).

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "cairn/restore.h"
#include "restore/chain.h"
#include "restore/damage.h"
#include "restore/fetch.h"
#include "restore/metadata.h"
#include "restore/output.h"
#include "restore/pages.h"
#include "restore/replan.h"
#include "restore/replica.h"
#include "restore/watched_store.h"

namespace cairn {
namespace restore {
namespace {

RestorePointInfo point_info(const segment::RestorePoint& point, const segment::Footer& footer,
                            const StoredObject& object) {
  return {point.sequence.value, point.time_ms,   point.page_count,  footer.page_size,
          point.hash_after,     object.name.key, object.size_bytes, object.name.kind == segment::KeyKind::snapshot};
}

RestorePlan plan_of(const std::vector<StoredObject>& cover, const Id128& lineage, RestorePointInfo point) {
  RestorePlan plan;
  plan.lineage = lineage.hex();
  plan.point = std::move(point);
  for (const StoredObject& object : cover) {
    plan.objects.push_back({object.name.key, object.size_bytes, object.name.kind == segment::KeyKind::snapshot,
                            object.name.first.value, object.name.last.value});
    plan.size_bytes += object.size_bytes;
  }
  return plan;
}

void tell(RestorePlan& plan, const Damage& damage) {
  for (const auto& [key, problem] : damage) plan.damaged.push_back({key, problem});
}

// The old file, when its pages can be the new one's: a SQLite database with the same page size.
Result<std::unique_ptr<File>> usable_base(Output& output, std::uint32_t page_size) {
  CAIRN_ASSIGN(std::unique_ptr<File> file, output.open_existing());
  if (!file) return file;
  std::array<std::byte, 18> header{};
  CAIRN_ASSIGN(const std::size_t got, file->read_at(0, header));
  const std::uint32_t stored = load_be16(header.data() + 16);
  if (got < header.size() || (stored == 1 ? 65536 : stored) != page_size) file.reset();
  return file;
}

class Run {
 public:
  Run(Store& store, std::string_view replica, const RestoreOptions& options, Output& output, Executor& executor)
      : store_(store), replica_(replica), options_(options), output_(output), executor_(executor) {}

  // Everything but putting the file in place.
  Result<RestoreResult> attempt(WatchedStore& store, const Damage& damage) {
    CAIRN_ASSIGN(const Planned planned, make_plan(store, replica_, options_.target, damage, executor_));
    CAIRN_ASSIGN(const Chain chain, with_claimed_lineage(store_, replica_, [&](const std::optional<Id128>& claimed) {
      return open_chain(store, planned.cover, planned.target, claimed, Wanted::pages, executor_);
    }));
    CAIRN_ASSIGN(Selection selection, select_pages(chain));
    RestoreResult result;
    result.size_bytes = std::uint64_t{chain.point.page_count} * chain.page_size;
    CAIRN_TRY(output_.begin(result.size_bytes));
    PageTotals totals;
    if (options_.base == Base::existing) CAIRN_TRY(reuse(chain, selection, totals));
    result.reused_pages = totals.pages;
    CAIRN_ASSIGN(const std::vector<BlockRange> ranges, group_blocks(chain, selection, executor_.width()));
    CAIRN_TRY(fetch_pages(chain, selection, ranges, output_.file(), executor_, totals,
                          {options_.progress, options_.stop}));
    CAIRN_TRY(check_whole(chain, totals));
    const ChainLink& last = chain.links.back();
    result.plan = plan_of(planned.cover, chain.lineage, point_info(chain.point, last.footer(), last.object));
    result.fetched_bytes = store.fetched_bytes();
    result.requests = store.requests();
    return result;
  }

 private:
  Result<void> reuse(const Chain& chain, Selection& selection, PageTotals& totals) {
    CAIRN_ASSIGN(const std::unique_ptr<File> existing, usable_base(output_, chain.page_size));
    if (!existing) return {};
    return reuse_pages(chain, selection, *existing, output_.file(), executor_, totals, options_.stop);
  }

  // The last proof: page by page is right, and together they are the state that was published.
  static Result<void> check_whole(const Chain& chain, const PageTotals& totals) {
    if (totals.hash == chain.point.hash_after) return {};
    return Error(ErrorKind::corrupt,
                 fmt::format("the pages of sequence {} do not add up to its database hash: an object of the chain up "
                             "to {} is not what was published; 'cairn verify' finds it", chain.point.sequence.value,
                             chain.links.back().object.name.key));
  }

  Store& store_;
  const std::string_view replica_;
  const RestoreOptions& options_;
  Output& output_;
  Executor& executor_;
};

}  // namespace
}  // namespace restore

Result<RestorePlan> plan_restore(Store& store, std::string_view replica, const RestoreTarget& target,
                                 Executor* executor) {
  using namespace restore;
  InlineExecutor inline_executor;
  Executor& pool = executor != nullptr ? *executor : inline_executor;
  Damage damage;
  const auto attempt = [&](WatchedStore& watched) -> Result<RestorePlan> {
    CAIRN_ASSIGN(const Planned planned, make_plan(watched, replica, target, damage, pool));
    // The two ends of the chain are opened: they say what the state is, and whose.
    std::vector<StoredObject> ends{planned.cover.front()};
    CAIRN_TRY(with_claimed_lineage(store, replica, [&](const std::optional<Id128>& claimed) {
      return open_chain(watched, ends, ends.front().name.last, claimed, Wanted::indexes, pool);
    }));
    CAIRN_ASSIGN(auto last, segment::ObjectReader::open(watched, planned.cover.back().name.key));
    for (const segment::RestorePoint& point : last->footer().points) {
      if (point.sequence != planned.target) continue;
      return plan_of(planned.cover, last->footer().lineage, point_info(point, last->footer(), planned.cover.back()));
    }
    return Error(ErrorKind::corrupt, fmt::format("{} does not hold sequence {} although its name says so",
                                                 planned.cover.back().name.key, planned.target.value));
  };
  auto plan = with_replans<RestorePlan>(store, damage, attempt);
  if (!plan) return plan.error().with(location(store, replica));
  tell(*plan, damage);
  return plan;
}

Result<RestoreResult> run_restore(Store& store, std::string_view replica, const std::string& output,
                                  const RestoreOptions& options, FileSystem& files, Executor& executor) {
  using namespace restore;
  CAIRN_ASSIGN(const std::unique_ptr<Output> place, Output::prepare(output, options, files));
  Run run(store, replica, options, *place, executor);
  Damage damage;
  auto result = with_replans<RestoreResult>(store, damage, [&](WatchedStore& watched) {
    return run.attempt(watched, damage);
  });
  if (!result) return result.error().with(location(store, replica));
  tell(result->plan, damage);
  if (options.stop.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
  CAIRN_TRY(place->commit());
  return result;
}

}  // namespace cairn
