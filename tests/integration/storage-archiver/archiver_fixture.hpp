#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "archiver_config.hpp"
#include "s3_server.hpp"
#include "test_database.hpp"
#include "work/archiver.hpp"

namespace millrace::archiver {

/// A database and a store of its own for each test. The parameter is the kind of store.
class ArchiverTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// What a reader sees: text of each row by its key.
  using Contents = std::map<std::string, std::string>;

  void SetUp() override;
  void TearDown() override;

  /// YYYY-MM-DD, so many days ago.
  static std::string day_ago(int days);
  /// Makes the partition of the day and rows of every kind in it.
  void fill(const std::string& day, int rows);
  void insert(const std::string& day, int device, std::int64_t second, double value, bool untimed = false);
  void run(const std::string& sql);
  std::int64_t ask(const std::string& sql);

  /// storage-writer tells that the devices of the day's file are over; says of how many points.
  std::int64_t expire(const std::string& day, const std::string& devices);

  /// Rows of storage.sample.
  Contents hot();
  /// Rows of all files that count.
  Contents cold();
  /// Both, the hot ones over the cold ones.
  Contents all();

  /// One look of an archiver of its own.
  Status pass(const std::function<void(std::string_view)>& after_step = {});
  /// pass() in a process that is killed right after `step`; false where it never got there.
  bool killed_after(std::string_view step);
  std::vector<std::string> stored_keys();
  /// The object of a key, as a file of the store's folder.
  [[nodiscard]] std::string path_of(const std::string& key) const { return objects_ + "/" + key; }

  Config config_;
  std::unique_ptr<postgres::Connection> session_;

 private:
  void use_store();

  std::unique_ptr<postgres::Connection> admin_;
  std::string database_;
  std::string folder_;
  std::string objects_;
  std::unique_ptr<S3Server> s3_;
};

}  // namespace millrace::archiver
