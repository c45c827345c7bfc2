// The programs beside which, and against which, Cairn is measured: each prints one line of JSON.
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <string>

#include "programs.h"

namespace {

constexpr const char* kUsage = R"(usage: bench_app PROGRAM DB [--OPTION VALUE]...

fill DB --mib N [--seed N]             a database of N MiB of text and JSON, not in WAL afterwards uncheckpointed
write DB --seconds N [--sync normal|full] [--rows N] [--pause-us N]
                                       transactions of N rows, as fast as they can
once DB --mib N                        one transaction that writes N MiB
quiet DB --watch DIR --count N --pause-ms N
                                       commits after a pause, and how long each takes to appear as a file in DIR
put DIR --bytes N --count N            what a crash-safe creation of a file costs on this disk
checkpoints DB --mode full|restart|truncate --count N --commits N [--writer yes|no]
                                       an application that checkpoints after every N commits
)";

using bench::Options;

std::string run(const std::string& program, const std::string& path, const Options& options) {
  if (program == "fill") return bench::fill(path, options);
  if (program == "write") return bench::write(path, options);
  if (program == "once") return bench::once(path, options);
  if (program == "quiet") return bench::quiet(path, options);
  if (program == "put") return bench::put(path, options);
  if (program == "checkpoints") return bench::checkpoints(path, options);
  bench::die("there is no program '" + program + "'\n" + kUsage);
}

}  // namespace

int main(int count, char** words) {
  if (count < 3 || count % 2 == 0) bench::die(kUsage);
  Options options;
  for (int i = 3; i < count; i += 2) {
    const std::string name = words[i];
    if (!name.starts_with("--")) bench::die(kUsage);
    options.values[name.substr(2)] = words[i + 1];
  }
  fmt::print("{}\n", run(words[1], words[2], options));
  return 0;
}
