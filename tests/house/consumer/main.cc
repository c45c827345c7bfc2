// Uses every public header of an installed Cairn as an embedding program does: opens a store, keeps an object in it,
// reads it back, asks for a replica that is not there; then replicates a database and restores it.
#include <cairn/daemon.h>
#include <cairn/error.h>
#include <cairn/machine.h>
#include <cairn/replicator.h>
#include <cairn/restore.h>
#include <cairn/store.h>

#include <iostream>
#include <string>

namespace {

cairn::Result<void> replicate_and_restore(cairn::Store& store, const std::string& database) {
  const auto machine = cairn::make_machine();
  cairn::ReplicatorOptions options;
  options.database = database;
  options.replica = "consumer/db";
  options.state_directory = database + "-state";
  CAIRN_ASSIGN(auto replicator, cairn::Replicator::open(store, machine->files(), machine->executor(),
                                                        machine->random(), options));
  cairn::RunOptions run;
  run.until = cairn::RunUntil::settled;
  CAIRN_TRY(cairn::run_replicator(*replicator, machine->clock(), {}, run));
  replicator->close(cairn::StopMode::tidy);
  CAIRN_TRY(cairn::run_restore(store, "consumer/db", database + ".restored", {}, machine->files(),
                               machine->executor()));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto store = cairn::open_store(argv[1]);
  if (!store) {
    std::cerr << store.error().message() << "\n";
    return 1;
  }
  const std::string text = "hello";
  const cairn::BytesSource source(std::as_bytes(std::span(text)));
  if (auto etag = (*store)->put_new("consumer/object", source); !etag) {
    std::cerr << etag.error().message() << "\n";
    return 1;
  }
  auto object = (*store)->get("consumer/object");
  if (!object || object->bytes.size() != text.size()) return 1;

  auto plan = cairn::plan_restore(**store, "no/such/replica", {});
  if (plan || plan.error().kind() != cairn::ErrorKind::not_found) return 1;
  if (auto done = replicate_and_restore(**store, argv[2]); !done) {
    std::cerr << done.error().message() << "\n";
    return 1;
  }
  std::cout << (*store)->url() << " holds " << object->info.key << "; " << cairn::name_of(plan.error().kind()) << "\n";
  return 0;
}
