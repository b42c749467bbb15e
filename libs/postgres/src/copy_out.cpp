// COPY … TO STDOUT in the binary format.
#include <bit>
#include <cstdio>
#include <cstdlib>

#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/copy.hpp>

#include "big_endian.hpp"
#include "connection_impl.hpp"

namespace millrace::postgres {
namespace {

constexpr std::string_view kSignature{"PGCOPY\n\377\r\n\0", 11};
constexpr std::uint16_t kTrailer = 0xffff;

[[noreturn]] void wrong_access(int column, std::size_t bytes) {
  std::fprintf(stderr, "fault: field %d of a COPY read as another type (%zu bytes)\n", column, bytes);
  std::abort();
}

/// Behind signature, flags and header extension; nothing where `bytes` do not begin with them.
std::optional<std::string_view> without_header(std::string_view bytes) {
  constexpr std::size_t kFixed = 19;
  if (!bytes.starts_with(kSignature) || bytes.size() < kFixed) return std::nullopt;
  const auto extension = load_big_endian<std::uint32_t>(bytes.data() + kFixed - 4);
  if (bytes.size() - kFixed < extension) return std::nullopt;
  return bytes.substr(kFixed + extension);
}

}  // namespace

bool CopyFields::parse(std::string_view bytes) {
  if (bytes.size() < 2) return false;
  const auto count = load_big_endian<std::uint16_t>(bytes.data());
  if (count > kMost) return false;
  bytes.remove_prefix(2);
  for (std::size_t i = 0; i < count; ++i) {
    if (bytes.size() < 4) return false;
    const auto size = load_big_endian<std::uint32_t>(bytes.data());
    bytes.remove_prefix(4);
    const bool is_null = size == 0xffffffffU;
    if (!is_null && bytes.size() < size) return false;
    fields_[i] = is_null ? std::string_view{} : bytes.substr(0, size);
    if (!is_null) bytes.remove_prefix(size);
  }
  size_ = count;
  return bytes.empty();
}

std::size_t CopyFields::index(int column) const {
  if (column < 0 || column >= size_) wrong_access(column, 0);
  return static_cast<std::size_t>(column);
}

std::string_view CopyFields::field(int column, std::size_t bytes) const {
  const std::string_view found = fields_[index(column)];
  if (found.data() == nullptr || found.size() != bytes) wrong_access(column, found.size());
  return found;
}

std::int64_t CopyFields::integer(int column) const {
  switch (fields_[index(column)].size()) {
    case 2:
      return static_cast<std::int16_t>(load_big_endian<std::uint16_t>(field(column, 2).data()));
    case 4:
      return static_cast<std::int32_t>(load_big_endian<std::uint32_t>(field(column, 4).data()));
    default:
      return static_cast<std::int64_t>(load_big_endian<std::uint64_t>(field(column, 8).data()));
  }
}

double CopyFields::float8(int column) const {
  return std::bit_cast<double>(load_big_endian<std::uint64_t>(field(column, 8).data()));
}

bool CopyFields::boolean(int column) const { return field(column, 1)[0] != '\0'; }

TimeUs CopyFields::timestamptz(int column) const {
  return static_cast<std::int64_t>(load_big_endian<std::uint64_t>(field(column, 8).data())) + kPostgresEpochUs;
}

std::string_view CopyFields::text(int column) const {
  if (is_null(column)) wrong_access(column, 0);
  return fields_[index(column)];
}

Result<std::int64_t> Connection::copy_out(std::string_view copy_statement,
                                          const std::function<void(const CopyFields&)>& row) {
  if (auto ready = impl_->start_call(); !ready) return ready.error();
  const auto until = impl_->call_deadline();
  const std::string text(copy_statement);
  if (PQsendQuery(impl_->handle.get(), text.c_str()) == 0) return impl_->broken("sending");
  auto started = impl_->finish_call(until);
  if (!started) return started.error();
  if (PQresultStatus(started->get()) != PGRES_COPY_OUT)
    return Error{ErrorKind::kInternal, "not a COPY TO STDOUT: " + text};
  CopyFields fields;
  std::int64_t rows = 0;
  bool begun = false;
  for (;;) {
    const auto message = impl_->receive_copy(until);
    if (!message) return message.error();
    if (message->data() == nullptr) break;
    std::string_view bytes = *message;
    if (!begun) {
      begun = true;
      const auto behind = without_header(bytes);
      if (!behind) return Error{ErrorKind::kInternal, "not a binary COPY: " + text};
      bytes = *behind;
      if (bytes.empty()) continue;
    }
    if (bytes.size() == 2 && load_big_endian<std::uint16_t>(bytes.data()) == kTrailer) continue;
    if (!fields.parse(bytes)) return Error{ErrorKind::kInternal, "a row of this COPY cannot be read: " + text};
    row(fields);
    ++rows;
  }
  if (auto done = impl_->finish_call(until); !done) return done.error();
  return rows;
}

}  // namespace millrace::postgres
