// Uses every public header of an installed Cairn as an embedding program does: opens a store, keeps an object in it,
// reads it back, and asks for a replica that is not there.
#include <cairn/error.h>
#include <cairn/restore.h>
#include <cairn/store.h>

#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
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
  std::cout << (*store)->url() << " holds " << object->info.key << "; " << cairn::name_of(plan.error().kind()) << "\n";
  return 0;
}
