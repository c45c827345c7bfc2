// CHECK(condition): what only a mistake of ours can break. It stays on in release and ends the process, which is
// safe by design: everything survives a crash. Bytes from disk or network are never CHECKed but returned as corrupt.
#pragma once

namespace cairn {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define CAIRN_CHECK(condition) \
  do {                         \
    if (!(condition)) ::cairn::check_failed(#condition, __FILE__, __LINE__); \
  } while (0)
