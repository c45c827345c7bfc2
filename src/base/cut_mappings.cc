// All that the handler calls is safe in a signal handler: system calls, atomics, and what stands here. It allocates
// nothing, takes no lock and has a small stack.
#include "base/cut_mappings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace cairn {
namespace {

// How many mappings were begun to be exchanged (upper half) and have been (lower half), and the last of them.
std::atomic<std::uint64_t> shm_cuts{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
constexpr std::uint64_t kBegun = std::uint64_t{1} << 32, kDone = 1;
constexpr std::size_t kRemembered = 256;
struct ExchangedRange {
  std::atomic<std::uintptr_t> begin{0}, end{0};
};
constinit std::array<ExchangedRange, kRemembered> exchanged_ranges;

std::uint64_t begun_in(std::uint64_t count) { return count / kBegun; }
std::uint64_t done_in(std::uint64_t count) { return count % kBegun; }

// A line of /proc/self/maps (proc_pid_maps(5)): "start-end perms offset major:minor inode      path".
struct Mapping {
  std::uintptr_t begin = 0, end = 0;
  std::uint64_t major = 0, minor = 0, inode = 0;  // 0: memory without a file
  std::array<char, 14> last{};          // of the path

  bool has(std::uintptr_t address) const { return begin <= address && address < end; }
  bool is_same_file(const Mapping& other) const {
    return major == other.major && minor == other.minor && inode == other.inode;
  }
  bool is_shm_file() const {
    constexpr std::string_view kEnding = "-shm", kDeleted = "-shm (deleted)";
    const std::string_view path(last.data(), last.size());
    return inode != 0 && (path.ends_with(kEnding) || path == kDeleted);
  }
};

// Takes the list character by character: a path may be longer than a handler's stack should be.
class MappingReader {
 public:
  MappingReader() : file_(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)) {}
  ~MappingReader() {
    if (file_ >= 0) ::close(file_);
  }
  MappingReader(const MappingReader&) = delete;
  MappingReader& operator=(const MappingReader&) = delete;

  bool next(Mapping& into) {
    into = Mapping();
    field_ = 0;
    for (char letter = 0; take(letter);) {
      if (letter == '\n') return true;
      add(letter, into);
    }
    return false;
  }

 private:
  enum Field { kBegin, kEnd, kPermissions, kOffset, kMajor, kMinor, kInode, kPath };

  bool take(char& letter) {
    if (at_ == filled_) {
      const ssize_t got = file_ < 0 ? 0 : ::read(file_, buffer_.data(), buffer_.size());
      if (got <= 0) return false;
      filled_ = static_cast<std::size_t>(got);
      at_ = 0;
    }
    letter = buffer_[at_++];
    return true;
  }
  void add(char letter, Mapping& into) {
    if (field_ == kPath) {
      for (std::size_t i = 1; i < into.last.size(); ++i) into.last[i - 1] = into.last[i];
      into.last.back() = letter;
    } else if (letter == ' ' || (letter == '-' && field_ == kBegin) || (letter == ':' && field_ == kMajor)) {
      ++field_;
    } else if (field_ == kInode) {
      into.inode = into.inode * 10 + static_cast<std::uint64_t>(letter - '0');
    } else if (field_ != kPermissions && field_ != kOffset) {
      const auto digit = static_cast<std::uint64_t>(letter <= '9' ? letter - '0' : letter - 'a' + 10);
      if (field_ == kBegin) into.begin = into.begin * 16 + digit;
      if (field_ == kEnd) into.end = into.end * 16 + digit;
      if (field_ == kMajor) into.major = into.major * 16 + digit;
      if (field_ == kMinor) into.minor = into.minor * 16 + digit;
    }
  }

  int file_;
  int field_ = 0;
  std::size_t at_ = 0, filled_ = 0;
  std::array<char, 512> buffer_;
};

bool find_mapping(std::uintptr_t address, Mapping& into) {
  for (MappingReader reader; reader.next(into);) {
    if (into.has(address)) return true;
  }
  return false;
}

bool exchange_mapping(const Mapping& mapping) {
  void* const begin = reinterpret_cast<void*>(mapping.begin);
  constexpr int kHow = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
  ExchangedRange& range = exchanged_ranges[begun_in(shm_cuts.fetch_add(kBegun)) % kRemembered];
  range.begin = mapping.begin;
  range.end = mapping.end;
  const bool exchanged =
      ::mmap(begin, mapping.end - mapping.begin, PROT_READ | PROT_WRITE, kHow, -1, 0) == begin;
  shm_cuts += kDone;
  return exchanged;
}

// True: what could not be read is there now.
bool exchange_cut_file(std::uintptr_t address) {
  // Another thread may have met the same page and been faster. Met again with nothing exchanged since: it is not that.
  static thread_local constinit std::uintptr_t last_address = 0;
  static thread_local constinit std::uint64_t last_count = 0;
  Mapping cut;
  if (!find_mapping(address, cut)) return false;
  if (const std::uint64_t count = shm_cuts.load(); cut.inode == 0 && count != 0) {
    const bool is_again = last_address == address && last_count == count;
    last_address = address;
    last_count = count;
    return !is_again;
  }
  if (!cut.is_shm_file()) return false;
  bool exchanged = exchange_mapping(cut);
  Mapping other;
  for (MappingReader reader; exchanged && reader.next(other);) {
    if (other.is_shm_file() && other.is_same_file(cut)) exchanged = exchange_mapping(other);
  }
  return exchanged;
}

void handle_bus_error(int signal, siginfo_t* info, void*) {
  const int error_before = errno;
  const bool is_missing_page = info->si_code == BUS_ADRERR;
  if (!is_missing_page || !exchange_cut_file(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    ::signal(signal, SIG_DFL);  // the same instruction meets it again
    if (info->si_code <= 0) ::raise(signal);  // somebody has sent it: it would not come again by itself
  }
  errno = error_before;
}

}  // namespace

void survive_cut_shm_files() {
  struct sigaction action {};
  action.sa_sigaction = handle_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

std::uint64_t shm_cut_count() { return shm_cuts.load(); }

bool is_cut_off(const volatile void* address, std::uint64_t& seen) {
  const std::uint64_t count = shm_cut_count();
  if (count == seen) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const std::uint64_t first = done_in(seen), end = begun_in(count);
  bool may_be = end != done_in(count);  // one is being exchanged just now
  for (std::uint64_t i = first; !may_be && i < end && end - first <= kRemembered; ++i) {
    const ExchangedRange& range = exchanged_ranges[i % kRemembered];
    may_be = range.begin <= at && at < range.end;
  }
  may_be = may_be || begun_in(shm_cut_count()) - first > kRemembered;  // some are forgotten
  if (end == done_in(count)) seen = count;
  Mapping found;
  return may_be && (!find_mapping(at, found) || found.inode == 0);
}

}  // namespace cairn
