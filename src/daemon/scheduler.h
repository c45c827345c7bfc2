// Drives any number of Replicators with a few threads: one waits for files to change and for times to come, some
// capture, some speak to stores, some open and close. What run_replicator() does for one with threads of its own, with
// the same outcome. A database that nothing is to be done for is closed, and costs a name and a look now and then
// until it is written to.
//
// A part of a Replicator (capture, publish, snapshot, upkeep) never runs twice at once. Databases take turns: one that
// always has something to do comes last again after each step. Stores take turns too, and no store can hold all
// workers.
//
// A disk may hang: a call to the file system of a dead mount comes back after minutes, or never. Who captures, tells,
// opens or closes and is kept by one call for long is stuck: another thread takes its place until it is back, so that
// as many work as ever. Of threads that are stuck there is a bound for each device; what else is to be done there waits
// for one of them. Who is kept for long by its store is replaced too, but goes on holding one of the places that its
// store has. Of each kind so many are replaced and no more. The thread that waits asks no file system for anything.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/daemon.h"
#include "cairn/error.h"
#include "daemon/fair_queue.h"
#include "daemon/files_watch.h"
#include "daemon/judge.h"
#include "daemon/mounts.h"
#include "daemon/runner.h"

namespace cairn::daemon {

// A database that is open while there is something to do. Calls come from workers, never two at a time but for
// database_path(), and may wait for disk and store.
class Tended {
 public:
  virtual ~Tended() = default;
  virtual std::string database_path() const = 0;
  // Whether nothing is to be done, as far as a look at its files tells; then it is not opened before it is written
  // to, or `due_us` comes.
  virtual bool sleeps_on(const Time& now, std::int64_t& due_us) = 0;
  // What it gives lives until it sleeps, or ends. Null: a stop was asked for, and nothing was begun that is to be
  // finished.
  virtual Result<Replicator*> open(std::stop_token stop) = 0;
  // False: it does not sleep now, and all goes on.
  virtual bool fall_asleep(const Time& now) = 0;
  // Closes it, if it is open. Nothing is called after it.
  virtual void end(const Result<void>& outcome) = 0;

  // Since when what is done for it has not come back, or is not begun because too much else of its device has not, by
  // the clock's mono_us; 0: nothing is so late that it has to be told. Any thread.
  std::int64_t hangs_since_us() const { return hangs_since_us_; }
  // A call has not come back for so long, or none is so late any more. By another thread than the one that hangs.
  virtual void note_hang() {}
  // open() is at its store (a restore, the check of it) and waits for that: it is not stuck, and goes on holding its
  // place in the store's lane. Any thread.
  virtual bool takes_its_time() const { return false; }

 private:
  friend class Scheduler;
  std::atomic<std::int64_t> hangs_since_us_ = 0;
  // Guarded by the scheduler's mutex.
  std::int64_t waits_since_us_ = 0;  // for others of its device; 0: it does not
  bool is_over_ = false;
  std::uint64_t id_ = 0;
};

struct SchedulerOptions {
  int capture_workers = 2;  // who read and compress
  int store_workers = 8;    // who mostly wait for a network; of one store three quarters
  int upkeep_workers = 3;   // who merge, at a low priority; one of them is not for a store that keeps it waiting
  int life_workers = 4;     // who open and close
  // Who captures, speaks to a store, tells, opens or closes, has been at one thing for longer than that and computed
  // less than a hundredth of that time is replaced, so many of each kind: who computes is waited for, since more at
  // once would only share the cores. Who is not at a store then is stuck: with so many (of all kinds) on one device
  // nothing else is begun there.
  std::int64_t stuck_after_us = 1'000'000;
  int most_stuck = 256, most_stuck_on_one_device = 24;  // threads that sleep
  std::int64_t told_after_us = 5'000'000;  // Tended::hangs_since_us()
  // Of a path, which it must not ask for it. Empty: by the kernel's list of mounts.
  std::function<std::string(const std::string& path)> device_of;
  RunTiming timing;
  // The file system tells of what matters; looking beside that must not cost more with each database. With more than
  // so many, each is looked at less often.
  std::size_t often_looked_at = 1000;  // while nothing is heard of them
  std::size_t often_busy = 8;          // while something is going on
  // Asleep: beside what the file system tells, in case it did not. With more than so many, less often.
  std::int64_t asleep_look_us = 60'000'000, unwatched_asleep_look_us = 1'000'000;
  std::size_t often_asleep = 2'500;
  // Of those that may sleep and are opened for the first time so many at once, each until all of it is published or
  // something is in the way: so that thousands do not ask disk and store at the same moment. Of one store three
  // quarters.
  int starting_at_once = 32;
  // Those and the ones that are done with that and wait until they may sleep: so many at once, since each holds memory
  // and descriptors. One that does not go to sleep is soon not counted any more.
  int new_awake = 256;
  // With more than so many open, who has nothing to do is closed as soon as can be.
  std::size_t many_awake = 64;
  AddWatch add_watch = ::inotify_add_watch;
};

class Scheduler {
 public:
  // io: not even a bell could be made, or a thread.
  static Result<std::unique_ptr<Scheduler>> open(Clock& clock, const SchedulerOptions& options);
  // Nothing may be driven any more.
  ~Scheduler();

  // As run_replicator(), which has the errors; on_change and judging happen on a thread of the scheduler. `lane`: the
  // store that it speaks to.
  Result<void> drive(Replicator& replicator, const std::string& lane, std::stop_token stop, const RunOptions& options);
  // The same without a thread that waits: until Tended::end(). A database that had nothing to do for so long sleeps;
  // 0: never.
  void tend(std::shared_ptr<Tended> tended, const std::string& lane, std::stop_token stop, RunOptions options,
            std::int64_t sleep_after_us) EXCLUDES(mutex_);

  // Something was asked of it: the steps of its Replicator are taken at once; if it sleeps, its files are looked at.
  // Before tend() and after its end: nothing.
  void ring(const Tended& tended) EXCLUDES(mutex_);

 private:
  using Id = FilesWatch::Id;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  enum Part { kCapture, kPublish, kSnapshot, kUpkeep, kTell, kLife, kPartCount };
  using Timer = std::tuple<std::int64_t, Id, Part>;  // when it rings
  struct PartState {
    enum class At : std::uint8_t { rest, queue, work } at = At::rest;
    std::int64_t due_us = kNever;  // at rest: when its timer rings; at work: when somebody wants it next
    std::set<Timer>::iterator timer{};  // at rest, unless that is never
  };
  struct Awake;
  struct Driven;
  using Lane = std::shared_ptr<const std::string>;
  // A worker who is at something.
  struct Busy {
    std::shared_ptr<Tended> tended;
    Lane lane;           // that it holds a place of; null: it was not in a queue
    std::string device;  // where it may be stuck; "": not known
    Id id = 0;
    std::int64_t begun_us = 0;
    std::int64_t moved_us = 0;     // when it was last seen to compute
    std::int64_t heard_of_us = 0;  // the same, or to be at its store
    clockid_t computing_time{};
    std::int64_t computed_us = 0, looked_us = 0;
    bool is_replaced = false, is_told = false;
    bool is_stuck = false;  // and so it has no place in its lane
  };
  struct Work {
    Driven* driven = nullptr;  // null: to note that one hangs, or does no more
    Part part = kCapture;
    bool is_idle = false;  // what is captured: nothing was heard of it for a while
    std::list<Busy>::iterator busy;
  };
  enum Pool { kCapturers, kStores, kKeepers, kTeller, kLives, kPoolCount };
  static constexpr std::array kGathering{kCapturers, kStores, kKeepers};  // one thread takes what is near: call()
  struct Workers {
    int most = 1;  // at work at once, without those that are replaced
    int threads = 0, running = 0, replaced = 0;
    int sleeping = 0, called = 0;  // of those who sleep, how many are woken
    std::list<Busy> busy;
  };
  using Calls = std::array<int, kPoolCount>;
  // Holds the mutex. Who is called meanwhile is woken once it is free, and not to wait for it.
  class CAIRN_TSA(scoped_lockable) Hold {
   public:
    explicit Hold(Scheduler& scheduler) CAIRN_TSA(acquire_capability(scheduler.mutex_)) : scheduler_(scheduler) {
      scheduler_.mutex_.lock();
    }
    ~Hold() CAIRN_TSA(release_capability());
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Scheduler& scheduler_;
  };
  // While somebody is stuck there.
  struct Device {
    int stuck = 0;
    std::vector<std::pair<Id, Part>> waiting;
  };

  Scheduler(Clock& clock, const SchedulerOptions& options, std::unique_ptr<FilesWatch> watch);

  // The threads.
  void call(Pool pool) REQUIRES(mutex_);
  void wake_one(Pool pool) REQUIRES(mutex_);
  void wake_called() REQUIRES(mutex_);
  void wake(const Calls& calls, bool rings);
  void wait_loop() EXCLUDES(mutex_);
  void work_loop(Pool pool, std::list<std::thread>::iterator here) EXCLUDES(mutex_);
  std::optional<Work> next(Pool pool, std::list<std::thread>::iterator here, const std::optional<Work>& done)
      EXCLUDES(mutex_);
  void work(const Work& work) EXCLUDES(mutex_);
  void step(const Work& work) EXCLUDES(mutex_);
  bool still_awaits_database(Driven& driven);
  void tell_at_once(Driven& driven, bool is_on_floor);

  bool begin() EXCLUDES(mutex_);
  bool start_thread(std::list<std::thread>::iterator here, std::function<void()> run) REQUIRES(mutex_);

  // Who is kept for long, and who takes that one's place.
  bool hire(Pool pool) REQUIRES(mutex_);
  std::int64_t look_at_busy(std::int64_t now_us) REQUIRES(mutex_);
  std::int64_t look_at_one(Pool pool, Busy& busy, std::int64_t now_us) REQUIRES(mutex_);
  static void look_at(Pool pool, Busy& busy, std::int64_t now_us);
  bool replace(Pool pool) REQUIRES(mutex_);
  void leave_lane(Pool pool, Busy& busy) REQUIRES(mutex_);
  Work begin_work(Pool pool, Busy busy) REQUIRES(mutex_);
  void come_back(Pool pool, std::list<Busy>::iterator busy) REQUIRES(mutex_);
  std::string device_of(const Driven& driven, Part part) const REQUIRES(mutex_);
  bool waits_for_device(Driven& driven, Part part) REQUIRES(mutex_);
  void leave_device(const std::string& name) REQUIRES(mutex_);
  void count_hang(Tended& tended) REQUIRES(mutex_);
  void note_hang(const std::shared_ptr<Tended>& tended) REQUIRES(mutex_);
  void forget_hang(const std::shared_ptr<Tended>& tended) REQUIRES(mutex_);

  // Opening, closing, and what is told meanwhile.
  void live(Driven& driven) EXCLUDES(mutex_);
  void open_or_sleep(Driven& driven) EXCLUDES(mutex_);
  void watch_files(Driven& driven) EXCLUDES(mutex_);
  void close_or_sleep(Driven& driven) EXCLUDES(mutex_);
  void end(Driven& driven, const Result<void>& outcome) EXCLUDES(mutex_);
  void tell(Driven& driven) EXCLUDES(mutex_);
  void conclude(Driven& driven, const Result<void>& outcome) EXCLUDES(mutex_);
  bool may_sleep(Driven& driven, const Time& now) EXCLUDES(mutex_);
  void begin_to_sleep(Driven& driven) REQUIRES(mutex_);
  bool may_start(Driven& driven) REQUIRES(mutex_);
  void pump_starts() REQUIRES(mutex_);
  enum class Then { sleeps_soon, stays };
  void has_started(Driven& driven, Then then) REQUIRES(mutex_);
  void is_new_no_more(Driven& driven) REQUIRES(mutex_);
  void put_away_when_still(Driven& driven) REQUIRES(mutex_);

  // What is due, and when.
  std::set<Timer>& timers_of(Part part) REQUIRES(mutex_) { return timers_[part == kLife ? 0 : 1]; }
  std::int64_t tick_us() const REQUIRES(mutex_);
  std::int64_t checkpoint_gap_us() const REQUIRES(mutex_);
  std::int64_t ring_timers(std::int64_t now_us) REQUIRES(mutex_);
  void help_later(Pool pool) REQUIRES(mutex_);
  void help(std::int64_t now_us) REQUIRES(mutex_);
  std::int64_t when_to_help(std::int64_t now_us) REQUIRES(mutex_);
  std::int64_t when_to_help(Pool pool, std::int64_t now_us) REQUIRES(mutex_);
  void note_files(const std::map<Id, FilesWatch::What>& changed, std::int64_t now_us) REQUIRES(mutex_);
  std::optional<Work> take(Pool pool) REQUIRES(mutex_);
  void want(Driven& driven, Part part, std::int64_t due_us) REQUIRES(mutex_);
  void enqueue(Driven& driven, Part part) REQUIRES(mutex_);
  void rest(Driven& driven, Part part) REQUIRES(mutex_);
  void finish(const Work& work, const Result<Step>& result, const ReplicatorStatus& status) REQUIRES(mutex_);
  void note(Driven& driven, Part part, const ReplicatorStatus& status, std::int64_t now_us) REQUIRES(mutex_);
  bool is_idle(const Driven& driven, std::int64_t now_us) const REQUIRES(mutex_);
  bool may_be_waited_for(const Driven& driven, std::int64_t now_us) const REQUIRES(mutex_);
  std::int64_t look_again_us(Driven& driven, const ReplicatorStatus& status, std::int64_t now_us) REQUIRES(mutex_);
  std::int64_t look_asleep_us(const Driven& driven, std::int64_t now_us) REQUIRES(mutex_);
  void ring_all(Driven& driven) REQUIRES(mutex_);
  void cancel_timer(Driven& driven, Part part) REQUIRES(mutex_);
  void cancel_timers(Driven& driven) REQUIRES(mutex_);
  void set_busy(Driven& driven, bool busy) REQUIRES(mutex_);

  std::int64_t mono_us() { return clock_.mono_us(); }
  // Who merges has a low priority, and may be kept for long by all else that computes.
  static bool may_be_replaced(Pool pool) { return pool != kKeepers; }
  static Pool pool_of(Part part) {
    constexpr std::array<Pool, kPartCount> kPools{kCapturers, kStores, kStores, kKeepers, kTeller, kLives};
    return kPools[part];
  }
  // Who waits for no store waits for no other's.
  static const Lane& lane_of(const Driven& driven, Part part);

  Clock& clock_;
  const SchedulerOptions options_;
  const std::unique_ptr<FilesWatch> watch_;
  Mounts mounts_;

  Mutex mutex_;
  std::array<Workers, kPoolCount> workers_ GUARDED_BY(mutex_);
  std::array<ConditionVariable, kPoolCount> called_;  // of each pool
  Calls calls_ GUARDED_BY(mutex_){};                  // that nobody was woken for yet
  bool rings_ GUARDED_BY(mutex_) = false;             // the bell of the thread that waits, too
  std::map<std::string, Device> devices_ GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Tended>> to_note_ GUARDED_BY(mutex_);  // that one hangs, or does no more
  ConditionVariable noted_;
  std::unordered_map<Id, std::unique_ptr<Driven>> driven_ GUARDED_BY(mutex_);
  Id last_id_ GUARDED_BY(mutex_) = 0;
  std::size_t busy_ GUARDED_BY(mutex_) = 0, awake_ GUARDED_BY(mutex_) = 0;  // how many something is going on with
  // Of those who sleep, which are many and seldom change, and of what is done for the others.
  std::array<std::set<Timer>, 2> timers_ GUARDED_BY(mutex_);
  std::int64_t waits_until_us_ GUARDED_BY(mutex_) = 0;  // the thread that waits; 0: it is not waiting
  std::array<std::int64_t, kPoolCount> help_at_us_ GUARDED_BY(mutex_);  // when more take what is in its queue still
  std::vector<FairQueue<std::pair<Id, Part>>> queues_ GUARDED_BY(mutex_);  // by pool
  FairQueue<std::pair<Id, Lane>> starts_ GUARDED_BY(mutex_);  // who waits to be opened for the first time
  int starting_ GUARDED_BY(mutex_) = 0, new_awake_ GUARDED_BY(mutex_) = 0;  // the second: has started, does not sleep
  std::set<int> said_unwatched_ GUARDED_BY(mutex_);  // errnos
  bool quitting_ GUARDED_BY(mutex_) = false;
  std::list<std::thread> threads_ GUARDED_BY(mutex_), left_ GUARDED_BY(mutex_);  // the second: that end by themselves
};

}  // namespace cairn::daemon
