// The WAL-indexes (-shm files) that SQLite has mapped are files of other programs, and any of them may be cut short,
// by whoever may write to it. Who touches the part that is missing gets SIGBUS: without this, one container that does
// so to its own file would end a process that follows a thousand databases.
//
// A program that wants to live on calls survive_cut_shm_files(). From then on all that is mapped of a file that was
// cut is exchanged for memory of this process alone, zeros at first: what SQLite reads there is no index, and what it
// writes there nobody else sees. The whole file, not only the page that is missing: where half of an index is shared
// and half of it is zeros, a checkpoint would tell everybody that frames are in the database file which are not. It
// stays exchanged until it is unmapped.
//
// So whoever reads such memory asks afterwards whether it was cut off.
#pragma once

#include <cstdint>

namespace cairn {

// Handles SIGBUS in this process: for the command alone, a library leaves signals to its program. Every other SIGBUS
// (a page hash file on a failing disk, somebody's kill) ends the process as before.
void survive_cut_shm_files();

// 0 at first. Changes before a mapping is exchanged, and again afterwards.
std::uint64_t shm_cut_count();

// Whether no file is mapped at the address any more. True also when that cannot be found out. `seen`: the count as it
// was when this was last asked about this address, or 0; it is brought up to date. It costs next to nothing while that
// is the count still, and little if others were cut since, who may do it again and again.
bool is_cut_off(const volatile void* address, std::uint64_t& seen);

}  // namespace cairn
