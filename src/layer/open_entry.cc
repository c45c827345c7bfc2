#include "layer/open_entry.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "layer/merged_view.h"
#include "layer/tar.h"

namespace cairn::layer {
namespace {

class OpenName : public OpenEntry {
 public:
  explicit OpenName(Opened opened) : opened_(std::move(opened)) {}

  const Entry& entry() const override { return opened_.entry; }
  bool has_contents() const override { return false; }
  const std::string& name() const override { return opened_.name; }
  Result<std::size_t> read_at(std::uint64_t, std::span<std::byte>) override { return std::size_t{0}; }
  Result<bool> stands_still() override { return true; }
  const Stamp& stamp() const override { return opened_.stamp; }
  const std::optional<Stamp>& wal_stamp() const override { return opened_.wal; }
  std::int64_t looked_at_ms() const override { return opened_.looked_at_ms; }
  bool is_shared() const override { return opened_.is_shared; }
  const OverlayMarks& marks() const override { return opened_.marks; }

 protected:
  Opened opened_;
};

class OpenFile final : public OpenName {
 public:
  OpenFile(Opened opened, FileDescriptor file, bool is_elsewhere)
      : OpenName(std::move(opened)), file_(std::move(file)), is_elsewhere_(is_elsewhere) {}

  bool has_contents() const override { return opened_.entry.size_bytes > 0; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    const std::uint64_t size = opened_.entry.size_bytes;
    if (offset >= size) return std::size_t{0};
    return read_some_at(file_.get(), offset, into.first(std::min<std::uint64_t>(into.size(), size - offset)), name());
  }
  Result<bool> stands_still() override {
    const std::string name(name_of(opened_.entry.path));
    CAIRN_ASSIGN(const auto now, is_elsewhere_ ? status_at(opened_.place.fd(), name) : status_at(file_.get(), ""));
    return now && stamp_of(*now) == opened_.stamp;
  }

 private:
  FileDescriptor file_;
  bool is_elsewhere_;
};

class OpenDatabase final : public OpenName {
 public:
  OpenDatabase(Opened opened, std::unique_ptr<sqlite::DatabaseCopy> copy)
      : OpenName(std::move(opened)), copy_(std::move(copy)) {}

  bool has_contents() const override { return opened_.entry.size_bytes > 0; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    const std::uint64_t size = opened_.entry.size_bytes;
    if (offset >= size) return std::size_t{0};
    const auto within = into.first(std::min<std::uint64_t>(into.size(), size - offset));
    CAIRN_TRY(copy_->read_at(offset, within));
    return within.size();
  }
  // A mount that is gone protects nothing any more: the next one's programs do not see the locks that lie in it.
  Result<bool> stands_still() override {
    if (opened_.merged && !is_mounted(opened_.merged->get())) return false;
    return copy_->stands_still();
  }

 private:
  std::unique_ptr<sqlite::DatabaseCopy> copy_;
};

}  // namespace

std::unique_ptr<OpenEntry> make_open_database(Opened opened, std::unique_ptr<sqlite::DatabaseCopy> copy) {
  return std::make_unique<OpenDatabase>(std::move(opened), std::move(copy));
}

std::unique_ptr<OpenEntry> make_open_name(Opened opened) { return std::make_unique<OpenName>(std::move(opened)); }

std::unique_ptr<OpenEntry> make_open_file(Opened opened, FileDescriptor file, bool is_elsewhere) {
  return std::make_unique<OpenFile>(std::move(opened), std::move(file), is_elsewhere);
}

Result<std::vector<Hole>> holes_of(int file, std::uint64_t size_bytes) {
  std::vector<Hole> holes;
  std::uint64_t least = 1;  // shorter holes are not kept
  for (std::uint64_t at = 0; at < size_bytes;) {
    const off_t hole = ::lseek(file, static_cast<off_t>(at), SEEK_HOLE);
    // EINVAL: this file system knows of no holes. ENXIO: the file has become shorter.
    if (hole < 0 && (errno == EINVAL || errno == ENXIO)) break;
    if (hole < 0) return os_error(errno, "looking for holes");
    const off_t data = ::lseek(file, hole, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return os_error(errno, "looking for holes");
    const auto begin = static_cast<std::uint64_t>(hole);
    at = data < 0 ? size_bytes : std::min(static_cast<std::uint64_t>(data), size_bytes);
    if (at > begin && at - begin >= least) holes.push_back({begin, at - begin});
    while (holes.size() > kMaxHoles) {
      least *= 2;
      std::erase_if(holes, [&](const Hole& one) { return one.length < least; });
    }
  }
  return holes;
}

}  // namespace cairn::layer
