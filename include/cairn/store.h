// A store keeps objects: immutable bytes under a key. Amazon S3, anything that speaks its protocol, a directory,
// or memory. Everything Cairn keeps goes through this interface, and every store passes the same conformance
// suite (tests/store_conformance.h).
//
// Keys are relative, '/'-separated, non-empty UTF-8 without NUL and without empty, "." or ".." components; at most
// 1024 bytes, and 255 a component. Components that begin with ".cairn-" are reserved for stores.
//
// Errors, the same for every call unless its comment says otherwise:
//   not_found    the object (or upload) is really not there. Never used for any other failure.
//   conflict     a condition of the call does not hold
//   retry_later  overloaded or unreachable; the request had no effect
//   maybe_done   the request may have been applied although no answer came
//   denied       credentials or rights
//   invalid      the key or an argument breaks a rule above
//   unsupported  this store cannot do that: see capabilities()
//   corrupt      the bytes that arrived are not those that were stored
//   io           the local operating system failed (directory store: disk full, not a directory, ...)
//
// Threads: every call may be made from many threads at once. References passed in must live until the call
// returns; nothing is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store_status.h"

namespace cairn {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// What is to be stored: a known number of bytes that can be read again from any offset, because requests are
// repeated. read_at fills `into` completely or fails; offset + into.size() never exceeds size_bytes().
class Source {
 public:
  virtual ~Source() = default;
  virtual std::uint64_t size_bytes() const = 0;
  virtual Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const = 0;
};

// A Source over bytes that somebody else keeps alive.
class BytesSource final : public Source {
 public:
  explicit BytesSource(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size_bytes() const override { return bytes_.size(); }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override;

 private:
  ByteView bytes_;
};

struct ObjectInfo {
  std::string key;
  std::uint64_t size_bytes = 0;
  std::string etag;              // changes whenever the bytes change; opaque
  std::int64_t modified_ms = 0;  // since 1970, by the store's clock
};

struct Object {
  ObjectInfo info;  // of the whole object, whatever range was asked for
  Bytes bytes;
};

struct ListPage {
  std::vector<ObjectInfo> objects;  // ascending by the bytes of the key
  bool more = false;                // there are keys after the last one here: call again with it as start_after
};

struct UploadInfo {
  std::string key;
  std::string upload_id;
  std::int64_t begun_ms = 0;
};

struct PartInfo {
  int number = 0;  // 1 to 10,000
  std::string etag;
  std::uint64_t size_bytes = 0;
};

// One of many that were to be removed, and was not, or not surely.
struct NotRemoved {
  std::string key;
  Error error;
};

// What a store can do. What it cannot is refused with `unsupported`, never done halfway.
struct StoreCapabilities {
  bool create_only = true;           // put_new and complete_new are atomic against other writers
  bool compare_and_swap = true;      // put_if
  bool multipart = true;             // begin_upload .. complete_new
  bool copy_part = true;             // copy_part
  bool leaves_out_parts = true;      // complete_new takes fewer parts than were put; else that is invalid
  // The last put went to a file system of this machine: what a process has begun there is over when that has ended.
  bool puts_on_this_machine = false;
  bool looking_is_free = false;      // head is a call to this machine, not a request that takes time and is paid for
  bool late_names = false;           // complete_new may be told another key than begin_upload was: the object gets that
  std::uint64_t max_put_bytes = 5ull << 30;
  std::uint64_t min_part_bytes = 5ull << 20;  // all parts but the last
  int max_parts = 10000;  // as far as it is known: a store may be found to take fewer when a part is put (invalid)
};

// An object as it is known from when it was put.
struct Beside {
  std::string_view key, etag;
};

class Store {
 public:
  virtual ~Store() = default;

  // The store as a person names it: "file:///backup", "s3://bucket/prefix", "memory". No secrets.
  virtual std::string url() const = 0;
  virtual StoreCapabilities capabilities() const = 0;
  // What it has cost so far, and how it is. A store around another one passes on what that one says.
  virtual StoreStatus status() const { return {}; }

  // Stores `body` under `key` unless the key exists. Returns the new object's etag.
  // When it returns, the object survives a crash of the machine that stores it, and every later get, head and
  // list shows it whole; after any failure the key is either absent or holds all of `body` (maybe_done), or
  // somebody else's object (conflict).
  virtual Result<std::string> put_new(std::string_view key, const Source& body) = 0;

  // The same, if `beside`, whose key is in the same folder, lies there; not_found: it does not, and nothing was put. In
  // a directory the new one comes to lie in the very folder in which the other was seen; if something else is found
  // under that folder's path afterwards, it is maybe_done. In other stores places do not go: it is looked for first.
  virtual Result<std::string> put_new_beside(std::string_view key, const Source& body, const Beside& beside);

  // Replaces the object under `key` if its etag still is `etag`; conflict: it is another one, or gone.
  // Returns the new etag.
  virtual Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) = 0;

  // The bytes [offset, offset + length) of an object, cut at its end. Without length: to the end. invalid: offset is
  // at or past the end (but 0 is good for an empty object).
  virtual Result<Object> get(std::string_view key, std::uint64_t offset = 0,
                             std::optional<std::uint64_t> length = std::nullopt) = 0;

  // The last `length` bytes (all of it, when the object is shorter). length >= 1.
  virtual Result<Object> get_suffix(std::string_view key, std::uint64_t length) = 0;

  // The bytes [offset, offset + length) of an object, cut at its end, given to `take` from the first to the last, a
  // piece as soon as it has come: for ranges that are too long to lie in memory. `take` is called on the caller's
  // thread, with what the whole object is (the same one for all pieces); an error of it ends the call, and is returned
  // as it is. After any other error `take` may have had a beginning of the range. Returns what the whole object is.
  // invalid: as get says.
  using TakePiece = std::function<Result<void>(const ObjectInfo& whole, ByteView piece)>;
  virtual Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                                  const TakePiece& take);

  virtual Result<ObjectInfo> head(std::string_view key) = 0;
  // The same, but what it shows may have been put a moment ago, and not yet survive a crash of the machine that stores
  // it. For who put it.
  virtual Result<ObjectInfo> look(std::string_view key) { return head(key); }

  // One page of the objects whose key begins with `prefix` and is greater than `start_after`, at most `limit`
  // (0: the store's own page size). A prefix under which nothing lies gives an empty page, not not_found.
  virtual Result<ListPage> list(std::string_view prefix, std::string_view start_after = {}, int limit = 0) = 0;

  // Removes an object; removing what is not there succeeds.
  virtual Result<void> remove(std::string_view key) = 0;
  // Removes many, with as few requests as the store allows: where it takes them one by one, so does this. Gives the
  // ones that it could not remove, in no particular order. An error: it is not known which are removed; the same call
  // again is right.
  virtual Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys);

  // Multipart: an object made of parts, which appears whole at complete_new or not at all. An upload that was
  // begun survives the process; it is finished, resumed through list_parts, or aborted.
  virtual Result<std::string> begin_upload(std::string_view key) = 0;
  // Stores part `number` (again: replaces it). Parts may come in any order, and from many threads.
  virtual Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                                    const Source& body) = 0;
  // The same with bytes [offset, offset + length) of an existing object, copied by the store.
  virtual Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                                     std::string_view source_key, std::uint64_t offset, std::uint64_t length) = 0;
  // All parts that arrived, ascending by number. not_found: there is no such upload.
  virtual Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) = 0;
  // Makes the object of exactly these parts (ascending) unless the key exists; returns its etag.
  // conflict: the key exists; the upload stays. invalid: a part is missing, or its etag differs, or one that was put
  // is not named and the store does not leave out parts. With late_names, `key` may be one that is known only now (to
  // all other calls an upload's key is the one that it was begun with); without, another key is not_found.
  virtual Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                           std::span<const PartInfo> parts) = 0;
  // Forgets an upload and its parts; one that is not there: success.
  virtual Result<void> abort_upload(std::string_view key, std::string_view upload_id) = 0;
  // The unfinished uploads whose key begins with `prefix`, by key, then by upload id.
  virtual Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) = 0;
};

// What an s3:// URL does not say by itself. Everything has a default that fits Amazon S3; the same names may stand in
// the URL's query, which wins: s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1. Secrets may not:
// what names a store is printed and logged.
struct S3Options {
  std::string endpoint;         // "https://host:port"; empty: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon's
  std::string region;           // empty: AWS_REGION, AWS_DEFAULT_REGION, the profile's, else us-east-1
  std::string profile;          // of the shared files; empty: AWS_PROFILE, else "default"
  enum class Addressing { automatic, path, virtual_host } addressing = Addressing::automatic;  // automatic: virtual
                                // hosts with Amazon's endpoints, paths with an endpoint that was given
  std::string ca_bundle;        // a file or folder of certificates; empty: AWS_CA_BUNDLE, else the system's
  // Keys given here come before all other credentials.
  std::string access_key_id, secret_access_key, session_token;

  std::string storage_class;    // x-amz-storage-class of new objects; empty: the bucket's default
  std::string encryption;       // "", "AES256" (SSE-S3), "aws:kms"; SSE-C when customer_key is set
  std::string kms_key_id;       // with aws:kms; empty: the account's default key
  std::string customer_key;     // SSE-C: 32 bytes, in base64. Needs https, or an endpoint on loopback
  std::string tags;             // "key=value&key=value", URL-encoded, put on new objects
  bool requester_pays = false;
  bool create_bucket = false;   // make the bucket when it is not there
  // The store was found to ignore conditions; the user says that nobody else ever writes to this prefix.
  bool accept_single_writer = false;

  int connections = 8;          // how many transfers at once, also of one large object
};

// What a store is opened for. It matters to a directory, where an object may have its name a moment before that would
// survive a crash of the machine: who put it may have died in between.
enum class StoreUse {
  // By whoever goes by what is there: what head and list show survives such a crash, or they fail (io).
  publishing,
  // By whoever only brings it back, checks it or tells of it: it is shown as it lies there, and nothing of the disk is
  // synced. One that fails, or cannot be written to, is read as long as it can be. Not for a Replicator, a compactor, a
  // prune or a sync of layers: they would take for published what may be lost.
  reading,
};

// Opens the store that a URL names: "file:///path" or a plain path (a directory; made when something is put), or
// "s3://bucket/prefix". invalid: a scheme or option that is not known. Nothing is read or written yet.
Result<std::unique_ptr<Store>> open_store(std::string_view url, const S3Options& s3 = {},
                                          StoreUse use = StoreUse::publishing);

// A store in memory, for tests and simulations.
std::unique_ptr<Store> make_memory_store();

}  // namespace cairn
