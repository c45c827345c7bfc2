// Which databases a configuration means at the moment: patterns are matched against what is there.
//
// A file system that does not answer is waited for some seconds only; what was known there stays as it was.
//
// No file is opened. Closing a descriptor of a database would drop the locks that SQLite holds on it for the whole
// process, so a database is known by its name alone.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.h"
#include "daemon/patient.h"

namespace cairn::daemon {

struct FoundDatabase {
  std::string path, replica;  // as written, or as found; the URL
  std::string identity;       // of the file: two names of one file have the same; of what is not there, the path
  DatabaseSettings settings;
  int line = 0;               // of the entry that means it
  bool is_registered = false;
};

// A database that was left out, because it would share a replica with another one or is another name of it.
struct Clash {
  std::string path, sentence, identity;  // the sentence has the line; of the file
};

// What did not answer, or failed: what was known of it is taken to be so still.
struct Unanswered {
  std::string what, sentence;  // the first for "... answers again"
  bool gets_on = false;        // it is only not done yet
};

class WalkUnderway;

struct FoundDatabases {
  std::vector<FoundDatabase> databases;  // by path; those that are named by path are there although the file is not
  std::set<std::string> directories;     // in which a name that comes or goes may change the answer
  std::vector<Clash> clashes;
  std::vector<Unanswered> unanswered;    // it is to be looked again
  std::map<std::string, std::string> real_places;  // of replicas to which links lead
  std::vector<std::shared_ptr<const WalkUnderway>> underway;  // that went on when they were waited for no longer
};

// A database that several entries mean belongs to the one that names its path, else to the first. `before`: what was
// found last, of which what does not answer now stays as it was, and what was not done is not begun anew.
FoundDatabases find_databases(const Config& config, const FoundDatabases& before = {}, const Patience& patience = {});

// How the sentence about one begins that was registered.
inline constexpr std::string_view kRegisteredClash = "registered: ";

// What lies beside a database and is none.
bool is_beside_a_database(std::string_view name);

}  // namespace cairn::daemon
