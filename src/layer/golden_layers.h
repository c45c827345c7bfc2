// What the golden objects of tests/data/layer hold.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "layer/test_layers.h"

namespace cairn::layer::testing {

// The example of docs/format.md.
inline std::vector<Item> worked_items() {
  std::vector<Item> items{item_of(entry_of(EntryKind::directory, "")), item_of(file_of("hello", 0), "Hello, layer!\n"),
                          item_of(entry_of(EntryKind::whiteout, "old"))};
  items[1].entry.mtime_ns = 500'000'000;
  items[2].entry.mark = Mark::device;
  return items;
}

// One of every kind, with everything that it can have.
inline std::vector<Item> full_items() {
  std::vector<Item> items{item_of(entry_of(EntryKind::directory, "")), item_of(entry_of(EntryKind::directory, "d"))};
  items[1].entry.mode = 03775;
  items[1].entry.uid = 12;
  items[1].entry.mtime_ns = 123'456'789;
  items[1].entry.xattrs = {{"trusted.t", "d"}, {"user.dir", ""}};
  std::string contents(3000, 'x');
  contents.replace(2048, 5, "bytes");
  items.push_back(item_of(file_of("d/f", 0), contents));
  Entry& file = items.back().entry;
  file.mode = 04711;
  file.uid = 3'000'000;
  file.gid = 4'000'000;
  file.mtime_s = -2;
  file.mtime_ns = 250'000'001;
  file.xattrs = {{"security.capability", std::string("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
                 {"user.a=b%c", "odd\nname"}};
  items.push_back(item_of(link_of(EntryKind::hard_link, "d/g", "d/f")));
  items.push_back(item_of(link_of(EntryKind::symlink, "d/s", "../nowhere/\xff")));
  items.push_back(item_of(entry_of(EntryKind::block_device, "disk")));
  items.back().entry.dev_major = 8;
  items.back().entry.dev_minor = 300;
  items.push_back(item_of(entry_of(EntryKind::fifo, "fifo")));
  std::string sparse(10'000, '\0');
  sparse.replace(4096, 4, "data");
  items.push_back(item_of(file_of("gr\xc3\xbc\xc3\x9f", 0), sparse));
  items.back().entry.holes = {{0, 4096}, {8192, 1808}};
  items.push_back(item_of(file_of(std::string(120, 'l') + "\n", 0), "long"));
  items.push_back(item_of(file_of("not-utf8-\xff", 0), "bytes"));
  items.push_back(item_of(entry_of(EntryKind::char_device, "tty")));
  items.back().entry.dev_major = 5;
  items.push_back(item_of(file_of("z", 0), "torn"));
  items.back().state = Contents::torn;
  std::ranges::sort(items, in_order, [](const Item& item) { return std::string_view(item.entry.path); });
  return items;
}

// Every way to say that something is gone.
inline std::vector<Item> increment_items() {
  std::vector<Item> items{item_of(entry_of(EntryKind::directory, ""))};
  const auto add = [&](EntryKind kind, const std::string& path, Mark mark) {
    items.push_back(item_of(entry_of(kind, path)));
    items.back().entry.mark = mark;
  };
  items.push_back(item_of(file_of(".cairn-name-x", 0), "escaped"));
  items.push_back(item_of(file_of(".wh.file", 0), "no whiteout"));
  add(EntryKind::whiteout, "a", Mark::none);
  add(EntryKind::whiteout, "b", Mark::device);
  add(EntryKind::whiteout, "c", Mark::xattr);
  add(EntryKind::whiteout, "d", Mark::user);
  add(EntryKind::whiteout, "e", Mark::file);
  add(EntryKind::directory, "f", Mark::xattr);
  add(EntryKind::opaque, "f", Mark::xattr);
  items.push_back(item_of(file_of("f/g", 0), "in an opaque directory"));
  add(EntryKind::directory, "h", Mark::none);
  items.back().entry.forgotten = {"one", "two words"};
  return items;
}

}  // namespace cairn::layer::testing
