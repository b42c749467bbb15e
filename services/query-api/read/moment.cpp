#include "read/moment.hpp"

namespace millrace::query_api {

// In this order: the lock is had before the transaction's view of the data is taken, which the first SELECT does.
Status begin_moment(postgres::Connection& connection) {
  return connection.script(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ONLY storage.sample IN ACCESS SHARE MODE");
}

}  // namespace millrace::query_api
