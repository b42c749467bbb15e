#include "log/dead_letters.hpp"

#include <charconv>
#include <deque>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/dead_letter.hpp>

namespace millrace::query_api {
namespace {

namespace header = kafka::dead_letter;
using std::chrono::milliseconds;

std::vector<std::int32_t> points_of(std::string_view text) {
  std::vector<std::int32_t> points;
  while (!text.empty()) {
    std::int32_t point = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), point);
    if (error != std::errc{}) break;
    points.push_back(point);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  return points;
}

/// One partition during a merge.
struct Lane {
  kafka::TopicPartition where;
  std::int64_t end = 0;   // high watermark at the beginning
  std::int64_t read = 0;  // next offset to come from the consumer
  std::deque<std::pair<std::int64_t, DeadLetter>> ready;
  bool paused = false;

  [[nodiscard]] bool at_end() const { return read >= end; }
};

/// Fills the lanes record by record and takes from them in order of time.
class Merge {
 public:
  Merge(kafka::Consumer& consumer, std::vector<Lane> lanes, const std::string& tenant)
      : consumer_(consumer), lanes_(std::move(lanes)), tenant_(tenant) {}

  [[nodiscard]] Result<DeadLetterPage> run(std::size_t page_size, SteadyTime deadline) {
    std::vector<kafka::Position> positions;
    for (const Lane& lane : lanes_) {
      if (!lane.at_end()) positions.push_back({lane.where, lane.read});
    }
    if (positions.empty()) return DeadLetterPage{};
    if (const Status assigned = consumer_.assign(positions); !assigned.ok()) return assigned.error();
    DeadLetterPage page;
    std::size_t bytes = 0;
    std::size_t scanned = 0;
    while (page.letters.size() < page_size && bytes < DeadLetters::kPageBytes) {
      if (take_oldest(page, bytes)) continue;
      if (all_done()) return page;
      if (scanned >= DeadLetters::kMostScanned) break;
      if (std::chrono::steady_clock::now() >= deadline) {
        return Error{ErrorKind::kUnavailable, "Kafka does not answer in time; try again later"};
      }
      if (const Status read = read_one(deadline, scanned); !read.ok()) return read.error();
    }
    if (all_done()) return page;
    for (const Lane& lane : lanes_) page.next.push_back(lane.ready.empty() ? lane.read : lane.ready.front().first);
    return page;
  }

 private:
  /// The oldest is known once every lane shows its first letter or its end.
  bool take_oldest(DeadLetterPage& page, std::size_t& bytes) {
    Lane* oldest = nullptr;
    for (Lane& lane : lanes_) {
      if (lane.ready.empty()) {
        if (!lane.at_end()) return false;
        continue;
      }
      if (oldest == nullptr || lane.ready.front().second.time < oldest->ready.front().second.time) oldest = &lane;
    }
    if (oldest == nullptr) return false;
    bytes += oldest->ready.front().second.payload.size() + 256;
    page.letters.push_back(std::move(oldest->ready.front().second));
    oldest->ready.pop_front();
    if (oldest->ready.empty() && oldest->paused) oldest->paused = !consumer_.resume({&oldest->where, 1}).ok();
    return true;
  }

  [[nodiscard]] bool all_done() const {
    for (const Lane& lane : lanes_) {
      if (!lane.at_end() || !lane.ready.empty()) return false;
    }
    return true;
  }

  Status read_one(SteadyTime deadline, std::size_t& scanned) {
    const kafka::Polled polled = consumer_.poll(time_left(deadline, milliseconds{200}));
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      ++scanned;
      accept(polled.record);
    } else if (polled.kind == kafka::Polled::Kind::kEndOfPartition) {
      Lane& lane = lane_of(polled.position.where.partition);
      lane.read = std::max(lane.read, polled.position.offset);
    } else if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient) {
      return Error{ErrorKind::kUnavailable, "dead letters cannot be read: " + polled.message};
    }
    return {};
  }

  void accept(const kafka::Record& record) {
    Lane& lane = lane_of(record.partition());
    if (record.offset() < lane.read) return;
    const std::int64_t offset = record.offset();
    if (offset < lane.end) {
      if (auto letter = letter_of(record, tenant_)) lane.ready.emplace_back(offset, std::move(*letter));
    }
    lane.read = offset + 1;
    // A lane that runs ahead of the others must not fill the memory.
    if (lane.ready.size() >= kMostAhead && !lane.paused) lane.paused = consumer_.pause({&lane.where, 1}).ok();
  }

  Lane& lane_of(std::int32_t partition) { return lanes_[static_cast<std::size_t>(partition)]; }

  static constexpr std::size_t kMostAhead = 64;
  kafka::Consumer& consumer_;
  std::vector<Lane> lanes_;
  const std::string& tenant_;
};

}  // namespace

std::optional<DeadLetter> letter_of(const kafka::Record& record, const std::string& tenant) {
  const auto key = parse_record_key(record.key());
  if (!key.ok() || key->first != tenant) return std::nullopt;
  DeadLetter letter;
  letter.receipt = {.partition = record.partition(), .offset = record.offset(), .generation = 0, .dead = true};
  letter.device = std::string(key->second);
  letter.source = std::string(record.header(header::kSource).value_or(""));
  letter.reason = std::string(record.header(header::kReason).value_or(""));
  if (const auto detail = record.header(header::kDetail); detail && !detail->empty()) {
    letter.reason += (letter.reason.empty() ? "" : ": ") + std::string(*detail);
  }
  letter.time = record.timestamp_us();
  letter.payload = std::string(record.value().substr(0, DeadLetter::kMostPayload));
  letter.payload_bytes = static_cast<std::int64_t>(record.value().size());
  letter.points = points_of(record.header(header::kPoints).value_or(""));
  return letter;
}

Result<DeadLetterPage> DeadLetters::list(const std::string& tenant, std::size_t page_size,
                                         std::vector<std::int64_t> start, SteadyTime deadline) {
  auto consumer = log_.lend(deadline);
  if (!consumer.ok()) return consumer.error();
  const auto partitions = (*consumer)->partitions(topic_, time_left(deadline));
  if (!partitions.ok()) return partitions.error();
  std::vector<Lane> lanes;
  for (int partition = 0; partition < partitions.value(); ++partition) {
    Lane lane;
    lane.where = {topic_, partition};
    const auto log = (*consumer)->watermarks(lane.where, time_left(deadline));
    if (!log.ok()) return log.error();
    const auto index = static_cast<std::size_t>(partition);
    lane.read = index < start.size() ? std::max(start[index], log->low) : log->low;
    lane.end = log->high;
    lanes.push_back(std::move(lane));
  }
  return Merge(**consumer, std::move(lanes), tenant).run(page_size, deadline);
}

Result<std::optional<DeadLetter>> DeadLetters::find(const telemetry::Receipt& receipt, const std::string& tenant,
                                                    SteadyTime deadline) {
  const auto fetched = log_.fetch({topic_, receipt.partition}, receipt.offset, deadline);
  if (!fetched.ok()) {
    if (fetched.error().kind == ErrorKind::kNotFound) return std::optional<DeadLetter>{};
    return fetched.error();
  }
  if (!fetched->record) return std::optional<DeadLetter>{};
  return letter_of(*fetched->record, tenant);
}

}  // namespace millrace::query_api
