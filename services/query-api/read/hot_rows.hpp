#pragma once

#include <memory>
#include <optional>
#include <string>

#include <millrace/archive/merge.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::query_api {

/// Rows of a statement as archive::merge takes them: a cursor that is read by stretches. Borrows the connection, which
/// must be in a transaction and must not be used otherwise until this goes. One thread.
class HotRows final : public archive::RowSource {
 public:
  /// `select` gives device_id, metric, time, value, kind, other, untimed in the order of the first three.
  [[nodiscard]] static Result<std::unique_ptr<HotRows>> open(postgres::Connection& connection,
                                                             const std::string& select);
  ~HotRows() override;
  HotRows(const HotRows&) = delete;
  HotRows& operator=(const HotRows&) = delete;
  [[nodiscard]] Result<const archive::Row*> next() override;

 private:
  explicit HotRows(postgres::Connection& connection) : connection_(connection) {}

  postgres::Connection& connection_;
  postgres::Rows rows_;
  int at_ = 0;
  bool ended_ = false;
  archive::Row row_;
};

/// Begins a transaction that sees the catalogue of files and the rows of the database at one moment, so that no day is
/// in both or in neither. It ends with the lease of the connection. An exchange of a day for its file waits meanwhile.
[[nodiscard]] Status begin_moment(postgres::Connection& connection);

/// A bigger integer of a row (kind 1) or its number; empty: the row is none.
[[nodiscard]] std::optional<double> number_of(const archive::Row& row);

}  // namespace millrace::query_api
