// One large object up or down, by Cairn's store and by libcurl alone: both sides of a comparison, each a process of its
// own, so that what the kernel says of memory and CPU is of one side only.
//
// This is a benchmark, not the product: what goes wrong is printed, and the program ends with status 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bench {

struct Job {
  std::string endpoint;   // "http://127.0.0.1:PORT", of the twin
  std::string ca_bundle;  // over https
  std::string access_key = "twin-access-key", secret_key = "twin-secret-key";
  std::string key;  // of the object
  std::uint64_t size_bytes = 1 << 30;
  std::uint64_t piece_bytes = 8 << 20;  // what one request of a get moves
  int connections = 8;
  bool keeps = false;  // what Cairn has put, for a get
  bool hashes_within = false;  // libcurl's side of a put over http: while the clock runs
};

// What a transfer took. Before it begins a piece has gone over every connection: they are open, memory is at hand, and
// what a store learns once in its life is known.
struct Taken {
  double seconds = 0, cpu_seconds = 0;
  std::uint64_t moved_bytes = 0;
};

Taken put_by_cairn(const Job& job);
Taken get_by_cairn(const Job& job);
Taken put_by_curl(const Job& job);
Taken get_by_curl(const Job& job);

// What comes is put into memory, as if it were used: always the same.
class Received {
 public:
  void add(std::span<const std::byte> piece);
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::vector<std::byte> place_ = std::vector<std::byte>(1 << 20);
  std::uint64_t bytes_ = 0;
};

[[noreturn]] void die(const std::string& message);

// What is sent, again and again: bytes that do not compress.
const std::vector<char>& filler();

// Runs from its construction on.
class Meter {
 public:
  Meter();
  Taken taken(std::uint64_t moved_bytes) const;

 private:
  double wall_s_, cpu_s_;
};

}  // namespace bench
