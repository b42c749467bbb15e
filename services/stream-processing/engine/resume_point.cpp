#include "engine/resume_point.hpp"

#include <algorithm>
#include <charconv>
#include <map>

#include <millrace/base/digest.hpp>

namespace millrace::stream {
namespace {

// `1;from=4711;gen=0;cluster=…;log=<time>;last=<start>:<counter>:<crc>;ticks=<offset>:<time>,…`: text, because binary
// zeros in offset metadata are damaged by librdkafka before 2.6.1 (issue 4649).
constexpr std::string_view kVersion = "1";

Error corrupt(std::string_view text) {
  return {ErrorKind::kCorrupt,
          "the metadata of the committed offset cannot be read: " + std::string(text.substr(0, 200))};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

template <typename Number>
bool read_number(std::string_view text, Number& out) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size();
}

bool read_mark(std::string_view text, std::optional<telemetry::RecordMark>& out) {
  const auto parts = split(text, ':');
  if (parts.size() != 3) return false;
  telemetry::RecordMark mark;
  const auto start = from_hex(parts[0]);
  if (!start.ok() || start->size() != mark.ingest_id.start.size()) return false;
  std::copy(start->begin(), start->end(), mark.ingest_id.start.begin());
  if (!read_number(parts[1], mark.ingest_id.counter) || !read_number(parts[2], mark.checksum)) return false;
  out = mark;
  return true;
}

bool read_ticks(std::string_view text, std::vector<Tick>& out) {
  for (const std::string_view one : split(text, ',')) {
    const auto parts = split(one, ':');
    Tick tick;
    if (parts.size() != 2 || !read_number(parts[0], tick.offset) || !read_number(parts[1], tick.log_time)) return false;
    out.push_back(tick);
  }
  return true;
}

}  // namespace

std::string encode(const ResumePoint& point) {
  std::string text(kVersion);
  text += ";from=" + std::to_string(point.replay_from);
  text += ";gen=" + std::to_string(point.generation);
  text += ";cluster=" + point.cluster_id;
  text += ";log=" + std::to_string(point.log_time);
  if (point.last) {
    const auto& id = point.last->ingest_id;
    text += ";last=" + to_hex({reinterpret_cast<const char*>(id.start.data()), id.start.size()}) + ':' +
            std::to_string(id.counter) + ':' + std::to_string(point.last->checksum);
  }
  for (std::size_t i = 0; i < point.ticks.size(); ++i) {
    text += i == 0 ? ";ticks=" : ",";
    text += std::to_string(point.ticks[i].offset) + ':' + std::to_string(point.ticks[i].log_time);
  }
  return text;
}

ResumePoint carried_over(const ResumePoint& old, std::int32_t generation, std::int64_t from) {
  ResumePoint point = old;
  point.replay_from = std::min(old.replay_from, from);
  point.generation = generation;
  point.last.reset();  // may be of what was cut off
  std::erase_if(point.ticks, [from](const Tick& tick) { return tick.offset >= from; });
  // The records that moved the log time up to here may be gone; at most as many as before, for one at least is there.
  if (point.ticks.size() == ResumePoint::kMostTicks) point.ticks.pop_back();
  point.ticks.push_back({from, old.log_time});
  return point;
}

Result<ResumePoint> decode_resume_point(std::string_view text) {
  const auto parts = split(text, ';');
  if (parts.empty() || parts[0] != kVersion) return corrupt(text);
  std::map<std::string_view, std::string_view> fields;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::size_t equals = parts[i].find('=');
    if (equals == std::string_view::npos) return corrupt(text);
    fields[parts[i].substr(0, equals)] = parts[i].substr(equals + 1);
  }
  ResumePoint point;
  if (!read_number(fields["from"], point.replay_from) || !read_number(fields["gen"], point.generation) ||
      !read_number(fields["log"], point.log_time))
    return corrupt(text);
  point.cluster_id = fields["cluster"];
  if (fields.contains("last") && !read_mark(fields["last"], point.last)) return corrupt(text);
  if (!read_ticks(fields["ticks"], point.ticks)) return corrupt(text);
  return point;
}

}  // namespace millrace::stream
