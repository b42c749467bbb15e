#include <gtest/gtest.h>

#include <millrace/archive/store_settings.hpp>

namespace millrace::archive {
namespace {

constexpr std::array kOwn{config::Option{.key = "X", .default_value = "1", .help = "Something of the service."}};
constexpr auto kAll = with_store_options(kOwn);
constexpr config::OptionTable kTable{
    .program = "p", .summary = "s", .prefix = "P_", .options = kAll, .commands = {}, .check = check_store_settings};

TEST(StoreSettings, AreOffUnlessTold) {
  const auto values = config::load(kTable, {});
  ASSERT_TRUE(values.ok());
  EXPECT_FALSE(read_store_settings(*values).on());
  EXPECT_TRUE(read_store_settings(*values).worker.ends_with("/parquet-worker"));
}

TEST(StoreSettings, NameWhatAStoreNeeds) {
  for (const auto& [store, missing] :
       {std::pair{"directory", "ARCHIVE_DIRECTORY"}, std::pair{"s3", "ARCHIVE_S3_SECRET_KEY"},
        std::pair{"azure", "ARCHIVE_AZURE_SAS"}}) {
    const auto values = config::load(kTable, {{"P_ARCHIVE_STORE", store}});
    ASSERT_FALSE(values.ok()) << store;
    EXPECT_NE(values.error().message.find(missing), std::string::npos) << values.error().message;
  }
}

TEST(StoreSettings, KeepSecretsOutOfWhatPeopleSee) {
  const auto values = config::load(kTable, {{"P_ARCHIVE_STORE", "s3"},
                                            {"P_ARCHIVE_BUCKET", "cold"},
                                            {"P_ARCHIVE_PREFIX", "site"},
                                            {"P_ARCHIVE_S3_ACCESS_KEY", "id"},
                                            {"P_ARCHIVE_S3_SECRET_KEY", "hush"}});
  ASSERT_TRUE(values.ok());
  const auto settings = read_store_settings(*values);
  EXPECT_EQ(settings.place, "s3://cold/site");
  EXPECT_EQ(archive_format::text_of(settings.fields, "secret_key"), "hush");
  EXPECT_EQ(values->print().find("hush"), std::string::npos);
}

}  // namespace
}  // namespace millrace::archive
