#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::query_api {

/// A statement that comes with almost every call: planned once in each session. Only those whose best plan does not
/// depend on their parameters.
struct Prepared {
  const char* name;
  const char* sql;
};

namespace statements {

/// As sql::kLatestOfDevice; the second one with $2 names text[].
extern const Prepared kLatest;
extern const Prepared kLatestOfMetrics;
/// As sql::kMetricsByName.
extern const Prepared kMetrics;
/// As sql::kRange, with the running size of the page: $6 bytes; a row is given while those before it are smaller. Sizes
/// of texts come from their headers, without reading them.
extern const Prepared kSamples;
/// As sql::kRange, for a page of which all rows may be given: texts longer than $6 bytes are NULL.
extern const Prepared kShortSamples;
/// $1 device, $2 metric, $3 from, $4 to → time of the first number of a series in [$3, $4); no row: there is none.
extern const Prepared kFirstNumber;
/// $1 from, $2 to → keys of the files that may hold rows of [$1, $2), oldest first.
extern const Prepared kFiles;
/// $1 first, $2 end → whether a day of [$1, $2) is compacted, days since 1970.
extern const Prepared kCompacted;

}  // namespace statements

/// Makes a new session know all of them. An error is that of the database, as where the schema is not there yet.
[[nodiscard]] Status prepare_statements(postgres::Connection& connection);

/// Executes it, also where the session has forgotten it or never knew it (a pooler in between).
[[nodiscard]] Result<postgres::Rows> exec(postgres::Connection& connection, const Prepared& statement,
                                          const postgres::Params& params);

}  // namespace millrace::query_api
