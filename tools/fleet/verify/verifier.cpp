#include "verify/verifier.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <thread>

#include "verify/store_reader.hpp"

namespace millrace::fleet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReceipts = 200;
constexpr std::size_t kRanges = 10;
/// Messages whose rows are in memory at a time; a device with more is alone.
constexpr std::size_t kMessagesAtATime = 10'000;
constexpr TimeUs kClockSlackUs = 2 * kUsPerSecond;

class Verification {
 public:
  Verification(const VerifyOptions& options, const Readings& readings, const std::vector<Device>& devices,
               const Ledger& ledger, const std::function<void(const std::string&)>& say)
      : options_(options),
        readings_(readings),
        devices_(devices),
        ledger_(ledger),
        say_(say),
        store_(options.database_url, options.tenant, readings),
        query_(options.query, options.tenant),
        started_(Clock::now()),
        deadline_(started_ + options.patience) {
    timed_from_us_ = options.started_us - kClockSlackUs;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      for (const LedgerEntry& entry : ledger.device(i)) {
        if (entry.timed) timed_from_us_ = std::min(timed_from_us_, entry.time_us);
      }
    }
  }

  Result<Verdict> run() {
    auto keys = patiently([&] { return device_keys(options_.registry, options_.tenant, devices_); });
    if (!keys) return keys.error();
    keys_ = std::move(*keys);
    if (Status status = wait_for_acknowledged(); !status) return status.error();
    if (Status status = wait_for_quiet(); !status) return status.error();
    if (Status status = ask_receipts(); !status) return status.error();
    if (Status status = ask_ranges(); !status) return status.error();
    return std::move(verdict_);
  }

 private:
  /// Calls until it works or patience ends: a service that is just coming back is no verdict.
  template <typename Call>
  auto patiently(Call&& call) -> decltype(call()) {
    for (;;) {
      auto result = call();
      if (result || Clock::now() >= deadline_) return result;
      say_("not answered yet: " + result.error().message);
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }

  /// Reads what is stored of these devices and tells `take` about each; its memory does not grow with their number.
  Status account_devices(std::span<const std::size_t> devices,
                         const std::function<void(std::size_t, const Tally&)>& take) {
    while (!devices.empty()) {
      std::size_t count = 0;
      std::size_t messages = 0;
      std::vector<std::int32_t> keys;
      for (; count < devices.size() && (count == 0 || messages < kMessagesAtATime); ++count) {
        messages += std::max<std::size_t>(1, ledger_.device(devices[count]).size());
        keys.push_back(keys_[devices[count]]);
      }
      auto points = patiently([&] { return store_.read(keys, timed_from_us_, options_.started_us - kClockSlackUs); });
      if (!points) return points.error();
      for (std::size_t k = 0; k < count; ++k) {
        const std::size_t i = devices[k];
        take(i, account(i, devices_[i].id, readings_, ledger_.device(i), (*points)[k]));
      }
      devices = devices.subspan(count);
    }
    return {};
  }

  [[nodiscard]] std::vector<std::size_t> all_devices() const {
    std::vector<std::size_t> all(devices_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }

  /// Until every acknowledged message is there or patience ends; who is still missing then is lost.
  Status wait_for_acknowledged() {
    std::vector<std::size_t> behind = all_devices();
    for (;;) {
      std::uint64_t missing = 0;
      std::vector<std::size_t> still;
      Status asked = account_devices(behind, [&](std::size_t i, const Tally& tally) {
        if (tally.lost != 0) still.push_back(i);
        missing += tally.lost;
      });
      if (!asked) return asked;
      behind = std::move(still);
      if (behind.empty() || Clock::now() >= deadline_) break;
      say_(std::to_string(missing) + " acknowledged messages are not in the database yet");
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
    verdict_.caught_up_s = std::chrono::duration<double>(Clock::now() - started_).count();
    return {};
  }

  /// What had no answer may still be on its way, and a copy of something too: two equal counts three seconds apart.
  Status wait_for_quiet() {
    const std::vector<std::size_t> all = all_devices();
    std::uint64_t before = std::numeric_limits<std::uint64_t>::max();
    for (;;) {
      std::this_thread::sleep_for(std::chrono::seconds(3));
      Tally sum;
      Status asked = account_devices(all, [&](std::size_t, const Tally& tally) { sum.add(tally); });
      if (!asked) return asked;
      const std::uint64_t seen = sum.stored + sum.doubled;
      verdict_.tally = std::move(sum);
      if (seen == before || Clock::now() >= deadline_ + std::chrono::seconds(30)) return {};
      before = seen;
    }
  }

  /// Calls for every message that was acknowledged with a receipt.
  template <typename Call>
  void each_receipt(Call&& call) const {
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      for (const LedgerEntry& entry : ledger_.device(i)) {
        if (entry.fate == Fate::kAcknowledged && entry.receipt.given()) call(i, entry.receipt);
      }
    }
  }

  Status ask_receipts() {
    std::size_t given = 0;
    each_receipt([&](std::size_t, const Receipt&) { ++given; });
    const std::size_t stride = std::max<std::size_t>(1, given / kReceipts);
    std::vector<std::pair<std::size_t, std::string>> asked;
    std::size_t at = 0;
    each_receipt([&](std::size_t i, const Receipt& receipt) {
      if (at++ % stride == 0) asked.emplace_back(i, receipt.to_string());
    });
    for (const auto& [i, receipt] : asked) {
      std::string state;
      const auto answer = patiently([&] { return query_.receipt(receipt, state); });
      if (!answer) return answer.error();
      ++verdict_.receipts_asked;
      if (*answer == ReceiptAnswer::kStored) continue;
      ++verdict_.receipts_wrong;
      verdict_.tally.examples.push_back("receipt " + receipt + " of " + devices_[i].id + " is " + state);
    }
    return {};
  }

  Status ask_ranges() {
    const std::size_t stride = std::max<std::size_t>(1, devices_.size() / kRanges);
    for (std::size_t i = 0; i < devices_.size(); i += stride) {
      std::uint64_t stored = 0;
      Status asked = account_devices(std::span(&i, 1), [&](std::size_t, const Tally& tally) { stored = tally.stored; });
      if (!asked) return asked;
      const auto values = patiently([&] {
        return query_.integers(devices_[i].id, kSequenceMetric, timed_from_us_, now_us() + 60 * kUsPerSecond);
      });
      if (!values) return values.error();
      const std::int64_t first = readings_.options().sequence_base + 1;
      const std::int64_t last = readings_.options().sequence_base + static_cast<std::int64_t>(ledger_.device(i).size());
      std::vector<std::int64_t> own;
      std::ranges::copy_if(*values, std::back_inserter(own), [&](auto v) { return v >= first && v <= last; });
      std::ranges::sort(own);
      const auto repeated = std::ranges::unique(own);
      const std::size_t different = static_cast<std::size_t>(repeated.begin() - own.begin());
      ++verdict_.ranges_asked;
      if (different == stored && repeated.empty()) continue;
      ++verdict_.ranges_wrong;
      verdict_.tally.examples.push_back("Range of " + devices_[i].id + " holds " + std::to_string(different) +
                                        " messages, the database " + std::to_string(stored));
    }
    return {};
  }

  const VerifyOptions& options_;
  const Readings& readings_;
  const std::vector<Device>& devices_;
  const Ledger& ledger_;
  const std::function<void(const std::string&)>& say_;
  StoreReader store_;
  QueryClient query_;
  const Clock::time_point started_;
  const Clock::time_point deadline_;
  TimeUs timed_from_us_ = 0;
  std::vector<std::int32_t> keys_;
  Verdict verdict_;
};

}  // namespace

Result<Verdict> verify(const VerifyOptions& options, const Readings& readings, const std::vector<Device>& devices,
                       const Ledger& ledger, const std::function<void(const std::string&)>& say) {
  return Verification(options, readings, devices, ledger, say).run();
}

}  // namespace millrace::fleet
