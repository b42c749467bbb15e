#include <algorithm>
#include <map>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/copy_rules.hpp>

#include "copy_codec.hpp"
#include "copy_packing.hpp"
#include "copy_state.hpp"

namespace millrace::telemetry {
namespace {

// Magic and version, then a hash of the limits, offset and times, the four memories, and a hash of all before.
constexpr std::string_view kMagic = "MRCR";
constexpr char kVersion = 1;
constexpr std::size_t kHeadBytes = kMagic.size() + 1;
constexpr std::size_t kHashBytes = 8;

std::uint64_t hash_of(const CopyLimits& limits) {
  std::string bytes;
  StateWriter out(bytes, SIZE_MAX);
  for (const std::uint64_t value :
       {limits.counter_window, limits.starts, limits.ids_per_publisher, static_cast<std::size_t>(limits.id_age),
        limits.records_per_connection, static_cast<std::size_t>(limits.record_age), limits.connections_per_client,
        limits.coap_records_per_publisher, static_cast<std::size_t>(limits.coap_confirmable_age),
        static_cast<std::size_t>(limits.coap_other_age)}) {
    out.fixed64(value);
  }
  return hash64(bytes);
}

Error damaged(std::string_view why) {
  return {ErrorKind::kCorrupt, "the saved state of the copy rules is damaged: " + std::string(why)};
}

}  // namespace

struct CopyRules::Impl {
  explicit Impl(CopyLimits given) : limits(given), counters(given), ids(given), mqtt(given), coap(given) {}

  CopyVerdict decide(std::int64_t offset, const Batch& facts);
  void sweep();

  CopyLimits limits;
  CopyCounts counts;
  CounterMemory counters;
  IdMemory ids;
  MqttMemory mqtt;
  CoapMemory coap;
  std::map<std::int64_t, CopyVerdict> copies;  // not yet committed ones, for asking again
  std::int64_t next = -1;                      // everything below was judged
  TimeUs log_time = 0;
  TimeUs swept = 0;
};

CopyRules::CopyRules(CopyLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
CopyRules::~CopyRules() = default;
CopyRules::CopyRules(CopyRules&&) noexcept = default;
CopyRules& CopyRules::operator=(CopyRules&&) noexcept = default;

CopyVerdict CopyRules::judge(std::int64_t offset, TimeUs append_time, const Batch& facts) {
  if (offset < impl_->next) {
    const auto known = impl_->copies.find(offset);
    return known == impl_->copies.end() ? CopyVerdict{} : known->second;
  }
  impl_->next = offset + 1;
  impl_->log_time = std::max(impl_->log_time, append_time);
  const CopyVerdict verdict = impl_->decide(offset, facts);
  if (verdict.is_copy()) impl_->copies.emplace(offset, verdict);
  impl_->sweep();
  return verdict;
}

CopyVerdict CopyRules::Impl::decide(std::int64_t offset, const Batch& facts) {
  // A record produced twice by its gateway is one record: it must not teach the other rules anything.
  if (const auto original = counters.seen(facts.ingest_id, offset, log_time)) return {CopyRule::kIngestId, *original};
  const std::uint64_t publisher = publisher_key(facts);
  if (!facts.delivery.message_id.empty()) {
    const auto answer = ids.seen(publisher, facts.delivery, offset, log_time);
    counts.id_with_other_payload += answer.other_payload ? 1U : 0U;
    return answer.original ? CopyVerdict{CopyRule::kExplicitId, *answer.original} : CopyVerdict{};
  }
  if (facts.protocol == Protocol::kCoap) {
    const auto original = coap.seen(publisher, facts.delivery, offset, log_time);
    return original ? CopyVerdict{CopyRule::kCoap, *original} : CopyVerdict{};
  }
  const bool mqtt_publish = (facts.protocol == Protocol::kMqtt311 || facts.protocol == Protocol::kMqtt5) &&
                            facts.qos > 0 && facts.delivery.packet_id != 0;
  if (!mqtt_publish) return {};
  const auto answer = mqtt.seen(publisher, facts.delivery, offset, log_time);
  counts.dup_without_proof += answer.without_proof ? 1U : 0U;
  return answer.original ? CopyVerdict{CopyRule::kMqttDup, *answer.original} : CopyVerdict{};
}

void CopyRules::Impl::sweep() {
  constexpr TimeUs kEvery = 600 * kUsPerSecond;
  if (log_time - swept < kEvery) return;
  swept = log_time;
  ids.forget_before(log_time - limits.id_age);
  mqtt.forget_before(log_time - limits.id_age);
  coap.forget_before(log_time - limits.coap_confirmable_age);
}

void CopyRules::forget_before(std::int64_t offset) {
  impl_->copies.erase(impl_->copies.begin(), impl_->copies.lower_bound(offset));
}

TimeUs CopyRules::log_time() const { return impl_->log_time; }
const CopyCounts& CopyRules::counts() const { return impl_->counts; }
std::int64_t CopyRules::next_offset() const { return std::max<std::int64_t>(0, impl_->next); }

Result<std::string> CopyRules::save(std::int64_t next_offset, std::size_t max_bytes) const {
  const Impl& from = *impl_;
  std::string bytes;
  StateWriter out(bytes, max_bytes - std::min(max_bytes, kHashBytes));
  out.bytes(kMagic);
  out.bytes({&kVersion, 1});
  out.fixed64(hash_of(from.limits));
  out.varint(static_cast<std::uint64_t>(std::max(next_offset, from.next)));
  out.varint(static_cast<std::uint64_t>(from.log_time));
  out.varint(static_cast<std::uint64_t>(from.log_time - from.swept));
  from.counters.save(out, from.log_time);
  from.ids.save(out, from.log_time);
  from.mqtt.save(out, from.log_time);
  from.coap.save(out, from.log_time);
  if (out.full()) {
    return Error{ErrorKind::kTooLarge, "the state of the copy rules has more than " + std::to_string(max_bytes) +
                                           " bytes, which is the most that is saved of a partition"};
  }
  out.fixed64(hash64(bytes));
  return bytes;
}

Result<CopyRules> CopyRules::load(std::string_view bytes, CopyLimits limits) {
  if (bytes.size() < kHeadBytes + kHashBytes) {
    return damaged("it has " + std::to_string(bytes.size()) + " bytes, fewer than any state");
  }
  if (!bytes.starts_with(kMagic)) return damaged("it does not begin as one");
  if (bytes[kMagic.size()] != kVersion) {
    return Error{ErrorKind::kPrecondition, "the saved state of the copy rules is of version " +
                                               std::to_string(static_cast<unsigned char>(bytes[kMagic.size()])) +
                                               ", this program reads version " + std::to_string(kVersion)};
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kHashBytes);
  if (StateReader(bytes.substr(body.size())).fixed64() != hash64(body)) return damaged("its checksum is another");
  StateReader in(body.substr(kHeadBytes));
  const std::uint64_t made_under = in.fixed64();
  if (!in.failed() && made_under != hash_of(limits)) {
    return Error{ErrorKind::kPrecondition, "the saved state of the copy rules was made under other limits"};
  }
  CopyRules rules(limits);
  Impl& to = *rules.impl_;
  StateFrame frame;
  frame.next = static_cast<std::int64_t>(in.varint_most("the offset", 1ULL << kOffsetBits));
  frame.log_time = static_cast<TimeUs>(in.varint_most("the log time", INT64_MAX));
  to.next = frame.next;
  to.log_time = frame.log_time;
  to.swept = in.time(frame.log_time);
  to.counters.load(in, frame);
  to.ids.load(in, frame);
  to.mqtt.load(in, frame);
  to.coap.load(in, frame);
  if (!in.failed() && !in.at_end()) in.fail("bytes are left over");
  if (in.failed()) return damaged(in.fault());
  return rules;
}

}  // namespace millrace::telemetry
