// The command `cairn`: what the process has to be before anything else of it runs.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "base/cut_mappings.h"
#include "cli/commands.h"
#include "sqlite/database.h"

namespace cairn::cli {
namespace {

// A file of ours must not get the number of a stream that whoever started this has closed: what is printed or logged
// would go into it.
void open_closed_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);  // the lowest number that is free
  }
}

}  // namespace
}  // namespace cairn::cli

int main(int argc, char** argv) {
  // What is larger goes back to the system when it is freed. Left to itself, glibc keeps the buffers of a snapshot's
  // parts, some 24 MiB in each of its arenas.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  cairn::sqlite::leave_memory_uncounted();
  cairn::cli::open_closed_streams();
  cairn::survive_cut_shm_files();  // whoever may write to a database's files may cut the one that is mapped here
  return cairn::cli::run_command_line({argv + 1, argv + argc});
}
