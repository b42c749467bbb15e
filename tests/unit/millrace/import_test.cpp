// What an import reads and writes, without a registry.
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "command_error.hpp"
#include "import/csv_reader.hpp"
#include "import/device_set.hpp"
#include "import/import_file.hpp"
#include "import/token_file.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

using Kind = CsvReader::Kind;

std::vector<ImportRow> rows_of(const std::string& text) {
  std::istringstream in(text);
  ImportFile file(in);
  std::vector<ImportRow> rows;
  for (ImportRow row; file.next(row);) rows.push_back(row);
  EXPECT_EQ(file.position(), text.size());
  return rows;
}

TEST(CsvReader, ReadsBackWhatCsvFieldWrites) {
  for (const std::string text : {"plain", "a,b", "a\"b\"", ""}) {
    std::istringstream in(csv_field(text) + ",end\n");
    CsvReader reader(in);
    std::vector<std::string> fields;
    ASSERT_EQ(reader.next(fields), Kind::kRecord);
    EXPECT_EQ(fields, (std::vector<std::string>{text, "end"}));
    EXPECT_EQ(reader.next(fields), Kind::kEnd);
  }
}

TEST(CsvReader, ARecordEndsWithItsLineWhateverItsQuotesSay) {
  std::istringstream in(
      "\xEF\xBB\xBF"
      "a,\"1\r\n\n\"b\"\nc,\"open");
  CsvReader reader(in);
  std::vector<std::string> fields;
  EXPECT_EQ(reader.next(fields), Kind::kOpenQuote);
  EXPECT_EQ(reader.line(), 1U);
  EXPECT_EQ(reader.next(fields), Kind::kRecord) << "an empty line";
  ASSERT_EQ(reader.next(fields), Kind::kRecord);
  EXPECT_EQ(fields[0], "b");
  EXPECT_EQ(reader.line(), 3U);
  EXPECT_EQ(reader.next(fields), Kind::kOpenQuote) << "at the end of the file";
  EXPECT_EQ(reader.next(fields), Kind::kEnd);
}

TEST(CsvReader, APartOfAByteOrderMarkIsText) {
  std::istringstream in("\xEF\xBBx\n");
  CsvReader reader(in);
  std::vector<std::string> fields;
  ASSERT_EQ(reader.next(fields), Kind::kRecord);
  EXPECT_EQ(fields[0], "\xEF\xBBx");
}

TEST(CsvReader, ALineThatIsTooLongIsPassedOver) {
  std::istringstream in("a,\"" + std::string(CsvReader::kLargestRecord, 'x') + "\ngood\n");
  CsvReader reader(in);
  std::vector<std::string> fields;
  EXPECT_EQ(reader.next(fields), Kind::kTooLong);
  ASSERT_EQ(reader.next(fields), Kind::kRecord);
  EXPECT_EQ(fields[0], "good");
  EXPECT_EQ(reader.line(), 2U);
}

TEST(ImportFile, TakesIdsAloneOrAHeaderWithAttributes) {
  const auto plain = rows_of("m-1\r\n\nm-2\n");
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_EQ(plain[1].device, "m-2");
  EXPECT_EQ(plain[1].line, 3U);
  EXPECT_EQ(plain[1].attributes_json, "");
  const auto named = rows_of("device,site,note\nm-1,north,\"a, b\"\nm-2,,\n");
  ASSERT_EQ(named.size(), 2U);
  EXPECT_EQ(named[0].attributes_json, R"({"site":"north","note":"a, b"})");
  EXPECT_EQ(named[1].attributes_json, "");
}

TEST(ImportFile, AFaultIsOfItsLineAndTheOthersGoOn) {
  const auto rows = rows_of("m-1\nm-2,north\nno blanks\nm-3\n\xFF\n");
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(rows[0].fault, "");
  EXPECT_NE(rows[1].fault.find("2 fields, not 1"), std::string::npos) << rows[1].fault;
  EXPECT_EQ(rows[1].line, 2U);
  EXPECT_NE(rows[2].fault, "");
  EXPECT_EQ(rows[3].device, "m-3");
  EXPECT_EQ(rows[3].fault, "");
  EXPECT_NE(rows[4].fault, "");
}

TEST(ImportFile, AQuoteThatIsNotClosedCostsItsLineAndNoOther) {
  const auto rows = rows_of("device,site\nm-1,\"north\nm-2,south\nm-3,\"west\"\n");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].line, 2U);
  EXPECT_NE(rows[0].fault.find("quote"), std::string::npos) << rows[0].fault;
  EXPECT_EQ(rows[1].device, "m-2");
  EXPECT_EQ(rows[1].fault, "");
  EXPECT_EQ(rows[2].attributes_json, R"({"site":"west"})");
}

TEST(ImportFile, AHeaderWithoutDeviceInFrontIsToldOnce) {
  for (const std::string header : {"site,device", "Device,site", "m-1,north"}) {
    std::istringstream in(header + "\nnorth,m-1\n");
    try {
      const ImportFile file(in);
      ADD_FAILURE() << header;
    } catch (const CommandError& error) {
      EXPECT_NE(std::string(error.what()).find("`device` first"), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(rows_of("m-1").size(), 1U);
  EXPECT_EQ(rows_of("").size(), 0U);
  EXPECT_EQ(rows_of("\nm-1\n").size(), 1U);
}

TEST(DeviceSet, TellsASecondMarkFromAFirst) {
  using Mark = DeviceSet::Mark;
  DeviceSet set;
  EXPECT_EQ(set.mark("m-1"), Mark::kAbsent);
  for (int i = 0; i < 3000; ++i) {
    const std::string device = "m-" + std::to_string(i);
    set.insert(device);
    EXPECT_EQ(set.mark(device), Mark::kFirst);
  }
  EXPECT_EQ(set.mark("m-0"), Mark::kAgain) << "the table has grown since";
  EXPECT_EQ(set.mark("other"), Mark::kAbsent);
  EXPECT_TRUE(set.contains("m-0"));
  EXPECT_FALSE(set.insert("m-0"));
}

TEST(DeviceSet, HoldsWhatWasInserted) {
  DeviceSet set;
  EXPECT_FALSE(set.contains("m-1"));
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(set.insert("m-" + std::to_string(i)));
  for (int i = 0; i < 5000; ++i) EXPECT_FALSE(set.insert("m-" + std::to_string(i)));
  EXPECT_TRUE(set.contains("m-4999"));
  EXPECT_FALSE(set.contains("m-5000"));
  EXPECT_EQ(set.size(), 5000U);
}

class ImportFiles : public ::testing::Test {
 protected:
  ImportFiles() { std::filesystem::create_directories(folder_); }
  ~ImportFiles() override { std::filesystem::remove_all(folder_); }

  std::string text() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& text) const { std::ofstream(path_) << text; }

  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("millrace-import-" + to_hex(random_bytes(4)));
  std::filesystem::path path_ = folder_ / "fleet.tokens.csv";
};

TEST_F(ImportFiles, TokensAreAddedAndNobodyElseReadsThem) {
  {
    TokenFile tokens(path_);
    EXPECT_EQ(tokens.devices().size(), 0U);
    tokens.add("m-1", "t1");
    tokens.sync();
  }
  struct stat about{};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  TokenFile again(path_);
  EXPECT_TRUE(again.devices().contains("m-1"));
  again.add("m-2", "t2");
  again.sync();
  EXPECT_EQ(text(), "device,token\nm-1,t1\nm-2,t2\n");
}

TEST_F(ImportFiles, HalfALineOfAClientThatDiedGoes) {
  write("device,token\nm-1,t1\nm-2,t");
  TokenFile tokens(path_);
  EXPECT_FALSE(tokens.devices().contains("m-2"));
  tokens.add("m-2", "t2");
  tokens.sync();
  EXPECT_EQ(text(), "device,token\nm-1,t1\nm-2,t2\n");
}

TEST_F(ImportFiles, HalfAHeaderIsWrittenAnew) {
  write("device,t");
  TokenFile tokens(path_);
  EXPECT_EQ(text(), "device,token\n");
}

TEST_F(ImportFiles, AnotherFileIsLeftAlone) {
  for (const std::string other : {"name,age\nx,1\n", "device,token\nm-1,t1\nm-2\n", "device,token\nno blanks,t\n"}) {
    write(other);
    EXPECT_THROW(TokenFile{path_}, CommandError);
    EXPECT_EQ(text(), other);
  }
}

TEST_F(ImportFiles, OneImportAtATimeWrites) {
  const TokenFile first(path_);
  EXPECT_THROW(TokenFile{path_}, CommandError);
}

TEST_F(ImportFiles, ASecretIsTakenUpUntilItIsRemoved) {
  const ImportSecret first(path_);
  EXPECT_FALSE(first.taken_up());
  const std::string token = first.token_of("acme", "m-1");
  EXPECT_EQ(token.size(), 35U);
  EXPECT_NE(token, first.token_of("acme", "m-2"));
  EXPECT_NE(token, first.token_of("other", "m-1"));
  const ImportSecret second(path_);
  EXPECT_TRUE(second.taken_up());
  EXPECT_EQ(second.token_of("acme", "m-1"), token);
  struct stat about{};
  ASSERT_EQ(::stat((path_.string() + ".secret").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  second.remove();
  const ImportSecret third(path_);
  EXPECT_FALSE(third.taken_up());
  EXPECT_NE(third.token_of("acme", "m-1"), token);
}

TEST_F(ImportFiles, ADamagedSecretIsNotDrawnAnew) {
  std::ofstream(path_.string() + ".secret") << "12ab";
  EXPECT_THROW(ImportSecret{path_}, CommandError);
}

}  // namespace
}  // namespace millrace::cli
