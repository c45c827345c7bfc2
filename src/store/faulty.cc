#include "store/faulty.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "store/around.h"

namespace cairn {

namespace {

constexpr int kDefaultPage = 1000;

enum class Fault { none, before, after, lost, denied };

class FaultyStore final : public StoreAround<FaultyStore> {
 public:
  FaultyStore(Store& inner, FaultPlan& plan, SeededRandom& random) : inner_(inner), plan_(plan), random_(random) {}

  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& about, const Call& call) -> decltype(call()) {
    return run(about.operation, about.key, call);
  }

  Result<std::string> put_new(std::string_view key, const Source& body) override {
    return run(Operation::put_new, key, [&] { return made(key, inner_.put_new(key, body)); });
  }
  Result<std::string> put_new_beside(std::string_view key, const Source& body, const Beside& beside) override {
    return run(Operation::put_new, key, [&] { return made(key, inner_.put_new_beside(key, body, beside)); });
  }
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    return run(Operation::get, key, [&] { return spoil(inner_.get(key, offset, length)); });
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    return run(Operation::get_suffix, key, [&] { return spoil(inner_.get_suffix(key, length)); });
  }
  // Each piece of it may be struck.
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override {
    return Store::read(key, offset, length, take);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return run(Operation::list, prefix, [&] { return list_visible(prefix, start_after, limit); });
  }
  // What befalls the call, and then each of the keys: an answer that names some of them.
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    const std::string about = keys.empty() ? std::string() : keys.front() + ", ...";
    return run(Operation::remove_many, about, [&]() -> Result<std::vector<NotRemoved>> {
      std::vector<std::string> wanted;
      std::vector<NotRemoved> failed;
      for (const std::string& key : keys) {
        auto fault = run(Operation::remove_many, key, [&]() -> Result<void> {
          wanted.push_back(key);
          return {};
        });
        if (!fault) failed.push_back({key, fault.error()});
      }
      CAIRN_ASSIGN(std::vector<NotRemoved> left, inner_.remove_many(wanted));
      left.insert(left.end(), failed.begin(), failed.end());
      return left;
    });
  }
  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override {
    return run(Operation::complete_new, key, [&] { return made(key, inner_.complete_new(key, upload_id, parts)); });
  }

 private:
  template <class Call>
  auto run(Operation operation, std::string_view key, Call call) -> decltype(call()) {
    const Fault fault = draw(operation);
    const auto failed = [&](ErrorKind kind, std::string_view why) {
      const ErrorKind seen = kind == ErrorKind::maybe_done && is_read(operation) ? ErrorKind::retry_later : kind;
      return Error(seen, fmt::format("{} of {}: injected: {}", name_of(operation), key, why));
    };
    switch (fault) {
      case Fault::before:
        return failed(ErrorKind::retry_later, "the store is overloaded").after(plan_.retry_after_ms);
      case Fault::lost:
        return failed(ErrorKind::maybe_done, "the connection was lost before the request arrived");
      case Fault::denied:
        return failed(ErrorKind::denied, "access denied");
      case Fault::after: {
        auto done = call();
        if (!done) return done;  // it failed by itself; that answer is as good
        return failed(ErrorKind::maybe_done, "the connection was lost before the answer came");
      }
      case Fault::none:
        break;
    }
    return call();
  }

  Fault draw(Operation operation) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++calls_;
    const FaultRates& rates = plan_.of(operation);
    int drawn = static_cast<int>(random_.below(1000));
    const std::pair<int, Fault> chances[] = {{rates.before, Fault::before},
                                             {rates.after, Fault::after},
                                             {rates.lost, Fault::lost},
                                             {rates.denied, Fault::denied}};
    for (const auto& [rate, fault] : chances) {
      if (drawn < rate) {
        ++plan_.injected;
        return fault;
      }
      drawn -= rate;
    }
    return Fault::none;
  }

  Result<Object> spoil(Result<Object> object) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const int drawn = static_cast<int>(random_.below(1000));
    if (!object || object->bytes.empty() || drawn >= plan_.truncated + plan_.flipped) return object;
    ++plan_.injected;
    const std::size_t at = random_.below(object->bytes.size());
    if (drawn < plan_.truncated) {
      object->bytes.resize(at);
    } else {
      object->bytes[at] ^= std::byte{1} << random_.below(8);
    }
    return object;
  }

  Result<std::string> made(std::string_view key, Result<std::string> result) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (result) made_at_.insert_or_assign(std::string(key), calls_);
    return result;
  }

  bool is_hidden(const std::string& key) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto at = made_at_.find(key);
    return at != made_at_.end() && calls_ - at->second < plan_.hidden_calls;
  }

  // Hidden keys do not count: a page is never empty while there is more.
  Result<ListPage> list_visible(std::string_view prefix, std::string_view start_after, int limit) {
    int most = limit > 0 ? limit : kDefaultPage;
    if (plan_.page_limit > 0) most = std::min(most, plan_.page_limit);
    ListPage visible;
    std::string after(start_after);
    for (;;) {
      CAIRN_ASSIGN(ListPage page, inner_.list(prefix, after, most));
      for (ObjectInfo& object : page.objects) {
        after = object.key;
        if (is_hidden(object.key)) continue;
        if (visible.objects.size() == static_cast<std::size_t>(most)) {
          visible.more = true;
          return visible;
        }
        visible.objects.push_back(std::move(object));
      }
      if (!page.more) return visible;
    }
  }

  Store& inner_;
  FaultPlan& plan_;
  SeededRandom& random_;
  Mutex mutex_;
  std::uint64_t calls_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::uint64_t, std::less<>> made_at_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Store> make_faulty_store(Store& inner, FaultPlan& plan, SeededRandom& random) {
  return std::make_unique<FaultyStore>(inner, plan, random);
}

}  // namespace cairn
