// What Cairn takes from the machine that it runs on: clock, chance, files, and threads for compression. Core logic gets
// these from outside, so that a simulation can give its own; a program that embeds Cairn passes the real ones on:
//
//   auto machine = cairn::make_machine();
//   auto replicator =
//       cairn::Replicator::open(*store, machine->files(), machine->executor(), machine->random(), options);
//   auto done = cairn::run_replicator(**replicator, machine->clock(), stop.get_token(), {});
#pragma once

#include <memory>

namespace cairn {

class Clock;
class Executor;
class FileSystem;
class Random;

// Each part may be used from many threads, and lives as long as the machine.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual Clock& clock() = 0;
  virtual Random& random() = 0;
  virtual FileSystem& files() = 0;
  virtual Executor& executor() = 0;
};

// The real one. `threads` for compression and for what can be done side by side; 0: as many as the machine has cores.
std::unique_ptr<Machine> make_machine(int threads = 0);

}  // namespace cairn
