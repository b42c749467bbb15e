// A saved state of the copy rules as a database may hold it after whatever happened to it.
#include <array>
#include <cstring>
#include <string>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/copy_rules.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::telemetry;

/// With the checksum that lets a reader past it.
std::string sealed(std::string_view bytes) {
  const std::uint64_t hash = hash64(bytes);
  std::array<char, 8> word{};
  std::memcpy(word.data(), &hash, word.size());
  return std::string(bytes).append(word.data(), word.size());
}

std::string saved(const CopyRules& rules) {
  auto bytes = rules.save(rules.next_offset());
  require(bytes.ok(), "what was loaded can be saved");
  return std::move(*bytes);
}

void check_next_record(CopyRules& rules) {
  Batch facts;
  facts.protocol = Protocol::kMqtt5;
  facts.qos = 1;
  facts.delivery.packet_id = 1;
  facts.delivery.dup = true;
  const std::int64_t offset = rules.next_offset();
  require(rules.judge(offset, rules.log_time(), facts).original < offset, "an original comes before its copy");
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  auto rules = CopyRules::load(sealed(bytes));
  if (!rules) return;
  const std::string first = saved(*rules);
  auto again = CopyRules::load(first);
  require(again.ok(), "what was saved can be loaded");
  require(saved(*again) == first, "saved, loaded and saved again it is the same");
  check_next_record(*again);
}

}  // namespace millrace::fuzz
