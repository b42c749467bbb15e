#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cbor_reader.hpp"
#include "senml.hpp"

namespace millrace::telemetry {

/// SenML as CBOR (RFC 8428 section 6), read without anything in between.
class SenmlCborDecoder {
 public:
  [[nodiscard]] bool decode(std::string_view cbor, PointSink& sink);

 private:
  [[nodiscard]] bool next(CborItem& item);
  [[nodiscard]] bool next_untagged(CborItem& item);
  [[nodiscard]] bool records(std::uint64_t count, bool open);
  [[nodiscard]] bool record(const CborItem& head, SenmlRecord& out);
  [[nodiscard]] bool field(const CborItem& label, SenmlRecord& out);
  [[nodiscard]] bool value_of(SenmlField field, SenmlRecord& out);
  [[nodiscard]] bool integer(const CborItem& item, std::int64_t& out);
  [[nodiscard]] bool decimal_fraction(SenmlNumber& out);
  [[nodiscard]] bool skip();
  bool fail(PayloadFault fault, std::string_view what);

  CborReader reader_{{}};
  std::size_t item_at_ = 0;  // where the last item began
  SenmlResolver resolver_;
  PointSink* sink_ = nullptr;
  std::string data_;  // of the record's 'vd', as base64url
};

}  // namespace millrace::telemetry
