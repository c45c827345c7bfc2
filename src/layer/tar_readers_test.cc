// Other people's readers on our archives: GNU tar, bsdtar, Python. What they make of one is compared on the disk.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "layer/test_entries.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using testing::archive_of;
using testing::entry_of;
using testing::file_of;
using testing::link_of;

std::optional<std::string> xattr_of(const std::string& path, const std::string& name) {
  std::string value(65536, '\0');
  const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (size < 0) return std::nullopt;
  value.resize(static_cast<std::size_t>(size));
  return value;
}

bool has_command(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

class TarReaders : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners, devices and trusted attributes need root";
    const std::string probe = scratch_ / "probe";
    std::ofstream(probe) << "x";
    if (::setxattr(probe.c_str(), "user.probe", "", 0, 0) != 0) GTEST_SKIP() << "no extended attributes here";
    std::filesystem::remove(probe);
  }

  // Runs `command` in an empty folder `name` beside the archive; whatever it says is returned.
  std::string run(const std::string& name, const std::string& command) {
    const std::string folder = scratch_ / name;
    std::filesystem::create_directory(folder);
    const std::string log = scratch_ / (name + ".log");
    const int status = std::system(("cd '" + folder + "' && " + command + " >'" + log + "' 2>&1").c_str());
    std::ifstream in(log);
    std::string said{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(status, 0) << command << "\n" << said;
    return said;
  }

  void archive(const std::vector<Entry>& entries) {
    const Bytes tar = archive_of(entries);
    std::ofstream(scratch_ / "a.tar", std::ios::binary) << as_text(tar);
  }

  cairn::testing::Scratch scratch_{"tar"};
};

// All attributes that a reader can be expected to restore.
std::vector<Entry> rich_entries() {
  std::vector<Entry> entries{entry_of(EntryKind::directory, "")};
  Entry directory = entry_of(EntryKind::directory, "d");
  directory.mode = 03775;
  directory.mtime_ns = 123'456'789;
  directory.xattrs = {{"trusted.t", "d"}, {"user.dir", "1"}};
  entries.push_back(directory);
  Entry file = file_of("d/f", 700);
  file.mode = 04711;
  file.uid = 3'000'000;
  file.gid = 4'000'000;
  file.mtime_s = 1;
  file.mtime_ns = 250'000'001;
  file.xattrs = {{"security.capability", std::string("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
                 {"trusted.binary", std::string("\0=\n\xff", 4)},
                 {"user.a=b%c%3D", "odd name"},
                 {"user.empty", ""},
                 {"user.large", std::string(3000, 'v')}};
  file.holes = {{0, 512}};
  entries.push_back(file);
  entries.push_back(link_of(EntryKind::hard_link, "d/g", "d/f"));
  entries.push_back(link_of(EntryKind::symlink, "d/s", "nowhere/\xff"));
  Entry device = entry_of(EntryKind::char_device, "dev");
  device.dev_major = 1;
  device.dev_minor = 300;
  entries.push_back(device);
  entries.push_back(entry_of(EntryKind::fifo, "fifo"));
  for (const std::string name : {"gr\xc3\xbc\xc3\x9f", "line\nline", "not-utf8-\xff\xfe", "p=c%25"}) {
    entries.push_back(file_of(name, 3));
  }
  entries.push_back(file_of(std::string(240, 'l') + "/" + std::string(240, 'm'), 1));
  entries.insert(entries.end() - 1, entry_of(EntryKind::directory, std::string(240, 'l')));
  return entries;
}

enum class Exactness { all, no_odd_attribute_names };

void expect_tree(const std::string& root, const std::vector<Entry>& entries, Exactness exactness) {
  for (const Entry& entry : entries) {
    if (entry.path.empty()) continue;
    SCOPED_TRACE(entry.path);
    const std::string path = root + "/" + entry.path;
    const struct stat status = status_of(path);
    if (entry.kind == EntryKind::hard_link) {
      EXPECT_EQ(status.st_ino, status_of(root + "/" + entry.link_target).st_ino);
      continue;
    }
    const mode_t mode = entry.kind == EntryKind::symlink ? 0777 : entry.mode;
    EXPECT_EQ(status.st_mode & 07777, mode);
    EXPECT_EQ(status.st_uid, entry.uid);
    EXPECT_EQ(status.st_gid, entry.gid);
    EXPECT_EQ(status.st_mtim.tv_sec, entry.mtime_s);
    EXPECT_EQ(status.st_mtim.tv_nsec, entry.mtime_ns);
    if (entry.kind == EntryKind::file) {
      EXPECT_EQ(static_cast<std::uint64_t>(status.st_size), entry.size_bytes);
    }
    if (entry.kind == EntryKind::char_device) {
      EXPECT_TRUE(S_ISCHR(status.st_mode));
      EXPECT_EQ(status.st_rdev, makedev(entry.dev_major, entry.dev_minor));
    }
    if (entry.kind == EntryKind::fifo) {
      EXPECT_TRUE(S_ISFIFO(status.st_mode));
    }
    if (entry.kind == EntryKind::symlink) {
      EXPECT_EQ(std::filesystem::read_symlink(path).string(), entry.link_target);
    }
    for (const Xattr& xattr : entry.xattrs) {
      const bool odd = xattr.name.find_first_of("=%") != std::string::npos;
      if (odd && exactness == Exactness::no_odd_attribute_names) continue;
      EXPECT_EQ(xattr_of(path, xattr.name), xattr.value) << xattr.name;
    }
  }
}

TEST_F(TarReaders, GnuTarRestoresEverythingAndIsSilent) {
  const auto entries = rich_entries();
  archive(entries);
  for (const std::string locale : {"C", "C.UTF-8"}) {
    const std::string said =
        run("gnu-" + locale, "LC_ALL=" + locale + " tar --xattrs --xattrs-include='*' -xpf ../a.tar");
    EXPECT_EQ(said, "");
    expect_tree(scratch_ / ("gnu-" + locale), entries, Exactness::all);
  }
}

// GNU tar finds any time before 1970 implausible and says so, of its own archives too. (libarchive 3.6 adds the
// fraction where it has to be taken off, so with bsdtar such times are wrong by up to a second.)
TEST_F(TarReaders, GnuTarRestoresTimesBefore1970) {
  Entry file = file_of("f", 1);
  file.mtime_s = -2;
  file.mtime_ns = 250'000'001;
  archive({file});
  EXPECT_EQ(run("old", "tar --warning=no-timestamp -xpf ../a.tar"), "");
  expect_tree(scratch_ / "old", {file}, Exactness::all);
}

// bsdtar has its own idea of '=' and '%' in the names of attributes; all else is exact.
TEST_F(TarReaders, BsdtarRestoresEverything) {
  if (!has_command("bsdtar")) GTEST_SKIP() << "no bsdtar here (Debian: libarchive-tools)";
  const auto entries = rich_entries();
  archive(entries);
  EXPECT_EQ(run("bsd", "LC_ALL=C.UTF-8 bsdtar --xattrs -xpf ../a.tar"), "");
  expect_tree(scratch_ / "bsd", entries, Exactness::no_odd_attribute_names);
}

TEST_F(TarReaders, PythonSeesEveryHeader) {
  archive(rich_entries());
  const std::string said = run("py", R"(python3 -c '
import os, sys, tarfile
out = sys.stdout.buffer
for m in tarfile.open("../a.tar"):
    name = m.name.encode("utf-8", "surrogateescape")
    out.write(b"%d %o %d %d %d " % (int(m.type), m.mode, m.uid, m.gid, m.size) + name.replace(b"\n", b"?") + b"\n")
    for key in sorted(m.pax_headers):
        if key.startswith("SCHILY"): out.write(b"  " + key.encode() + b" %d\n" % len(m.pax_headers[key]))
')");
  EXPECT_NE(said.find("5 3775 0 0 0 d\n  SCHILY.xattr.trusted.t 1\n  SCHILY.xattr.user.dir 1\n"), std::string::npos);
  EXPECT_NE(said.find("0 4711 3000000 4000000 700 d/f\n"), std::string::npos) << said;
  EXPECT_NE(said.find("  SCHILY.xattr.user.empty 0\n"), std::string::npos) << said;
  EXPECT_NE(said.find("0 644 0 0 3 not-utf8-\xff\xfe\n"), std::string::npos) << said;
  EXPECT_NE(said.find("0 644 0 0 3 gr\xc3\xbc\xc3\x9f\n"), std::string::npos) << said;
  EXPECT_NE(said.find("0 644 0 0 3 line?line\n"), std::string::npos) << said;
  EXPECT_NE(said.find("0 644 0 0 1 " + std::string(240, 'l') + "/" + std::string(240, 'm')), std::string::npos);
}

// More than any of them would extract: only listed.
TEST_F(TarReaders, HugeSizesAndDeepPathsAreListed) {
  std::string deep;
  while (deep.size() + 200 < 4096) deep += std::string(199, 'n') + "/";
  deep += std::string(4096 - deep.size(), 'z');
  Entry large = file_of("large", 9ull << 30);
  large.mtime_ns = 1;
  const Bytes deep_header = *write_tar_header(entry_of(EntryKind::directory, deep));
  const Bytes large_header = *write_tar_header(large);
  {
    std::ofstream out(scratch_ / "a.tar", std::ios::binary);
    out << as_text(deep_header) << as_text(large_header);
  }
  const std::uint64_t end = deep_header.size() + large_header.size() + large.size_bytes + kTarEndBytes;
  std::filesystem::resize_file(scratch_ / "a.tar", end);  // zeros, as a hole
  for (const std::string tar : {"tar", "bsdtar"}) {
    if (!has_command(tar)) continue;
    const std::string said = run(tar, "LC_ALL=C.UTF-8 " + tar + " -tvf ../a.tar");
    EXPECT_NE(said.find("9663676416"), std::string::npos) << said;
    EXPECT_NE(said.find(deep + "/"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace cairn::layer
