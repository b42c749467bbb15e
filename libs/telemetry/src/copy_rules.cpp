#include <algorithm>
#include <map>

#include <millrace/telemetry/copy_rules.hpp>

#include "copy_state.hpp"

namespace millrace::telemetry {

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

}  // namespace millrace::telemetry
