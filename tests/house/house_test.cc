// The style of this house, as a test: which module may include which, which library stays where, what core logic must
// not reach for, and the shape of files. A rule that cannot be checked by reading text is not here.
//
// The arrows are read from CMakeLists.txt (NEEDS), and docs/architecture.md has to say the same: moving one is a
// decision that shows in both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <span>
#include <sstream>

#include "house/source_text.h"

namespace cairn::house {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxColumns = 120;
constexpr std::size_t kMaxFileLines = 500;
constexpr std::size_t kMaxTestLines = 1000;  // a suite that every store passes is one idea, and long
constexpr std::size_t kMaxFunctionLines = 70;

fs::path root() { return CAIRN_SOURCE_DIR; }

struct Source {
  std::string path;  // from the root, '/'-separated
  std::string text;

  bool is_header() const { return path.ends_with(".h"); }
  bool is_cpp() const { return is_header() || path.ends_with(".cc"); }
  bool is_test() const { return path.ends_with("_test.cc") || path.starts_with("tests/"); }
  bool is_product() const { return !is_test() && (path.starts_with("src/") || path.starts_with("include/")); }
  // "wal" for src/wal/x.cc; "" for what lies elsewhere.
  std::string module() const {
    static const std::regex kModule("^src/([a-z0-9]+)/.*");
    std::smatch match;
    return std::regex_match(path, match, kModule) ? match[1].str() : "";
  }
};

bool is_text(const fs::path& path) {
  static const std::set<std::string> kExtensions{".cc", ".h", ".md", ".txt", ".cmake", ".json", ".py", ".in", ""};
  return kExtensions.contains(path.extension().string()) && path.string().find("/tests/data/") == std::string::npos &&
         path.string().find("/corpus/") == std::string::npos;
}

const std::vector<Source>& tree() {
  static const std::vector<Source> sources = [] {
    std::vector<Source> found;
    const auto add = [&](const fs::path& path) {
      if (fs::is_regular_file(path) && is_text(path)) {
        found.push_back({fs::relative(path, root()).generic_string(), read_text(path)});
      }
    };
    for (const auto& entry : fs::directory_iterator(root())) add(entry.path());
    for (const char* folder : {"include", "src", "tests", "bench", "docs", "cmake", "scripts", ".ci"}) {
      if (!fs::exists(root() / folder)) continue;
      for (const auto& entry : fs::recursive_directory_iterator(root() / folder)) add(entry.path());
    }
    std::sort(found.begin(), found.end(), [](const Source& a, const Source& b) { return a.path < b.path; });
    return found;
  }();
  return sources;
}

// What breaks a rule, one line each; empty when all is well.
class Complaints {
 public:
  void add(const Source& source, std::size_t line, const std::string& what) {
    out_ << source.path << ":" << line << ": " << what << "\n";
  }
  std::string text() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

// Calls `look(source, line number, line)` for each line of code, comments and literals blanked.
template <class Look>
void each_code_line(const Source& source, const Look& look) {
  std::size_t number = 0;
  for (const std::string& line : lines_of(code_of(source.text, Literals::blank))) look(source, ++number, line);
}

using Arrows = std::map<std::string, std::set<std::string>>;

std::set<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

Arrows arrows_of_cmake() {
  static const std::regex kModule(R"(\ncairn_module\(([a-z0-9]+)(?: NEEDS ([a-z0-9 ]+?))?(?:\s+LIBS[^)]*)?\))");
  const std::string text = read_text(root() / "CMakeLists.txt");
  Arrows arrows;
  for (std::sregex_iterator it(text.begin(), text.end(), kModule), end; it != end; ++it) {
    arrows[(*it)[1]] = words_of((*it)[2]);
  }
  return arrows;
}

Arrows arrows_of_document() {
  static const std::regex kArrow(R"(\n([a-z0-9]+) +->([a-z0-9 ]*))");
  const std::string text = read_text(root() / "docs/architecture.md");
  Arrows arrows;
  for (std::sregex_iterator it(text.begin(), text.end(), kArrow), end; it != end; ++it) {
    arrows[(*it)[1]] = words_of((*it)[2]);
  }
  return arrows;
}

TEST(Arrows, CMakeAndTheDocumentSayTheSame) {
  Arrows document = arrows_of_document();
  document.erase("cli");  // may use everything; it is no module of the library
  EXPECT_EQ(arrows_of_cmake(), document);
}

TEST(Arrows, PointOneWay) {
  std::set<std::string> declared;
  const std::string text = read_text(root() / "CMakeLists.txt");
  const Arrows arrows = arrows_of_cmake();
  ASSERT_GE(arrows.size(), 7u);
  for (const auto& [module, needs] : arrows) {
    for (const std::string& need : needs) {
      EXPECT_TRUE(arrows.contains(need)) << module << " needs " << need << ", which is no module";
      EXPECT_LT(text.find("cairn_module(" + need), text.find("cairn_module(" + module)) << "a circle, or out of order";
    }
  }
}

TEST(Arrows, EveryIncludeFollowsOne) {
  const Arrows arrows = arrows_of_cmake();
  Complaints complaints;
  for (const Source& source : tree()) {
    const std::string module = source.module();
    if (!source.is_cpp() || source.is_test() || module.empty() || module == "cli") continue;
    for (const Include& include : includes_of(source.text)) {
      const std::string target = include.name.substr(0, include.name.find('/'));
      if (include.system || target == module || !fs::is_directory(root() / "src" / target)) continue;
      const auto needs = arrows.find(module);
      if (needs == arrows.end() || !needs->second.contains(target)) {
        complaints.add(source, include.line, "no arrow " + module + " -> " + target + " (" + include.name + ")");
      }
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Arrows, EveryFolderOfTheLibraryIsAModule) {
  for (const auto& entry : fs::directory_iterator(root() / "src")) {
    const std::string name = entry.path().filename();
    if (entry.is_directory() && name != "cli" && !fs::is_empty(entry.path())) {
      EXPECT_TRUE(arrows_of_cmake().contains(name)) << "src/" << name;
    }
  }
}

TEST(PublicHeaders, IncludeOnlyTheStandardLibraryAndEachOther) {
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.path.starts_with("include/")) continue;
    for (const Include& include : includes_of(source.text)) {
      const bool standard = include.system && include.name.find_first_of("./") == std::string::npos;
      if (!standard && !include.name.starts_with("cairn/")) complaints.add(source, include.line, include.name);
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Libraries, StayWhereTheyBelong) {
  struct Home {
    const char* header;
    std::set<std::string> modules;
  };
  const std::array homes{
      Home{"sqlite3.h", {"sqlite"}}, Home{"zstd", {"segment", "layer"}}, Home{"spdlog/", {"cli", "daemon"}},
      Home{"CLI/", {"cli"}},         Home{"curl/", {"s3"}},              Home{"openssl/", {"s3", "layer"}},
      Home{"pugixml", {"s3"}},       Home{"toml++/", {"daemon"}},
      Home{"boost/", {"web"}},       Home{"prometheus/", {"web"}},
  };
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.is_cpp() || !source.is_product()) continue;
    for (const Include& include : includes_of(source.text)) {
      for (const Home& home : homes) {
        if (!include.name.starts_with(home.header) || home.modules.contains(source.module())) continue;
        complaints.add(source, include.line, include.name + " does not belong here");
      }
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

// Time, threads and chance come from outside, so that one seed replays everything.
TEST(CoreLogic, HasNoThreadSleepClockOrChanceOfItsOwn) {
  static const std::set<std::string> kCore{"wal", "segment", "replicate", "compact", "restore", "layer"};
  // Waits for its own workers' results, at most so long; what it then hands on does not depend on the time.
  static const std::set<std::string> kExempt{"src/segment/block_pipeline.cc"};
  static const std::regex kForbidden(
      R"(\b(std::thread|jthread|std::async|sleep_for|sleep_until|usleep|nanosleep|pthread_create|system_clock|)"
      R"(steady_clock|high_resolution_clock|clock_gettime|gettimeofday|random_device|mt19937|getrandom)\b|)"
      R"(\b(time|rand)\(|#\s*include\s*<(thread|random|chrono|future)>)");
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.is_cpp() || source.is_test() || !kCore.contains(source.module())) continue;
    if (kExempt.contains(source.path)) continue;
    each_code_line(source, [&](const Source& where, std::size_t number, const std::string& line) {
      std::smatch match;
      if (std::regex_search(line, match, kForbidden)) complaints.add(where, number, match[0]);
    });
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Library, ThrowsNothingPrintsNothingAndEndsNoProcess) {
  static const std::regex kForbidden(
      R"(\b(throw|std::cout|std::cerr|std::clog|printf|fprintf|puts|std::exit|_exit|quick_exit|std::terminate)\b)");
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.is_cpp() || !source.is_product() || source.module() == "cli") continue;
    if (source.path == "src/base/check.cc") continue;  // the one place that ends the process
    each_code_line(source, [&](const Source& where, std::size_t number, const std::string& line) {
      std::smatch match;
      if (std::regex_search(line, match, kForbidden)) complaints.add(where, number, match[0]);
    });
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Shape, HeadersBeginWithPragmaOnce) {
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.is_header()) continue;
    const std::string code = code_of(source.text, Literals::keep);
    const std::size_t first = code.find_first_not_of(" \n");
    if (first == std::string::npos || code.compare(first, 12, "#pragma once") != 0) {
      complaints.add(source, 1, "#pragma once comes before everything but comments");
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Shape, LinesFilesAndFunctionsKeepTheirSize) {
  Complaints complaints;
  for (const Source& source : tree()) {
    const bool prose = source.path.ends_with(".md");
    std::size_t number = 0;
    for (const std::string& line : lines_of(source.text)) {
      ++number;
      // Tables and links of a document cannot be broken.
      if (!prose && columns_of(line) > kMaxColumns) complaints.add(source, number, "wider than 120 columns");
      if (line.find('\t') != std::string::npos) complaints.add(source, number, "a tab");
      if (!line.empty() && (line.back() == ' ' || line.back() == '\r')) {
        complaints.add(source, number, "white space at the end");
      }
    }
    if (!source.text.empty() && source.text.back() != '\n') complaints.add(source, number, "no newline at the end");
    if (source.is_cpp() && number > (source.is_test() ? kMaxTestLines : kMaxFileLines)) {
      complaints.add(source, number, "too many lines in one file");
    }
    if (!source.is_cpp() || source.is_test()) continue;
    for (const Function& function : functions_of(source.text)) {
      if (function.lines <= kMaxFunctionLines) continue;
      complaints.add(source, function.first_line, "a function of " + std::to_string(function.lines) + " lines");
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tree, LeavesNothingOpenAndNamesNoMachine) {
  // Put together here, so that this file does not break its own rule.
  const std::regex forbidden(std::string(R"(\bFIX)") + R"(ME\b|\bXX)" + R"(X\b|TODO\(no)" + R"(w\)|(^|[\s"'=(`])/wor)" +
                             R"(k/|/hom)" + R"(e/[a-z]|://[a-z0-9.-]*\.(debian|npmjs|pypi|crates|golang)\.)");
  Complaints complaints;
  for (const Source& source : tree()) {
    std::size_t number = 0;
    for (const std::string& line : lines_of(source.text)) {
      ++number;
      std::smatch match;
      if (std::regex_search(line, match, forbidden)) complaints.add(source, number, match[0]);
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Documents, LinksLeadSomewhere) {
  static const std::regex kLink(R"(\]\(([^)#: ]+)(#[^)]*)?\))");
  Complaints complaints;
  for (const Source& source : tree()) {
    if (!source.path.ends_with(".md")) continue;
    std::size_t number = 0;
    for (const std::string& line : lines_of(source.text)) {
      ++number;
      for (std::sregex_iterator it(line.begin(), line.end(), kLink), end; it != end; ++it) {
        const fs::path target = root() / fs::path(source.path).parent_path() / (*it)[1].str();
        if (!fs::exists(target)) complaints.add(source, number, (*it)[1].str() + " is not there");
      }
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Documents, TheMapNamesEveryFolder) {
  const std::string text = read_text(root() / "docs/architecture.md");
  for (const auto& entry : fs::directory_iterator(root() / "src")) {
    if (!entry.is_directory() || fs::is_empty(entry.path())) continue;
    const std::string name = "`src/" + entry.path().filename().string() + "/`";
    EXPECT_NE(text.find(name), std::string::npos) << "docs/architecture.md has no line for " << name;
  }
}

// The scanner itself, so that a rule that finds nothing has really looked.
TEST(Scanner, BlanksCommentsAndLiteralsAndKeepsLines) {
  EXPECT_EQ(code_of("a // b\nc /* d\n e */ f", Literals::blank), "a     \nc     \n      f");
  EXPECT_EQ(code_of("x(\"//\\\"\") + 1'000", Literals::blank), "x(      ) + 1'000");
  EXPECT_EQ(code_of("R\"(\" { \n)\" y", Literals::blank), "       \n   y");
  EXPECT_EQ(code_of("'\"' z", Literals::keep), "'\"' z");
}

TEST(Scanner, MeasuresFunctionsNotTypesLambdasOrMacros) {
  const std::string text =
      "namespace a {\nstruct S {\n  int f() {\n    if (x) {\n    }\n    return 0;\n  }\n  int y = 0;\n};\n"
      "#define M(x) { \\\n  {\nvoid g() { auto l = [](int) { return 1; }; }\nconst T kTable[] = {\n{1}, {2}};\n}\n";
  const std::vector<Function> functions = functions_of(text);
  ASSERT_EQ(functions.size(), 2u);
  EXPECT_EQ(functions[0].first_line, 3u);
  EXPECT_EQ(functions[0].lines, 5u);
  EXPECT_EQ(functions[1].lines, 1u);
}

TEST(Scanner, FindsTheTree) {
  const auto& sources = tree();
  const auto has = [&](const std::string& path) {
    return std::any_of(sources.begin(), sources.end(), [&](const Source& source) { return source.path == path; });
  };
  EXPECT_TRUE(has("include/cairn/store.h"));
  EXPECT_TRUE(has("src/wal/wal.h"));
  EXPECT_TRUE(has("CMakeLists.txt"));
  EXPECT_TRUE(has(".ci/run"));
}

}  // namespace
}  // namespace cairn::house
