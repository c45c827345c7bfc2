// Manual pages and completions say what the command line says, whatever characters are in it.
#include "cli/command_tree.h"

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/completion.h"
#include "cli/manual.h"

namespace cairn::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Tree : public testing::Test {
 protected:
  Tree() {
    app_.add_option("--level", level_, "how much\nis said")->check(CLI::IsMember({"low", "high"}))->type_name("LEVEL");
    CLI::App* keep = app_.add_subcommand("keep", "Keeps what's there: all of it.\nNothing else.");
    keep->add_option("FILE", files_, "the files")->required();
    keep->add_option("-o,--output", output_, ".where it goes, C:\\ too")->type_name("DIR")->required();
    keep->footer("Examples:\n  cairn keep a -o b   'all'\n\nIt is kept.\n.Really.");
    app_.add_subcommand("secret", "Not for people.")->group("");
    root_ = command_text(app_);
  }

  CLI::App app_{"Does it.", "cairn"};
  std::string level_, output_;
  std::vector<std::string> files_;
  CommandText root_;
};

TEST_F(Tree, HasWhatHelpHas) {
  EXPECT_EQ(root_.path("-"), "cairn");
  ASSERT_EQ(root_.commands.size(), 1u) << "what is hidden stays so";
  const CommandText& keep = root_.commands[0];
  EXPECT_THAT(keep.words, ElementsAre("cairn", "keep"));
  EXPECT_EQ(keep.summary, "Keeps what's there");
  EXPECT_EQ(keep.description, "Keeps what's there: all of it. Nothing else.");
  ASSERT_EQ(keep.positionals.size(), 1u);
  EXPECT_TRUE(keep.positionals[0].required && keep.positionals[0].repeated);
  const OptionText& level = root_.options.back();
  EXPECT_THAT(level.names, ElementsAre("--level"));
  EXPECT_THAT(level.choices, ElementsAre("low", "high"));
  EXPECT_EQ(level.value, "LEVEL");
  EXPECT_EQ(level.description, "how much is said");
}

TEST_F(Tree, AManualPageEscapesWhatManWouldTakeForARequest) {
  const std::string page = manual_page(root_.commands[0], root_, "1.2");
  EXPECT_EQ(manual_file_name(root_.commands[0]), "cairn-keep.1");
  EXPECT_THAT(page, HasSubstr(".TH CAIRN\\-KEEP 1 \"\" \"cairn 1.2\""));
  EXPECT_THAT(page, HasSubstr("\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIDIR\\fR\n\\&.where it goes, C:\\e too.\n"));
  EXPECT_THAT(page, HasSubstr("\\fIFILE...\\fR\n"));
  EXPECT_THAT(page, HasSubstr("how much is said.\nOne of: low, high.\n")) << "the root's options stand behind it too";
  EXPECT_THAT(page, HasSubstr(".SH EXAMPLES\n.nf\ncairn keep a \\-o b   'all'\n"));
  EXPECT_THAT(page, HasSubstr(".SH NOTES\nIt is kept.\n\\&.Really.\n"));
  EXPECT_THAT(page, Not(HasSubstr("\n.Really")));
}

TEST_F(Tree, EachShellIsToldOfEachCommandAndValue) {
  const std::string bash = bash_completion(root_), zsh = zsh_completion(root_), fish = fish_completion(root_);
  EXPECT_THAT(bash, HasSubstr("'cairn') words='keep' ;;"));
  EXPECT_THAT(bash, HasSubstr("'cairn keep') options='-h --help -o --output --level' ;;"));
  EXPECT_THAT(bash, HasSubstr("*' --level') values='low high' ;;"));
  EXPECT_THAT(zsh, HasSubstr("commands=('keep:Keeps what'\\''s there')"));
  EXPECT_THAT(zsh, HasSubstr("'--output:.where it goes, C\\:\\ too'"));
  EXPECT_THAT(zsh, HasSubstr("*' --level') values=(low high) ;;"));
  EXPECT_THAT(fish, HasSubstr("-n '__fish_use_subcommand' -a keep -d 'Keeps what\\'s there'"));
  EXPECT_THAT(fish, HasSubstr("-s o -l output -r -d '.where it goes, C:\\\\ too'"));
  EXPECT_THAT(fish, HasSubstr("-l level -x -a 'low high'"));
  for (const std::string& script : {bash, zsh, fish}) EXPECT_THAT(script, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace cairn::cli
