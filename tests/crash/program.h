// A program in a process of its own, with what it printed; killed when the test forgets it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace cairn::testing {

struct Ending {
  int status = -1;   // as the shell has it: 128 + the signal that ended it
  std::string said;  // on standard output and standard error
};

class Program {
 public:
  // What it prints is appended to the file `log`.
  Program(std::vector<std::string> words, std::string log) : log_(std::move(log)) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) kill();
  }

  Ending kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    return wait();
  }

  Ending wait() {
    Ending ending;
    int state = 0;
    if (pid_ > 0 && ::waitpid(std::exchange(pid_, -1), &state, 0) > 0) {
      ending.status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    }
    std::ifstream in(log_, std::ios::binary);
    ending.said = {std::istreambuf_iterator<char>(in), {}};
    return ending;
  }

 private:
  std::string log_;
  pid_t pid_ = -1;
};

}  // namespace cairn::testing
