#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "read/cold_reader.hpp"
#include "read/group_reader.hpp"

namespace millrace::query_api {

/// What GroupReader says, over the database and the files of archived days. Reads every number of the range and adds it
/// up here, in one view of database and catalogue. Blocking, each call at most as long as its patience; holds a place
/// of the ColdReader and, once it has it, a connection. Thread-safe.
class ArchivedGroups {
 public:
  ArchivedGroups(postgres::Pool& pool, ColdReader& cold) : pool_(pool), cold_(cold) {}

  /// As GroupReader::aggregate; group.devices ascending. Fewer rows than asked for where the group has more than 50,000
  /// devices.
  [[nodiscard]] Result<GroupPage> aggregate(const Group& group, const Cut& cut, TimeUs from, TimeUs to, int rows,
                                            const Patience& patience);

  /// As GroupReader::top; group.devices ascending.
  [[nodiscard]] Result<std::vector<Ranked>> top(const Group& group, TimeUs from, TimeUs to, Measure measure, Rank rank,
                                                int n, const Patience& patience);

 private:
  /// Takes a number: its device, time and value.
  using Sink = std::function<void(std::int32_t, TimeUs, double)>;
  /// A part of a range: of the database alone where it has no file.
  struct Stretch {
    TimeUs from = 0;
    TimeUs to = 0;
    std::string file;
  };

  [[nodiscard]] static Result<std::vector<Stretch>> stretches(postgres::Connection& connection, TimeUs from, TimeUs to);
  [[nodiscard]] Status numbers(const Group& group, TimeUs from, TimeUs to, const Patience& patience, const Sink& each);
  /// What it reads with.
  struct Moment {
    SharedPlace place;
    postgres::Pool::Lease connection;
  };
  [[nodiscard]] Result<Moment> begin(const Patience& patience);
  [[nodiscard]] Status numbers_of_file(const Moment& moment, const Group& group, const Stretch& stretch,
                                       const Patience& patience, const Sink& each);
  [[nodiscard]] Result<std::optional<TimeUs>> first_number(const Group& group, TimeUs from, TimeUs to,
                                                           const Patience& patience);

  postgres::Pool& pool_;
  ColdReader& cold_;
};

}  // namespace millrace::query_api
