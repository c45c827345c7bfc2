// Random small replicas with several levels and snapshots, of which random objects are lost, cut short or have a bit
// flipped: a state is restored exactly when the objects that are left lead to it in some way, found by trying all, and
// then it is that state, byte for byte. Nothing older is ever given for it, and what fails touches nothing.

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "base/bytes.h"
#include "restore/metadata.h"
#include "restore/test_replica.h"
#include "restore/watched_store.h"
#include "segment/keys.h"
#include "support/unsynced_files.h"

namespace cairn::restore {
namespace {

using cairn::testing::get_object;
using cairn::testing::Image;
using cairn::testing::replace_object;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

enum class Harm { none, removed, hidden, cut, end_flipped, data_flipped };

struct Piece {
  std::string key;
  ObjectKind kind = ObjectKind::segment;
  std::uint64_t first = 0, last = 0;
  Harm harm = Harm::none;

  bool is_named() const { return harm != Harm::removed; }
  bool has_point(std::uint64_t at) const {
    const bool every = kind == ObjectKind::segment || kind == ObjectKind::bundle;
    return every ? first <= at && at <= last : at == last;
  }
};

// Lists objects that are not there, and not all that are.
class ListingStore final : public ReadingStore {
 public:
  explicit ListingStore(Store& inner) : ReadingStore(inner) {}
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    if (hidden.contains(key)) return gone();
    return ReadingStore::get(key, offset, length);
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    if (hidden.contains(key)) return gone();
    return ReadingStore::get_suffix(key, length);
  }
  Result<ObjectInfo> head(std::string_view key) override {
    if (hidden.contains(key)) return gone();
    return ReadingStore::head(key);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    auto page = ReadingStore::list(prefix, start_after, limit);
    if (page) std::erase_if(page->objects, [&](const ObjectInfo& object) { return unlisted.contains(object.key); });
    return page;
  }
  std::set<std::string, std::less<>> hidden, unlisted;

 private:
  static Error gone() { return Error(ErrorKind::not_found, "no such object"); }
};

class Damaged : public testing::ReplicaTest {
 protected:
  Damaged() { files_ = std::make_unique<cairn::testing::UnsyncedFiles>(); }

  void live(SeededRandom& random) {
    store_ = make_memory_store();
    listing_ = std::make_unique<ListingStore>(*store_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    pieces_.clear();
    Image image = Image::made(512, 2 + static_cast<std::uint32_t>(random.below(12)), random.next());
    replica_->begin(image);
    pieces_.push_back({replica_->snapshot_key(Sequence(0)), ObjectKind::snapshot, 0, 0});
    const std::uint64_t last = 3 + random.below(12);
    for (std::uint64_t i = 1; i <= last; ++i) {
      if (random.chance(1, 3)) image.resize(1 + static_cast<std::uint32_t>(random.below(image.page_count + 4)));
      for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
        image.change(1 + static_cast<std::uint32_t>(random.below(image.page_count + 1)), random.next());
      }
      replica_->add(image);
      pieces_.push_back({replica_->segment_key(Sequence(i)), ObjectKind::segment, i, i});
      if (!random.chance(1, 4)) continue;
      replica_->snapshot();
      pieces_.push_back({replica_->snapshot_key(Sequence(i)), ObjectKind::snapshot, i, i});
    }
    for (int level = 1; level <= 6; ++level) {
      const std::uint64_t first = 1 + random.below(last), end = std::min(last, first + 1 + random.below(7));
      if (end == first) continue;
      const ObjectKind kind = random.chance(2, 3) ? ObjectKind::bundle : ObjectKind::squashed;
      replica_->merge(level, Sequence(first), Sequence(end), kind);
      pieces_.push_back({segment::merged_key("app.db", level, Sequence(first), Sequence(end)), kind, first, end});
    }
  }

  void harm(SeededRandom& random, Piece& piece) {
    if (piece.harm != Harm::none) return;
    piece.harm = static_cast<Harm>(1 + random.below(5));
    if (piece.harm == Harm::hidden) listing_->hidden.insert(piece.key);
    if (piece.harm == Harm::removed) {
      ASSERT_TRUE(store_->remove(piece.key));
      return;
    }
    Bytes bytes = get_object(*store_, piece.key);
    const std::byte bit{static_cast<unsigned char>(1u << random.below(8))};
    if (piece.harm == Harm::cut) bytes.resize(random.below(bytes.size()));
    if (piece.harm == Harm::end_flipped) bytes[bytes.size() - 1 - random.below(8)] ^= bit;
    if (piece.harm == Harm::data_flipped) bytes[random.below(10)] ^= bit;  // of the first block's frame
    replace_object(*store_, piece.key, bytes);
  }

  // Every state that the pieces lead to for which `is_used`, in any way.
  template <class Used>
  std::set<std::uint64_t> reached(const Used& is_used) const {
    std::set<std::uint64_t> states;
    for (std::size_t before = 1; before != states.size();) {
      before = states.size();
      for (const Piece& piece : pieces_) {
        if (!is_used(piece)) continue;
        for (std::uint64_t at = piece.first; at <= piece.last; ++at) {
          const auto from = states.lower_bound(piece.first == 0 ? 0 : piece.first - 1);
          const bool begins = piece.kind == ObjectKind::snapshot || (from != states.end() && *from < at);
          if (piece.has_point(at) && begins) states.insert(at);
        }
      }
      if (states.empty()) break;
    }
    return states;
  }
  bool is_named(std::uint64_t at) const {
    return std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
      return piece.is_named() && piece.first <= at && at <= piece.last;
    });
  }
  // What was lost or harmed tells nothing that others do not tell as well.
  bool all_is_known() const {
    return std::all_of(pieces_.begin(), pieces_.end(), [&](const Piece& harmed) {
      if (harmed.harm == Harm::none) return true;
      for (std::uint64_t at = harmed.first; at <= harmed.last; ++at) {
        const bool known = std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
          return piece.harm == Harm::none && piece.has_point(at);
        });
        if (!known) return false;
      }
      return true;
    });
  }

  enum class Expected { exact, exact_or_refused, refused };
  void expect(const RestoreTarget& target, std::uint64_t sequence, Expected expected, const std::string& what) {
    const Bytes old = Image::made(512, 3, 4711).bytes();
    write("out.db", old);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    if (sequence % 3 == 0) options.base = Base::existing;
    const auto result = restore(*listing_, target, options);
    if (result) {
      EXPECT_NE(expected, Expected::refused) << what;
      EXPECT_EQ(result->plan.point.sequence, sequence) << what;
      EXPECT_TRUE(read("out.db") == replica_->state(Sequence(sequence)).bytes()) << what;
      std::set<std::string> harmed;
      for (const Piece& piece : pieces_) {
        if (piece.harm != Harm::none && piece.is_named()) harmed.insert(piece.key);
      }
      for (const DamagedObject& damaged : result->plan.damaged) {
        EXPECT_TRUE(harmed.contains(damaged.key)) << damaged.key;
        EXPECT_THAT(damaged.problem, HasSubstr(damaged.key));
        ++warned_;
      }
      ++exact_;
      return;
    }
    EXPECT_NE(expected, Expected::exact) << what << ": " << result.error().message();
    const ErrorKind kind = result.error().kind();
    EXPECT_TRUE(kind == ErrorKind::corrupt || kind == ErrorKind::not_found) << result.error().message();
    EXPECT_TRUE(read("out.db") == old) << "touched";
    EXPECT_THAT(names(), ElementsAre("out.db"));
    ++refused_;
  }

  std::unique_ptr<ListingStore> listing_;
  std::unique_ptr<ReplicaBuilder> replica_;
  std::vector<Piece> pieces_;
  std::uint64_t exact_ = 0, refused_ = 0, warned_ = 0;
};

TEST_F(Damaged, WhatIsLeftLeadsWhereTryingAllWaysLeads) {
  executor_ = std::make_unique<InlineExecutor>();
  for (std::uint64_t seed = 1; seed <= 250; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    live(random);
    for (std::uint64_t n = 1 + random.below(6); n > 0; --n) harm(random, pieces_[random.below(pieces_.size())]);
    const auto sure = reached([](const Piece& piece) { return piece.harm == Harm::none; });
    // What lies in a block that nobody needs to read does no harm.
    const auto hoped = reached([](const Piece& piece) {
      return piece.harm == Harm::none || piece.harm == Harm::data_flipped;
    });
    const auto named = reached([](const Piece& piece) { return piece.is_named(); });
    const auto expected_of = [&](std::uint64_t at) {
      return sure.contains(at) ? Expected::exact : hoped.contains(at) ? Expected::exact_or_refused : Expected::refused;
    };
    std::uint64_t newest = 0;
    for (const Piece& piece : pieces_) newest = piece.is_named() ? std::max(newest, piece.last) : newest;
    const bool known = all_is_known();
    for (std::uint64_t at = 0; at <= replica_->newest().value; ++at) {
      expect(testing::at_sequence(at), at, expected_of(at), "sequence " + std::to_string(at));
      if (at > newest || named.empty() || *named.begin() > at) continue;
      const std::uint64_t meant = *std::prev(named.upper_bound(at));
      bool hole = false;
      for (std::uint64_t lost = meant + 1; lost <= at; ++lost) hole = hole || !is_named(lost);
      Expected by_time = expected_of(meant);
      if (hole) by_time = Expected::refused;
      else if (by_time == Expected::exact && !known) by_time = Expected::exact_or_refused;
      expect(testing::at_time(replica_->time_ms(Sequence(at)) + 500), meant, by_time, "time of " + std::to_string(at));
    }
    if (!named.empty()) expect({}, newest, expected_of(newest), "the newest");
    if (HasFailure()) return;
  }
  EXPECT_GT(exact_, 1500u);
  EXPECT_GT(refused_, 500u);
  EXPECT_GT(warned_, 500u);
}

// A snapshot, six segments, a bundle of all of them.
class DamagedOne : public Damaged {
 protected:
  DamagedOne() {
    store_ = make_memory_store();
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    Image image = Image::made(512, 20, 1);
    replica_->begin(image);
    for (std::uint32_t i = 1; i <= 6; ++i) {
      image.change(i * 3, 100 + i);
      replica_->add(image);
    }
    replica_->merge(1, Sequence(1), Sequence(6), ObjectKind::bundle);
    bundle_ = segment::merged_key("app.db", 1, Sequence(1), Sequence(6));
  }
  void flip(const std::string& key, std::size_t at) {
    Bytes bytes = get_object(*store_, key);
    bytes[at] ^= std::byte{4};
    replace_object(*store_, key, bytes);
  }
  std::string bundle_;
};

TEST_F(DamagedOne, TheWarningNamesItAndSaysWhatToDo) {
  flip(bundle_, 6);
  const auto restored = restore(*store_, {});
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(restored->plan.point.sequence, 6u);
  ASSERT_THAT(restored->plan.damaged, SizeIs(1));
  EXPECT_EQ(restored->plan.damaged[0].key, bundle_);
  EXPECT_THAT(restored->plan.damaged[0].problem, HasSubstr(bundle_ + " is damaged: block 1 of 1"));
  EXPECT_THAT(restored->plan.damaged[0].problem, HasSubstr("cairn verify --repair"));
  const auto whole = restore(*store_, testing::at_sequence(0), {}, "whole.db");
  ASSERT_TRUE(whole);
  EXPECT_THAT(whole->plan.damaged, IsEmpty()) << "what is not looked at is not spoken of";
}

TEST_F(DamagedOne, ADryRunAndAHistoryDoWithoutItToo) {
  flip(bundle_, get_object(*store_, bundle_).size() - 3);
  const auto plan = plan_restore(*store_, "app.db", {});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_THAT(plan->objects, SizeIs(7));
  ASSERT_THAT(plan->damaged, SizeIs(1));
  const auto history = read_history(*store_, "app.db");
  ASSERT_TRUE(history) << history.error().message();
  EXPECT_THAT(history->points, SizeIs(7));
  ASSERT_THAT(history->damaged, SizeIs(1));
  EXPECT_EQ(history->damaged[0].key, bundle_);
  EXPECT_EQ(history->points.back().restore_objects, 7u) << "what a restore takes now";
}

TEST_F(DamagedOne, VerifyNamesItAndRestoresItsSamplesAllTheSame) {
  flip(bundle_, 6);
  const auto report = verify_replica(*store_, "app.db", VerifyDepth::deep, path("scratch"), *files_, *executor_);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->sampled, SizeIs(5));
  EXPECT_EQ(report->restore_points, 7u);
  int damaged = 0;
  for (const std::string& problem : report->problems) {
    damaged += problem.find(bundle_) != std::string::npos;
    EXPECT_THAT(problem, ::testing::AnyOf(HasSubstr(bundle_), HasSubstr("SQLite"))) << "the pages are no database";
  }
  EXPECT_EQ(damaged, 1);
}

// Every checksum is right, and what it says of a page is not what was published: no way around it is looked for, since
// nothing says which of the two histories is the right one, and nothing wrong is restored.
TEST_F(DamagedOne, ALieWithRightChecksumsIsNeitherRestoredNorChosenAgainst) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db");
  other.begin(replica_->state(Sequence(0)));
  Image image = replica_->state(Sequence(0));
  for (std::uint64_t i = 1; i <= 6; ++i) {
    image.change(1, 900 + i);
    other.add(image);
  }
  replace_object(*store_, replica_->segment_key(Sequence(4)),
                 get_object(*other_store, other.segment_key(Sequence(4))));
  expect_restores(*store_, *replica_, Sequence(6));  // by the bundle
  ASSERT_TRUE(store_->remove(bundle_));
  EXPECT_THAT(expect_refused(*store_, {}, ErrorKind::corrupt), HasSubstr("does not continue"));
}

// It lacks a page that it claims to have changed, or has another: the sum of all pages is not the hash of the state.
TEST_F(DamagedOne, AStateThatDoesNotAddUpIsNotRestored) {
  Image image = replica_->state(Sequence(6));
  image.change(2, 77);
  image.change(5, 78);
  replica_->add_only(image, {2});
  EXPECT_THAT(expect_refused(*store_, {}, ErrorKind::corrupt), HasSubstr("do not add up to its database hash"));
  expect_restores(*store_, *replica_, Sequence(6));
}

// Does not list what lies on levels above 0, as a store that lists late.
class LateStore final : public ReadingStore {
 public:
  using ReadingStore::ReadingStore;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    auto page = ReadingStore::list(prefix, start_after, limit);
    if (page) std::erase_if(page->objects, [](const ObjectInfo& object) {
      return object.key.find("levels/") != std::string::npos;
    });
    return page;
  }
};

// What led to the newest states was removed for a bundle that is not listed yet. The claim says that they were
// published.
TEST_F(DamagedOne, ANewestStateThatIsNotListedIsNotTakenForAnOlderOne) {
  ASSERT_TRUE(claim_before_removing(*store_, "app.db", Sequence(5), Sequence(6)));
  EXPECT_EQ(read_metadata(*store_, "app.db")->latest_wal_sequence, 6u);
  ASSERT_TRUE(claim_before_removing(*store_, "app.db", Sequence(4), Sequence(7)));
  EXPECT_EQ(read_metadata(*store_, "app.db")->latest_wal_sequence, 6u) << "no more than it takes";
  for (std::uint64_t i = 4; i <= 6; ++i) ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(i))));
  LateStore late(*store_);
  for (const RestoreTarget& target : {RestoreTarget{}, testing::at_time(replica_->time_ms(Sequence(6)))}) {
    EXPECT_THAT(expect_refused(late, target, ErrorKind::corrupt),
                AllOf(HasSubstr("sequence 6 was published"), HasSubstr("sequence 3: ask for that one")));
  }
  EXPECT_TRUE(restore(late, testing::at_sequence(3)));
  EXPECT_TRUE(restore(late, testing::at_time(replica_->time_ms(Sequence(2))), {}, "older.db"))
      << "nothing newer counts";
  expect_restores(*store_, *replica_, Sequence(6));
}

// The claim gives the keys of the newest snapshot and of the newest segment.
TEST_F(DamagedOne, WhatTheClaimGivesTheKeyOfIsFound) {
  ASSERT_TRUE(store_->remove(bundle_));
  replica_->snapshot();
  auto claim = *read_metadata(*store_, "app.db");
  claim.latest_wal_sequence = 6;
  claim.latest_snapshot = replica_->snapshot_key(Sequence(6));
  const std::string json = metadata_json(claim);
  replace_object(*store_, "app.db/metadata.json", as_bytes(json));
  ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(5))));
  listing_ = std::make_unique<ListingStore>(*store_);
  listing_->unlisted = {replica_->snapshot_key(Sequence(6)), replica_->segment_key(Sequence(6))};
  const auto restored = restore(*listing_, {});
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(restored->plan.point.sequence, 6u);
  EXPECT_TRUE(read("out.db") == replica_->state(Sequence(6)).bytes());
}

// A hole in the keys, without a record of a prune: the state of that time may have been in it.
TEST_F(DamagedOne, ATimeThatMayBeThatOfALostStateIsNotAnswered) {
  ASSERT_TRUE(store_->remove(bundle_));
  ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(4))));
  EXPECT_THAT(expect_refused(*store_, testing::at_time(replica_->time_ms(Sequence(4)) + 500), ErrorKind::corrupt),
              HasSubstr("segment 4 is missing"));
  const auto before = restore(*store_, testing::at_sequence(3));
  EXPECT_TRUE(before);
}

// Six is no state any more, nor is five: they lie in a squashed segment. Before them comes four, of which only a
// damaged object tells.
TEST_F(DamagedOne, ATimeIsNotAnsweredByAStateFromBeforeWhatDamageHides) {
  const RestoreTarget then = testing::at_time(replica_->time_ms(Sequence(6)) + 500);
  Image image = replica_->state(Sequence(6));
  image.change(1, 7);
  replica_->add(image);
  ASSERT_TRUE(store_->remove(bundle_));
  const std::string hidden = segment::merged_key("app.db", 1, Sequence(3), Sequence(4));
  replica_->merge(1, Sequence(3), Sequence(4), ObjectKind::bundle);
  replica_->merge(1, Sequence(6), Sequence(7), ObjectKind::bundle);
  replica_->merge(2, Sequence(3), Sequence(7), ObjectKind::squashed);
  for (std::uint64_t at = 3; at <= 7; ++at) ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(at))));
  const auto whole = restore(*store_, then);
  ASSERT_TRUE(whole) << whole.error().message();
  EXPECT_EQ(whole->plan.point.sequence, 4u);
  flip(hidden, get_object(*store_, hidden).size() - 3);
  EXPECT_THAT(expect_refused(*store_, then, ErrorKind::corrupt), HasSubstr("is only in what is damaged"));
  expect_restores(*store_, *replica_, Sequence(2));
  expect_restores(*store_, *replica_, Sequence(7));
}

}  // namespace
}  // namespace cairn::restore
