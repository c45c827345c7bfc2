// Works on a store whose requests fail, and knows of each key what may lie there.
//
// It keeps, for each key of its own, the set of states that it may be in: one state as long as answers are clear; "may
// have been done" adds one; a later look leaves the one that was seen. Anything that is seen and not in the set was
// lost, doubled, or made up.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "cairn/store.h"
#include "s3_store/twin_store.h"

namespace cairn::s3 {

using State = std::optional<std::string>;  // the object's bytes; none: absent


// What a store is allowed beside its contract, as its server was told to misbehave; nothing, by default. Only for one
// worker by itself.
struct Licence {
  std::function<std::uint64_t()> strikes;         // how often it has misbehaved so far
  std::function<std::set<std::string>()> hidden;  // keys that a listing that was struck may leave out now
  bool flips = false;                             // each strike flips a bit of what a get gives
  bool garbles = false;                           // each strike flips a bit of a document: of one value in it
};

class Worker {
 public:
  Worker(Store& store, int number, std::uint64_t seed, Licence licence = {})
      : store_(store), number_(number), random_(seed * 100 + static_cast<std::uint64_t>(number)),
        licence_(std::move(licence)) {}

  void work(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  // With the faults gone: everything is one of the things that it may be.
  void check_all() {
    for (auto& [key, states] : states_) {
      const auto object = store_.get(key);
      if (object) {
        see(key, std::string(as_text(object->bytes)));
      } else {
        ASSERT_EQ(object.error().kind(), ErrorKind::not_found) << object.error().message();
        see(key, std::nullopt);
      }
    }
  }
  const std::map<std::string, std::set<State>>& states() const { return states_; }
  int gave_up() const { return gave_up_; }

 private:
  void step() {
    const std::string key = "w" + std::to_string(number_) + "/" + std::to_string(random_.below(8));
    if (!states_.contains(key)) states_[key] = {std::nullopt};
    switch (random_.below(14)) {
      case 0:
      case 1:
        return put_new(key, body(random_.below(3000)));
      case 2:
        return put_new(key, body(3 * kPart + random_.below(3 * kPart)));
      case 3:
        return put_if(key);
      case 4:
        return remove(key);
      case 5:
        return upload(key);
      case 6:
        return get("get", key, [&] { return store_.get(key); });
      case 7:
        return get("get_suffix", key, [&] { return store_.get_suffix(key, 10 * kPart); });
      case 8:
        return head(key);
      case 9:
        return remove_many();
      case 10:
        return copy(key);
      case 11:
        return list_uploads();
      case 12:
        return get("read", key, [&] { return read(key); });
      default:
        return list();
    }
  }

  std::string body(std::uint64_t size) { return SeededRandom(random_.next()).bytes(size + 8); }
  bool may_be(const std::string& key, const State& state) const { return states_.at(key).contains(state); }
  bool may_exist(const std::string& key) const {
    const std::set<State>& states = states_.at(key);
    return states.size() > 1 || !states.contains(std::nullopt);
  }
  void see(const std::string& key, const State& state) {
    EXPECT_TRUE(may_be(key, state)) << key << ": " << (state ? "holds what was never stored" : "is gone")
                                    << "; it may be in " << states_.at(key).size() << " states";
    states_[key] = {state};
  }

  // Errors that say: not applied.
  void not_applied(const std::string& what, const Error& error) {
    ++gave_up_;
    EXPECT_TRUE(error.kind() == ErrorKind::retry_later || is_damage(error))
        << what << ": " << name_of(error.kind()) << " " << error.message();
  }

  // What came was damaged each time.
  bool is_damage(const Error& error) const {
    return error.kind() == ErrorKind::corrupt && (licence_.flips || licence_.garbles);
  }

  void put_new(const std::string& key, const std::string& text) {
    outcome_of_creation("put_new", key, text, store_.put_new(key, BytesSource(as_bytes(text))));
  }
  void outcome_of_creation(const char* what, const std::string& key, const std::string& text,
                           const Result<std::string>& etag) {
    if (etag) {
      EXPECT_TRUE(may_be(key, std::nullopt)) << what << " " << key << " replaced an object";
      states_[key] = {text};
    } else if (etag.error().kind() == ErrorKind::conflict) {
      EXPECT_TRUE(may_exist(key)) << what << " " << key << ": conflict with nothing: " << etag.error().message();
      states_[key].erase(std::nullopt);
    } else if (etag.error().kind() == ErrorKind::maybe_done || etag.error().kind() == ErrorKind::corrupt) {
      ++gave_up_;
      states_[key].insert(text);
    } else {
      not_applied(what, etag.error());
    }
  }

  void put_if(const std::string& key) {
    const auto head = store_.head(key);
    if (!store_.capabilities().compare_and_swap) return;
    if (!head) {
      if (head.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
      return not_applied("head", head.error());
    }
    states_[key].erase(std::nullopt);
    const std::string text = body(random_.below(2000));
    const auto etag = store_.put_if(key, BytesSource(as_bytes(text)), head->etag);
    if (etag) {
      states_[key] = {text};
    } else if (etag.error().kind() == ErrorKind::maybe_done || etag.error().kind() == ErrorKind::corrupt) {
      ++gave_up_;
      states_[key].insert(text);
    } else if (store_.capabilities().compare_and_swap) {
      // Nobody else writes here, so a conflict would be with ourselves.
      not_applied("put_if", etag.error());
    } else {
      EXPECT_EQ(etag.error().kind(), ErrorKind::unsupported) << etag.error().message();
    }
  }

  void remove(const std::string& key) {
    const auto removed = store_.remove(key);
    if (removed) {
      states_[key] = {std::nullopt};
    } else {
      ++gave_up_;
      EXPECT_TRUE(removed.error().kind() == ErrorKind::retry_later || removed.error().kind() == ErrorKind::maybe_done)
          << removed.error().message();
      states_[key].insert(std::nullopt);
    }
  }

  void upload(const std::string& key) {
    const std::uint64_t strikes_before = strikes();
    const auto id = store_.begin_upload(key);
    if (!id) return failed("begin_upload", id.error());
    const std::string one = body(kPart), two = body(random_.below(1000));
    std::vector<PartInfo> parts;
    for (const std::string& text : {one, two}) {
      const auto part = store_.put_part(key, *id, static_cast<int>(parts.size()) + 1, BytesSource(as_bytes(text)));
      if (!part) {
        failed("put_part", part.error());
        return give_up(key, *id);
      }
      parts.push_back(*part);
    }
    const auto listed = store_.list_parts(key, *id);
    if (listed) {
      ASSERT_EQ(listed->size(), parts.size()) << key << ": a part that was acknowledged is not listed";
      std::uint64_t differ = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) differ += (*listed)[i].etag == parts[i].etag ? 0 : 1;
      EXPECT_LE(differ, licence_.garbles ? strikes() - strikes_before : 0) << key;
    } else {
      failed("list_parts", listed.error());
    }
    complete(key, *id, parts, one + two);
  }
  void complete(const std::string& key, const std::string& id, const std::vector<PartInfo>& parts,
                const std::string& text) {
    const auto etag = store_.complete_new(key, id, parts);
    // An upload can expire at any moment.
    if (!etag && etag.error().kind() == ErrorKind::not_found) return;
    // So can the etag that a copied part is said to have be garbled.
    if (!etag && etag.error().kind() == ErrorKind::invalid && licence_.garbles) return give_up(key, id);
    outcome_of_creation("complete_new", key, text, etag);
    if (!etag) give_up(key, id);
  }

  std::uint64_t strikes() const { return licence_.strikes ? licence_.strikes() : 0; }

  void get(const char* what, const std::string& key, const std::function<Result<Object>()>& call) {
    const std::uint64_t strikes_before = strikes();
    const auto object = call();
    const std::uint64_t struck = strikes() - strikes_before;
    if (!object && object.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
    if (!object) return not_applied(what, object.error());
    const std::string text(as_text(object->bytes));
    // What came garbled is no state that was seen; but it is one of them, but for the bits that were flipped.
    if (!licence_.flips || struck == 0) return see(key, text);
    const auto& states = states_.at(key);
    EXPECT_TRUE(std::ranges::any_of(states, [&](const State& state) {
      return state && differing_bits(*state, text) <= struck;
    })) << what << " " << key << ": more is wrong than was garbled";
  }
  // All of it, but in pieces.
  Result<Object> read(const std::string& key) {
    Object object;
    CAIRN_ASSIGN(object.info, store_.read(key, 0, 10 * kPart, [&](const ObjectInfo&, ByteView piece) -> Result<void> {
      object.bytes.insert(object.bytes.end(), piece.begin(), piece.end());
      return {};
    }));
    return object;
  }
  static std::uint64_t differing_bits(const std::string& a, const std::string& b) {
    if (a.size() != b.size()) return ~0ull;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < a.size(); ++i) bits += std::popcount(static_cast<unsigned char>(a[i] ^ b[i]));
    return bits;
  }

  void head(const std::string& key) {
    const auto info = store_.head(key);
    if (!info && info.error().kind() == ErrorKind::not_found) return see(key, std::nullopt);
    if (!info) return not_applied("head", info.error());
    std::erase_if(states_[key], [&](const State& state) { return !state || state->size() != info->size_bytes; });
    EXPECT_FALSE(states_[key].empty()) << key << ": is as long as nothing that was stored";
  }

  void remove_many() {
    std::vector<std::string> keys;
    for (auto& [key, states] : states_) {
      if (random_.chance(1, 2)) keys.push_back(key);
    }
    const auto left = store_.remove_many(keys);
    if (!left) {
      ++gave_up_;
      EXPECT_TRUE(may_have_been(left.error()) || is_damage(left.error())) << left.error().message();
      for (const std::string& key : keys) states_[key].insert(std::nullopt);
      return;
    }
    for (const std::string& key : keys) {
      const auto named = std::ranges::find(*left, key, &NotRemoved::key);
      if (named == left->end()) {
        states_[key] = {std::nullopt};
      } else {
        ++gave_up_;
        EXPECT_TRUE(may_have_been(named->error)) << named->error.message();
        states_[key].insert(std::nullopt);
      }
    }
  }
  static bool may_have_been(const Error& error) {
    return error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
  }

  // Of an object that is known, into a new one.
  void copy(const std::string& key) {
    for (const auto& [source, states] : states_) {
      if (source == key || states.size() != 1 || !*states.begin()) continue;
      const std::string text = **states.begin();
      const auto id = store_.begin_upload(key);
      if (!id) return failed("begin_upload", id.error());
      const auto part = store_.copy_part(key, *id, 1, source, 0, text.size());
      if (part) return complete(key, *id, {*part}, text);
      failed("copy_part", part.error());
      return give_up(key, *id);
    }
  }

  void list_uploads() {
    const std::string prefix = "w" + std::to_string(number_) + "/";
    const auto uploads = store_.list_uploads(prefix);
    if (!uploads) return not_applied("list_uploads", uploads.error());
    for (const UploadInfo& upload : *uploads) EXPECT_TRUE(upload.key.starts_with(prefix)) << upload.key;
  }

  // Of what an upload is made: without an effect that anybody would see.
  void failed(const char* what, const Error& error) {
    ++gave_up_;
    const ErrorKind kind = error.kind();
    EXPECT_TRUE(may_have_been(error) || kind == ErrorKind::corrupt || kind == ErrorKind::unsupported ||
                kind == ErrorKind::not_found)
        << what << ": " << name_of(kind) << " " << error.message();
  }
  void give_up(const std::string& key, const std::string& id) {
    const auto aborted = store_.abort_upload(key, id);
    EXPECT_TRUE(aborted || may_have_been(aborted.error())) << aborted.error().message();
  }

  void list() {
    const std::string prefix = "w" + std::to_string(number_) + "/";
    const std::uint64_t strikes_before = strikes();
    std::set<std::string> keys, hidden;
    if (licence_.hidden) hidden = licence_.hidden();
    for (std::string after;;) {
      const auto page = store_.list(prefix, after, static_cast<int>(random_.below(4)));
      if (!page) return not_applied("list", page.error());
      for (const ObjectInfo& object : page->objects) keys.insert(object.key);
      if (!page->more) break;
      ASSERT_FALSE(page->objects.empty());
      after = page->objects.back().key;
    }
    const std::uint64_t struck = strikes() - strikes_before;
    if (licence_.garbles && struck > 0) return is_nearly(keys, struck);
    if (struck == 0) hidden.clear();
    for (const std::string& key : keys) EXPECT_TRUE(states_.contains(key)) << key << " is listed, and is nobody's";
    for (auto& [key, states] : states_) {
      if (keys.contains(key)) {
        EXPECT_TRUE(may_exist(key)) << key << " is listed, and was never stored";
        states.erase(std::nullopt);
      } else if (!hidden.contains(key)) {
        see(key, std::nullopt);
      }
    }
  }

  // A list in which `most` names may be garbled, and not one more is missing or made up.
  void is_nearly(const std::set<std::string>& keys, std::uint64_t most) {
    std::uint64_t made_up = 0, missing = 0;
    for (const std::string& key : keys) made_up += states_.contains(key) ? 0 : 1;
    for (const auto& [key, states] : states_) missing += states.contains(std::nullopt) || keys.contains(key) ? 0 : 1;
    EXPECT_LE(made_up, most);
    EXPECT_LE(missing, most);
  }

  Store& store_;
  const int number_;
  SeededRandom random_;
  const Licence licence_;
  std::map<std::string, std::set<State>> states_;
  int gave_up_ = 0;
};

}  // namespace cairn::s3
