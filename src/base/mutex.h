// std::mutex with clang's thread-safety annotations, so that a forgotten lock is a compile error in the clang build.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define CAIRN_TSA(x) __attribute__((x))
#else
#define CAIRN_TSA(x)
#endif
#define GUARDED_BY(x) CAIRN_TSA(guarded_by(x))
#define REQUIRES(...) CAIRN_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) CAIRN_TSA(locks_excluded(__VA_ARGS__))

namespace cairn {

class CAIRN_TSA(capability("mutex")) Mutex {
 public:
  void lock() CAIRN_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() CAIRN_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class CAIRN_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CAIRN_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() CAIRN_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits release and take the annotated mutex like a std::condition_variable does.
using ConditionVariable = std::condition_variable_any;

}  // namespace cairn
