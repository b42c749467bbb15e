#include <charconv>

#include <millrace/postgres/sqlstate.hpp>

namespace millrace::postgres {

Disposition disposition_of(std::string_view sqlstate) {
  if (sqlstate.size() != 5) return Disposition::kRetry;
  if (sqlstate == "55P03") return Disposition::kRetry;  // lock_not_available
  const std::string_view kind = sqlstate.substr(0, 2);
  if (kind == "08" || kind == "53" || kind == "57" || kind == "40" || kind == "58") return Disposition::kRetry;
  if (kind == "22" || kind == "23") return Disposition::kPoison;
  return Disposition::kStop;
}

ErrorKind error_kind_of(std::string_view sqlstate) {
  switch (disposition_of(sqlstate)) {
    case Disposition::kRetry:
      return ErrorKind::kUnavailable;
    case Disposition::kPoison:
      return sqlstate == "23505" ? ErrorKind::kAlreadyExists : ErrorKind::kInvalid;
    case Disposition::kStop:
      break;
  }
  if (sqlstate.substr(0, 2) == "28") return ErrorKind::kUnauthenticated;
  if (sqlstate == "42501") return ErrorKind::kForbidden;
  return ErrorKind::kInternal;
}

std::optional<std::int64_t> copy_line_of(std::string_view context) {
  const std::size_t copy = context.find("COPY ");
  if (copy == std::string_view::npos) return std::nullopt;
  constexpr std::string_view kMark = ", line ";
  const std::size_t mark = context.find(kMark, copy);
  if (mark == std::string_view::npos) return std::nullopt;
  const char* first = context.data() + mark + kMark.size();
  std::int64_t line = 0;
  const auto [end, error] = std::from_chars(first, context.data() + context.size(), line);
  if (error != std::errc{} || end == first || line < 1) return std::nullopt;
  return line;
}

}  // namespace millrace::postgres
