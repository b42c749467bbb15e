#include "payload_checks.hpp"

namespace millrace::fuzz {

void fuzz_one(std::string_view bytes) {
  check_payload(telemetry::PayloadFormat::kProtobuf, bytes, {"d", "", "", 1'700'000'000'000'000});
}

}  // namespace millrace::fuzz
