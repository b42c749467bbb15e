#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <millrace/journal/journal.hpp>

namespace millrace::journal {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    std::string name = (fs::temp_directory_path() / "millrace-journal-XXXXXX").string();
    options_.folder = std::string(::mkdtemp(name.data())) + "/journal";
    options_.file_bytes = 1000;
    options_.limit_bytes = 4000;
    open();
  }
  ~JournalTest() override {
    journal_.reset();
    fs::remove_all(fs::path(options_.folder).parent_path());
  }

  // As after the end of the process: whatever was not written is gone.
  void open() {
    journal_.reset();
    auto opened = Journal::open(options_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    journal_ = std::move(*opened);
  }
  void append(const std::string& body) {
    const Status appended = journal_->append(body);
    ASSERT_TRUE(appended.ok()) << appended.error().message;
  }
  std::vector<Entry> read_on(Reader& reader) {
    std::vector<Entry> all;
    for (;;) {
      auto entry = reader.next();
      EXPECT_TRUE(entry.ok()) << entry.error().message;
      if (!entry.ok() || !entry->has_value()) return all;
      all.push_back(std::move(**entry));
    }
  }
  std::vector<Entry> read_all() {
    Reader reader(*journal_);
    return read_on(reader);
  }
  std::vector<std::string> bodies(const std::vector<Entry>& entries) {
    std::vector<std::string> all;
    for (const Entry& entry : entries) all.push_back(entry.body);
    return all;
  }
  std::vector<fs::path> files(const std::string& extension = ".journal") {
    std::vector<fs::path> all;
    for (const auto& item : fs::directory_iterator(options_.folder)) {
      if (item.path().extension() == extension) all.push_back(item.path());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  static void overwrite(const fs::path& path, std::size_t at, const std::string& bytes) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }

  Options options_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, GivesWhatWasAppendedInOrderAndCountsFromOne) {
  EXPECT_TRUE(read_all().empty());
  append("one");
  append("two");
  const auto entries = read_all();
  EXPECT_EQ(bodies(entries), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(entries[0].counter, 1U);
  EXPECT_EQ(entries[1].counter, 2U);
  EXPECT_EQ(entries[0].run, entries[1].run);
}

TEST_F(JournalTest, AReaderFollowsWhileTheJournalGrows) {
  Reader reader(*journal_);
  EXPECT_TRUE(read_on(reader).empty());
  append("one");
  EXPECT_EQ(bodies(read_on(reader)), std::vector<std::string>{"one"});
  EXPECT_TRUE(read_on(reader).empty());
  for (int i = 0; i < 10; ++i) append(std::string(300, 'x'));
  EXPECT_EQ(read_on(reader).size(), 10U);
  EXPECT_GE(files().size(), 3U);
}

TEST_F(JournalTest, AnEntryHasTheSameNameAfterEveryRestart) {
  for (int i = 0; i < 9; ++i) append("entry " + std::to_string(i) + std::string(200, ' '));
  const auto before = read_all();
  for (int restart = 0; restart < 3; ++restart) {
    open();
    EXPECT_EQ(journal_->recovered().entries, 9U);
    const auto after = read_all();
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].run, before[i].run);
      EXPECT_EQ(after[i].counter, before[i].counter);
      EXPECT_EQ(after[i].body, before[i].body);
    }
  }
}

TEST_F(JournalTest, AnEntryKeepsItsNameWhenThoseBeforeItAreConfirmed) {
  for (int i = 0; i < 9; ++i) append("entry " + std::to_string(i) + std::string(200, ' '));
  const auto before = read_all();
  for (std::size_t done = 1; done <= before.size(); ++done) {
    ASSERT_TRUE(journal_->confirm(before[done - 1].end).ok());
    open();
    const auto after = read_all();
    ASSERT_EQ(after.size(), before.size() - done);
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].run, before[done + i].run);
      EXPECT_EQ(after[i].counter, before[done + i].counter);
      EXPECT_EQ(after[i].body, before[done + i].body);
    }
  }
}

TEST_F(JournalTest, EachRunNamesItsOwnEntries) {
  append("old");
  open();
  append("new");
  const auto entries = read_all();
  ASSERT_EQ(bodies(entries), (std::vector<std::string>{"old", "new"}));
  EXPECT_NE(entries[0].run, entries[1].run);
  EXPECT_EQ(entries[1].counter, 1U);
}

// What power loss took away is never named again.
TEST_F(JournalTest, AfterALostTailNoNameIsGivenTwice) {
  append("kept");
  append("lost");
  const auto before = read_all();
  fs::resize_file(files().at(0), fs::file_size(files().at(0)) - 12);
  open();
  append("later");
  const auto after = read_all();
  ASSERT_EQ(bodies(after), (std::vector<std::string>{"kept", "later"}));
  EXPECT_FALSE(after[1].run == before[1].run && after[1].counter == before[1].counter);
}

TEST_F(JournalTest, ATailTornAnywhereLosesOnlyTheLastEntry) {
  append("first");
  append("the last one");
  const std::string whole = [&] {
    std::ifstream file(files().at(0), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  const std::size_t last = kEntryOverhead + std::string("the last one").size();
  const fs::path path = files().at(0);
  for (std::size_t cut = 1; cut < last; ++cut) {
    journal_.reset();
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, whole.size() - cut);
    open();
    EXPECT_EQ(bodies(read_all()), std::vector<std::string>{"first"}) << cut;
    EXPECT_EQ(journal_->recovered().torn_bytes, last - cut);
    EXPECT_TRUE(journal_->recovered().damaged.empty());
  }
}

TEST_F(JournalTest, ZerosBehindTheLastEntryAreATornTail) {
  append("first");
  std::ofstream(files().at(0), std::ios::binary | std::ios::app) << std::string(500, '\0');
  open();
  EXPECT_EQ(bodies(read_all()), std::vector<std::string>{"first"});
  EXPECT_EQ(journal_->recovered().torn_bytes, 500U);
  EXPECT_TRUE(journal_->recovered().damaged.empty());
}

TEST_F(JournalTest, AWrongChecksumEndsAFileAndTheFileIsKept) {
  for (int i = 0; i < 3; ++i) append("entry " + std::to_string(i));
  for (int i = 0; i < 3; ++i) append(std::string(400, 'x'));
  append("next file");
  const fs::path path = files().at(0);
  overwrite(path, kFileHeaderBytes + 2 * kEntryOverhead + 7 + 3, "?");
  open();
  EXPECT_EQ(journal_->recovered().damaged, std::vector<std::string>{path.string()});
  const auto entries = read_all();
  EXPECT_EQ(bodies(entries), (std::vector<std::string>{"entry 0", "next file"}));
  EXPECT_EQ(entries[1].counter, 7U);
  ASSERT_TRUE(journal_->confirm(entries[1].end).ok());
  EXPECT_EQ(files(".damaged").size(), 1U);
}

TEST_F(JournalTest, AFileWithoutAHeaderIsPutAside) {
  append("first");
  overwrite(files().at(0), 0, "something else that is longer than a header of a journal file");
  open();
  EXPECT_TRUE(read_all().empty());
  EXPECT_EQ(journal_->recovered().damaged.size(), 1U);
  EXPECT_EQ(files(".damaged").size(), 1U);
  append("goes on");
  EXPECT_EQ(bodies(read_all()), std::vector<std::string>{"goes on"});
}

TEST_F(JournalTest, AFileTornWithinItsHeaderIsRemoved) {
  append("first");
  fs::resize_file(files().at(0), 10);
  open();
  EXPECT_TRUE(read_all().empty());
  EXPECT_TRUE(files().empty());
  EXPECT_TRUE(journal_->recovered().damaged.empty());
}

TEST_F(JournalTest, RotatesAndForgetsWhatIsConfirmed) {
  for (int i = 0; i < 12; ++i) append(std::string(250, static_cast<char>('a' + i)));
  EXPECT_EQ(files().size(), 3U);
  const auto entries = read_all();
  ASSERT_TRUE(journal_->confirm(entries[3].end).ok());
  EXPECT_EQ(files().size(), 2U);
  ASSERT_TRUE(journal_->confirm(entries[2].end).ok());  // an older one changes nothing
  EXPECT_EQ(journal_->confirmed(), entries[3].end);
  ASSERT_TRUE(journal_->confirm(entries[11].end).ok());
  EXPECT_EQ(files().size(), 1U);  // the one that is written
  open();
  EXPECT_TRUE(files().empty());
  EXPECT_TRUE(read_all().empty());
  append("goes on");
  EXPECT_EQ(bodies(read_all()), std::vector<std::string>{"goes on"});
}

TEST_F(JournalTest, NumbersOfFilesAreNeverUsedAgain) {
  append("one");
  ASSERT_TRUE(journal_->confirm(read_all().at(0).end).ok());
  const std::string first = files().at(0).filename();
  open();
  append("two");
  EXPECT_GT(files().at(0).filename().string(), first);
  EXPECT_EQ(bodies(read_all()), std::vector<std::string>{"two"});
}

TEST_F(JournalTest, IsBoundedAndTakesAgainWhenSomethingIsConfirmed) {
  int taken = 0;
  while (journal_->append(std::string(250, 'x')).ok()) ++taken;
  EXPECT_EQ(journal_->append(std::string(250, 'x')).error().kind, ErrorKind::kThrottled);
  EXPECT_LE(journal_->bytes(), options_.limit_bytes);
  EXPECT_GT(journal_->bytes() + 300, options_.limit_bytes);
  const auto entries = read_all();
  ASSERT_EQ(static_cast<int>(entries.size()), taken);
  std::thread waiting([&] {
    while (!journal_->append(std::string(250, 'y')).ok()) journal_->wait_for_room(60s);
  });
  ASSERT_TRUE(journal_->confirm(entries[3].end).ok());
  waiting.join();
  EXPECT_EQ(read_all().back().body, std::string(250, 'y'));
}

TEST_F(JournalTest, BeyondTheLimitOnlyWhoMust) {
  while (journal_->append(std::string(250, 'x')).ok()) {
  }
  EXPECT_TRUE(journal_->append(std::string(250, 'y'), Journal::Room::kBeyondLimit).ok());
  EXPECT_EQ(read_all().back().body, std::string(250, 'y'));
}

TEST_F(JournalTest, AnEntryThatDoesNotExistIsRefused) {
  EXPECT_EQ(journal_->append("").error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(journal_->append(std::string(kMaxBodyBytes + 1, 'x')).error().kind, ErrorKind::kInvalid);
}

TEST_F(JournalTest, EntriesLargerThanAnyBufferComeBack) {
  options_.limit_bytes = 20'000'000;
  open();
  const std::string large(3'000'000, 'z');
  append("small");
  append(large);
  append("small again");
  EXPECT_EQ(bodies(read_all()), (std::vector<std::string>{"small", large, "small again"}));
  open();
  EXPECT_EQ(journal_->recovered().entries, 3U);
  EXPECT_EQ(bodies(read_all()), (std::vector<std::string>{"small", large, "small again"}));
}

TEST_F(JournalTest, WithoutItsCheckpointEverythingThatIsThereComesAgain) {
  append("one");
  append("two");
  ASSERT_TRUE(journal_->confirm(read_all().at(0).end).ok());
  overwrite(options_.folder + "/confirmed", 0, std::string(2 * kCheckpointSlotBytes, '?'));
  open();
  const auto entries = read_all();
  EXPECT_EQ(bodies(entries), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(entries[0].counter, 1U);
}

TEST_F(JournalTest, SyncMayBeCalledAtAnyTime) {
  EXPECT_TRUE(journal_->sync().ok());
  std::jthread syncing([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) EXPECT_TRUE(journal_->sync().ok());
  });
  Reader reader(*journal_);
  for (int i = 0; i < 200; ++i) {
    append(std::string(250, 'x'));
    const auto entries = read_on(reader);
    ASSERT_EQ(entries.size(), 1U);
    ASSERT_TRUE(journal_->confirm(entries[0].end).ok());
  }
}

TEST_F(JournalTest, AFolderThatCannotBeUsedIsNamed) {
  options_.folder = "/proc/no-such-folder/journal";
  const auto opened = Journal::open(options_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::kUnavailable);
  EXPECT_NE(opened.error().message.find("/proc/no-such-folder"), std::string::npos);
}

}  // namespace
}  // namespace millrace::journal
