#include "s3/s3_store.h"

#include <fmt/format.h>

#include <utility>

#include "s3/answers.h"
#include "store/key.h"

namespace cairn::s3 {

S3Store::S3Store(Settings settings, S3Parts parts, const Dialect& known)
    : client_(std::move(settings), parts.http, parts.credentials, parts.clock),
      learned_(parts.dialect ? std::move(parts.dialect) : std::make_shared<LearnedDialect>(known)),
      dialect_(*learned_),
      usage_(parts.usage),
      random_(parts.random) {}

std::string S3Store::url() const { return client_.settings().location.url(); }

StoreCapabilities S3Store::capabilities() const {
  const Dialect dialect = dialect_.now();
  const auto works = [](Condition condition) {
    return condition == Condition::unknown || condition == Condition::honoured;
  };
  const bool single_writer = client_.settings().location.options.accept_single_writer;
  StoreCapabilities can;
  can.create_only = works(dialect.put_new);
  // With a single writer, looking first is as good.
  can.compare_and_swap = works(dialect.put_if) || single_writer;
  can.copy_part = dialect.copies_parts;
  can.max_parts = dialect.max_parts;
  can.leaves_out_parts = false;  // Ceph 16 wants every part that was put to be named
  return can;
}

StoreStatus S3Store::status() const {
  StoreStatus status;
  if (usage_ != nullptr) status.usage = usage_->usage();
  status.service = client_.endpoint().authority();
  return status;
}

std::string S3Store::full_key(std::string_view key) const {
  return client_.settings().location.prefix + std::string(key);
}

std::string_view S3Store::key_of(std::string_view full) const {
  const std::string& prefix = client_.settings().location.prefix;
  return full.starts_with(prefix) ? full.substr(prefix.size()) : std::string_view();
}

Result<void> S3Store::check_length(std::string_view key) const {
  const std::size_t size = client_.settings().location.prefix.size() + key.size();
  if (size <= kMaxKeyBytes) return {};
  return Error(ErrorKind::invalid,
               fmt::format("'{}' cannot be a key: with the prefix of {} it has {} bytes, and S3 takes "
                           "{}",
                           key, url(), size, kMaxKeyBytes));
}

std::string S3Store::new_token() {
  MutexLock lock(random_mutex_);
  return random_.id().hex();
}

}  // namespace cairn::s3
