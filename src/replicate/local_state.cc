#include "replicate/local_state.h"

#include <array>
#include <optional>

#include "base/bytes.h"
#include "segment/format.h"

namespace cairn::replicate {
namespace {

constexpr std::size_t kSlotBytes = 4096;  // no two share what a disk or a file system writes in one piece
constexpr std::size_t kSlotsOfAKind = 2;  // of what is synced, and behind them of what is not
constexpr std::size_t kSlots = 2 * kSlotsOfAKind;
constexpr std::uint64_t kMagic = 0x31736f506e726143;  // "CarnPos1"
using Slot = std::array<std::byte, kSlotBytes>;

// Lays the record down, or takes it up: the same walk for both, so that they cannot differ.
template <class Visit>
void walk(Visit&& visit, LocalRecord& r) {
  visit(r.lineage.bytes);
  visit(r.writer.bytes);
  visit(r.published.value);
  visit(r.published_hash);
  visit(r.intent.value);
  visit(r.intent_hash);
  visit(r.captured.value);
  visit(r.captured_hash);
  visit(r.page_size);
  visit(r.page_count);
  visit(r.position.salts.first);
  visit(r.position.salts.second);
  visit(r.position.frame.value);
  visit(r.position.sum.first);
  visit(r.position.sum.second);
  visit(r.database.device);
  visit(r.database.inode);
  visit(r.database_modified_ns);
  visit(r.has_position);
  visit(r.proven);
  visit(r.begun_ms);
  visit(r.rests);
  for (FileMark* mark : {&r.rest.files.database, &r.rest.files.wal}) {
    visit(mark->device);
    visit(mark->inode);
    visit(mark->size_bytes);
    visit(mark->modified_ns);
    visit(mark->changed_ns);
  }
  visit(r.rest.boot.bytes);
  visit(r.rest.wall_less_mono_ms);
  visit(r.rest.whole_in_file);
  visit(r.rest.due_us);
  visit(r.rest.published_time_ms);
  visit(r.bundle_level);
  visit(r.bundle_first.value);
  visit(r.bundle_last.value);
  visit(r.copies_left);
  visit(r.copies_refused);
  visit(r.unreachable_from.value);
  visit(r.intent_until_ms);
  visit(r.intent_boot.bytes);
}

std::uint64_t checksum_of(const Slot& slot) {
  return segment::page_hash(PageNo(0), ByteView(slot).first(kSlotBytes - 8));
}

Slot encode(const LocalRecord& record, std::uint64_t generation) {
  Slot slot{};
  store_le(slot.data(), kMagic);
  store_le(slot.data() + 8, generation);
  std::size_t at = 16;
  LocalRecord copy = record;
  walk([&](auto& field) {
    std::memcpy(slot.data() + at, &field, sizeof field);
    at += sizeof field;
  }, copy);
  store_le(slot.data() + kSlotBytes - 8, checksum_of(slot));
  return slot;
}

struct Decoded {
  LocalRecord record;
  std::uint64_t generation = 0;
};

std::optional<Decoded> decode(const Slot& slot) {
  if (load_le<std::uint64_t>(slot.data()) != kMagic) return std::nullopt;
  if (load_le<std::uint64_t>(slot.data() + kSlotBytes - 8) != checksum_of(slot)) return std::nullopt;
  Decoded out;
  out.generation = load_le<std::uint64_t>(slot.data() + 8);
  std::size_t at = 16;
  walk([&](auto& field) {
    std::memcpy(&field, slot.data() + at, sizeof field);
    at += sizeof field;
  }, out.record);
  return out;
}

}  // namespace

bool is_intended_at(const LocalRecord& record, std::int64_t time_ms) {
  return record.intent_until_ms > 0 && time_ms <= record.intent_until_ms &&
         time_ms >= record.intent_until_ms - kIntentAhead_ms;
}

bool is_intent(const LocalRecord& record, const segment::Footer& head) {
  return head.last == record.published.next() && head.last == record.intent &&
         head.hash_after() == record.intent_hash && head.writer == record.writer;
}

bool is_intended_by_time(const LocalRecord& record, const segment::Footer& head, const Id128& boot) {
  const bool has_lost_power = !boot.is_zero() && boot != record.intent_boot;
  return has_lost_power && head.last > record.published && head.last > record.intent && head.writer == record.writer &&
         is_intended_at(record, head.last_time_ms);
}

Result<std::unique_ptr<LocalState>> LocalState::open(FileSystem& files, const std::string& directory) {
  CAIRN_ASSIGN(auto file, files.open(join_path(directory, "position"), OpenMode::write));
  std::unique_ptr<LocalState> state(new LocalState(std::move(file)));
  CAIRN_TRY(state->read());
  CAIRN_TRY(files.sync_directory(directory));
  return state;
}

Result<void> LocalState::read() {
  MutexLock lock(mutex_);
  std::array<std::uint64_t, 2> oldest{~0ull, ~0ull};
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot slot{};
    CAIRN_ASSIGN(const std::size_t got, file_->read_at(i * kSlotBytes, slot));
    auto found = got == kSlotBytes ? decode(slot) : std::nullopt;
    const std::size_t kind = i / kSlotsOfAKind;
    const std::uint64_t generation = found ? found->generation : 0;
    if (generation < oldest[kind]) {
      oldest[kind] = generation;
      next_slots_[kind] = i;
    }
    if (generation > generation_) {
      record_ = found->record;
      generation_ = found->generation;
    }
  }
  return {};
}

Result<LocalRecord> LocalState::read_record(FileSystem& files, const std::string& directory) {
  CAIRN_ASSIGN(auto file, files.open(join_path(directory, "position"), OpenMode::read));
  LocalState state(std::move(file));
  CAIRN_TRY(state.read());
  return state.record();
}

LocalRecord LocalState::record() const {
  MutexLock lock(mutex_);
  return record_;
}

Result<void> LocalState::write(Sync sync) {
  ++generation_;
  std::size_t& slot = next_slots_[sync == Sync::yes ? 0 : 1];
  CAIRN_TRY(file_->write_at(slot * kSlotBytes, encode(record_, generation_)));
  is_noted_only_ = false;
  if (sync == Sync::yes) CAIRN_TRY(file_->sync());
  slot ^= 1;  // kinds begin at even numbers
  return {};
}

}  // namespace cairn::replicate
