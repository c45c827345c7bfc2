// bench_s3: one transfer, and what it took as one line of JSON.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include "transfer.h"

namespace bench {

namespace {

constexpr const char* kUsage = R"(usage: bench_s3 put|get cairn|curl --endpoint URL [--OPTION VALUE]...

Moves an object to or from the bucket "bucket" of a twin.

--key NAME          of the object: a new one for put, one that was put and kept for get
--keep yes|no       whether what Cairn has put stays (default no)
--mib N             its size (default 1024)
--connections N     (default 8)
--piece-mib N       what a request of Cairn's get asks for (default 8)
--hash before|within  the clock: what libcurl puts over http (default before)
--ca FILE           the certificate to trust, over https
)";

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The most that was ever resident.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  die("the kernel does not tell the peak of memory");
}

Taken run(const std::string& what, const std::string& who, const Job& job) {
  if (what == "put" && who == "cairn") return put_by_cairn(job);
  if (what == "get" && who == "cairn") return get_by_cairn(job);
  if (what == "put" && who == "curl") return put_by_curl(job);
  if (what == "get" && who == "curl") return get_by_curl(job);
  die(kUsage);
}

}  // namespace

void die(const std::string& message) {
  fmt::print(stderr, "bench_s3: {}\n", message);
  std::exit(1);
}

const std::vector<char>& filler() {
  static const std::vector<char> bytes = [] {
    std::vector<char> made(1 << 20);
    std::mt19937_64 random(1);
    for (char& byte : made) byte = static_cast<char>(random());
    return made;
  }();
  return bytes;
}

void Received::add(std::span<const std::byte> piece) {
  while (!piece.empty()) {
    const std::size_t at = bytes_ % place_.size(), size = std::min(piece.size(), place_.size() - at);
    std::memcpy(place_.data() + at, piece.data(), size);
    piece = piece.subspan(size);
    bytes_ += size;
  }
}

Meter::Meter() : wall_s_(seconds_now()), cpu_s_(cpu_seconds_now()) {}

Taken Meter::taken(std::uint64_t moved_bytes) const {
  return {seconds_now() - wall_s_, cpu_seconds_now() - cpu_s_, moved_bytes};
}

}  // namespace bench

int main(int count, char** words) {
  using bench::die;
  if (count < 3 || count % 2 == 0) die(bench::kUsage);
  std::map<std::string, std::string> options;
  for (int i = 3; i < count; i += 2) options[words[i]] = words[i + 1];
  const auto text = [&](const char* name, const std::string& otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second;
  };
  bench::Job job;
  job.endpoint = text("--endpoint", "");
  job.ca_bundle = text("--ca", "");
  job.key = text("--key", "object");
  job.size_bytes = std::stoull(text("--mib", "1024")) << 20;
  job.piece_bytes = std::stoull(text("--piece-mib", "8")) << 20;
  job.connections = std::stoi(text("--connections", "8"));
  job.keeps = text("--keep", "no") == "yes";
  job.hashes_within = text("--hash", "before") == "within";
  if (job.endpoint.empty() || job.connections < 1) die(bench::kUsage);
  (void)bench::filler();
  const bench::Taken taken = bench::run(words[1], words[2], job);
  fmt::print(R"({{"mb_per_s": {:.1f}, "cpu_s": {:.3f}, "peak_mib": {:.1f}}})" "\n",
             static_cast<double>(taken.moved_bytes) / 1e6 / taken.seconds, taken.cpu_seconds, bench::peak_mib());
  return 0;
}
