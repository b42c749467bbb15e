#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::telemetry {

/// Which rule recognised a copy; docs/architecture.md says them in full.
enum class CopyRule : std::uint8_t {
  kNone = 255,
  kIngestId = 0,    ///< the same record produced again by a gateway
  kExplicitId = 1,  ///< same publisher, explicit id and payload
  kMqttDup = 2,     ///< a PUBLISH repeated over connections
  kCoap = 3,        ///< a CoAP message repeated within the life of its message id (RFC 7252 section 4.8.2)
};

struct CopyVerdict {
  CopyRule rule = CopyRule::kNone;
  std::int64_t original = -1;  ///< offset of the record that this one repeats; -1 for a fresh one

  [[nodiscard]] bool is_copy() const { return rule != CopyRule::kNone; }
  bool operator==(const CopyVerdict&) const = default;
};

/// Things that are no copies but that an operator should see.
struct CopyCounts {
  std::uint64_t id_with_other_payload = 0;  ///< an explicit id came again with another payload: a message of its own
  std::uint64_t dup_without_proof = 0;      ///< DUP from a client that also repeats without DUP: kept
};

struct CopyLimits {
  std::size_t counter_window = 65'536;         ///< counters below the highest that are told apart, a power of two
  std::size_t starts = 16;                     ///< gateway starts remembered
  std::size_t ids_per_publisher = 1'000;       ///< explicit ids remembered
  TimeUs id_age = 24 * 3600 * kUsPerSecond;    ///< log time an explicit id, a start and a client are remembered
  std::size_t records_per_connection = 1'024;  ///< MQTT records remembered of one connection
  TimeUs record_age = 120 * kUsPerSecond;      ///< and only those of its last two minutes
  std::size_t connections_per_client = 8;
  std::size_t coap_records_per_publisher = 4'096;    ///< CoAP records without explicit id remembered of a publisher
  TimeUs coap_confirmable_age = 247 * kUsPerSecond;  ///< EXCHANGE_LIFETIME
  TimeUs coap_other_age = 145 * kUsPerSecond;        ///< NON_LIFETIME
};

/// Decides for one partition of `telemetry` which record repeats another one of the same partition: a pure function of
/// the log, so storage-writer and stream-processing decide alike, and so does either of them when it reads again.
///
/// Records are judged in offset order. Asked again about an offset it has already judged, it gives the same answer and
/// learns nothing (a transaction was aborted, or its commit got lost). Whoever loses a partition throws the object
/// away; whoever takes one loads the state that was saved and feeds it the log from its offset on, or, without one, as
/// much of the log before its position as it can. One thread at a time.
///
/// Memory: 8 B per remembered counter, 24 B per explicit id, 16 B per MQTT record of a connection's last two minutes
/// and per CoAP record of a publisher's last four, and a fixed part below 100 B per publisher and client seen within
/// the last day.
class CopyRules {
 public:
  explicit CopyRules(CopyLimits limits = {});
  ~CopyRules();
  CopyRules(CopyRules&&) noexcept;
  CopyRules& operator=(CopyRules&&) noexcept;

  /// `append_time` is the broker's LogAppendTime in microseconds; `facts` needs everything but the points.
  [[nodiscard]] CopyVerdict judge(std::int64_t offset, TimeUs append_time, const Batch& facts);

  /// Offsets below this one are committed and will not be asked about again.
  void forget_before(std::int64_t offset);

  /// Running maximum of the append times seen.
  [[nodiscard]] TimeUs log_time() const;

  [[nodiscard]] const CopyCounts& counts() const;

  /// The offset from which records are new to it.
  [[nodiscard]] std::int64_t next_offset() const;

  /// Everything remembered, as bytes: load() gives rules that judge every record from `next_offset` on exactly as
  /// these do. All records below it must have been judged, but for those that cannot be. Equal rules give equal bytes,
  /// on every machine. Takes about 20 ms for a million explicit ids (20 B each) or MQTT records (12 B each).
  /// kTooLarge: more than `max_bytes`.
  [[nodiscard]] Result<std::string> save(std::int64_t next_offset, std::size_t max_bytes = kMaxSavedBytes) const;

  /// Takes any bytes. kCorrupt: damaged, the message says what and where; kPrecondition: of another version of the
  /// format, or saved under other limits. Allocates at most about fifteen times their number. Counts begin at 0.
  [[nodiscard]] static Result<CopyRules> load(std::string_view bytes, CopyLimits limits = {});

  static constexpr std::size_t kMaxSavedBytes = 256U << 20;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::telemetry
