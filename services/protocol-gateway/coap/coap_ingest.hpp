#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "coap/block_transfers.hpp"
#include "coap/coap_answer.hpp"
#include "coap/coap_query.hpp"
#include "coap/exchange_table.hpp"
#include "gateway_metrics.hpp"
#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {

/// Who stands behind a DTLS session.
struct CoapSecurity {
  std::uint64_t session = 0;  ///< number of the session, from 1
  std::string tenant;         ///< empty: no device of the registry
  std::string device;
  Sha256 token{};  ///< whose key the handshake proved
};

/// A POST to /v1/telemetry or /v1/devices/{child}/telemetry or below one of them, taken apart. The views need to live
/// during the call only.
struct CoapRequest {
  CoapExchangeKey exchange;
  std::uint64_t fingerprint = 0;  ///< of code, token, options and payload
  bool confirmable = true;
  std::string_view token;
  std::size_t path_segments = 0;
  std::string_view child;  ///< whose message it is; empty: of whoever sends
  std::string metric;      ///< what stands behind `telemetry`, its levels apart by `/`
  std::vector<std::string_view> query;
  std::optional<std::uint32_t> content_format;
  std::optional<std::uint32_t> accept;
  std::optional<CoapBlock> block1;
  std::optional<std::uint32_t> size1;
  std::string_view request_tag;
  bool bad_option = false;  ///< a critical option that means nothing here, or a malformed one
  std::string_view payload;
  const CoapSecurity* security = nullptr;  ///< null without DTLS
};

/// What is to be done with a request at once.
struct CoapReply {
  std::uint64_t id = 0;                ///< of a message just taken: its answer comes later under this id; 0: none
  const CoapAnswer* answer = nullptr;  ///< null: nothing but the acknowledgement. Valid until the next call.
};

struct CoapIngestOptions {
  std::size_t max_exchanges = 100'000;
  std::chrono::milliseconds answer_deadline{10'000};
  BlockTransferLimits blocks;
  /// Whether a device's ack level is `stored`, for messages that do not say it. Empty: no device's.
  std::function<bool(const registry_view::Device& device)> answers_when_stored = {};
};

/// The conversation of CoAP with devices, without libcoap: who is it, was it here before, is it whole, and which answer
/// when. One thread at a time; nothing blocks.
class CoapIngest {
 public:
  using Clock = std::chrono::steady_clock;
  using Authenticate = std::function<Result<std::shared_ptr<const Identity>>(
      std::string_view tenant, std::string_view device, const Sha256& token)>;
  /// As speaks_as().
  using Speaker =
      std::function<std::shared_ptr<const Identity>(const std::shared_ptr<const Identity>&, std::string_view child)>;
  struct Who {
    Authenticate authenticate;
    Speaker speaks_as;
  };

  /// Outcomes are to be brought to settle() by `sink`. All references must outlive it.
  CoapIngest(const CoapIngestOptions& options, Who who, RecordPublisher& publisher, RefusedPayloads& refused,
             MetricNames& names, Limiter& limiter, const TypeSource& types, GatewayMetrics& metrics,
             std::shared_ptr<AckSink> sink);

  [[nodiscard]] CoapReply handle(const CoapRequest& request, Clock::time_point now);

  /// The answer that is to be sent; null if the deadline was faster: then it is only kept, for a retransmission.
  [[nodiscard]] const CoapAnswer* settle(std::uint64_t id, const Outcome& outcome, Clock::time_point now);

  /// Calls `answer(id, answer)` for each message whose deadline has passed.
  void expire(Clock::time_point now, const std::function<void(std::uint64_t, const CoapAnswer&)>& answer);
  /// Of the oldest message without an answer.
  [[nodiscard]] std::optional<Clock::time_point> next_deadline();

  /// From now on new messages are told to come again. Any thread.
  void stop_intake() { stopping_.store(true, std::memory_order_relaxed); }

  /// Messages whose outcome is not known yet. Any thread.
  [[nodiscard]] std::size_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  struct Waiting {
    CoapExchangeKey key;
    Clock::time_point taken;
    std::optional<CoapBlock> block1;
    bool answered = false;                          // by the deadline
    std::optional<telemetry::Receipt> in_log = {};  // of ack level `stored`
  };
  struct Refusal {
    IngestResult result;
    CoapAnswer answer;
  };
  using Refused = std::optional<Refusal>;

  [[nodiscard]] Refused take(const CoapRequest& request, std::uint64_t id, Clock::time_point now);
  [[nodiscard]] Refused check_form(const CoapRequest& request, CoapQuery& query) const;
  [[nodiscard]] Refused identify(const CoapRequest& request, const CoapQuery& query,
                                 std::shared_ptr<const Identity>& identity) const;
  [[nodiscard]] Refused assemble(const CoapRequest& request, const Identity& identity, Clock::time_point now,
                                 std::string& body, bool& whole);
  [[nodiscard]] Refused submit(const CoapRequest& request, const CoapQuery& query,
                               const std::shared_ptr<const Identity>& identity, std::string_view payload,
                               std::uint64_t id, Clock::time_point now);
  const CoapAnswer* keep(CoapAnswer answer, const CoapExchangeKey& key, std::uint64_t id);
  void count(const CoapAnswer& answer, Clock::duration took) const;

  CoapIngestOptions options_;
  Who who_;
  GatewayMetrics& metrics_;
  std::shared_ptr<AckSink> sink_;
  IngestWorker worker_;
  CoapExchangeTable exchanges_;
  BlockTransfers blocks_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
  std::deque<std::pair<Clock::time_point, std::uint64_t>> deadlines_;  // all of the same length, so in order
  CoapAnswer last_answer_;
  std::atomic<std::size_t> in_flight_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace millrace::gateway
