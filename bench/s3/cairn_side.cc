// As the product does it: a put of one large object, and ranges read by as many threads as there are connections, which
// is how a restore reads a snapshot.
#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "cairn/store.h"
#include "transfer.h"

namespace bench {

namespace {

class Filler final : public cairn::Source {
 public:
  explicit Filler(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}
  std::uint64_t size_bytes() const override { return size_bytes_; }
  cairn::Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    const std::vector<char>& bytes = filler();
    while (!into.empty()) {
      const std::size_t at = offset % bytes.size(), piece = std::min(into.size(), bytes.size() - at);
      std::memcpy(into.data(), bytes.data() + at, piece);
      into = into.subspan(piece);
      offset += piece;
    }
    return {};
  }

 private:
  const std::uint64_t size_bytes_;
};

void checked(const cairn::Result<void>& result) {
  if (!result) die(result.error().message());
}

template <class T>
T checked(cairn::Result<T> result) {
  if (!result) die(result.error().message());
  return *std::move(result);
}

std::unique_ptr<cairn::Store> open_store_of(const Job& job) {
  cairn::S3Options options;
  options.endpoint = job.endpoint;
  options.ca_bundle = job.ca_bundle;
  options.region = "us-east-1";
  options.access_key_id = job.access_key;
  options.secret_access_key = job.secret_key;
  options.connections = job.connections;
  return checked(cairn::open_store("s3://bucket/", options));
}

// With work for every connection from the first moment on.
void read_all(cairn::Store& store, const Job& job, std::uint64_t size_bytes, std::uint64_t piece_bytes) {
  std::atomic<std::uint64_t> next = 0, moved_bytes = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < job.connections; ++i) {
    threads.emplace_back([&] {
      Received received;
      const auto take = [&](const cairn::ObjectInfo&, cairn::ByteView piece) -> cairn::Result<void> {
        received.add(piece);
        return {};
      };
      for (std::uint64_t at; (at = next.fetch_add(piece_bytes)) < size_bytes;) {
        checked(store.read(job.key, at, std::min(piece_bytes, size_bytes - at), take));
      }
      moved_bytes += received.bytes();
    });
  }
  threads.clear();
  if (moved_bytes != size_bytes) die(fmt::format("{} bytes came instead of {}", moved_bytes.load(), size_bytes));
}

}  // namespace

Taken put_by_cairn(const Job& job) {
  const auto store = open_store_of(job);
  const std::string warm = job.key + "-warm";
  checked(store->put_new(warm, Filler(static_cast<std::uint64_t>(job.connections) * job.piece_bytes + 1)));
  const Meter meter;
  checked(store->put_new(job.key, Filler(job.size_bytes)));
  const Taken taken = meter.taken(job.size_bytes);
  checked(store->remove(warm));
  if (!job.keeps) checked(store->remove(job.key));
  return taken;
}

Taken get_by_cairn(const Job& job) {
  const auto store = open_store_of(job);
  read_all(*store, job, static_cast<std::uint64_t>(job.connections) * job.piece_bytes, job.piece_bytes);
  const Meter meter;
  read_all(*store, job, job.size_bytes, job.piece_bytes);
  return meter.taken(job.size_bytes);
}

}  // namespace bench
