#include "presence/sessions.hpp"

#include <utility>

#include <boost/asio/post.hpp>

#include <millrace/base/ids.hpp>

#include "millrace/devices/v1/session.pb.h"

namespace millrace::gateway {
namespace {

constexpr std::chrono::milliseconds kTendEvery{1000};
constexpr char kMark = '!';  // no tenant's id begins with it

StateLog::Done adapted(Sessions::Done done) {
  if (!done) return {};
  return [done = std::move(done)](const Result<kafka::RecordCoordinate>& where) {
    done(where.ok() ? Status() : Status(where.error()));
  };
}

}  // namespace

Sessions::Sessions(Options options, IoThreads& threads)
    : gateway_(std::move(options.gateway)),
      start_(std::move(options.start)),
      mark_key_(kMark + gateway_),
      table_(gateway_),
      log_(options.log),
      follower_(options.log.kafka, options.log.topic,
                {.on_again =
                     [this] {
                       const std::lock_guard lock(mutex_);
                       table_.clear();
                     },
                 .on_record = [this](const kafka::Record& record) { on_record(record); },
                 .on_complete = [this] { note_orphans(); }}),
      timer_(threads.context(0)) {}

Sessions::~Sessions() { stop(); }

void Sessions::start() {
  log_.start();
  follower_.start();
  boost::asio::post(timer_.get_executor(), [this] { tend(); });
}

void Sessions::stop() {
  follower_.stop();
  log_.stop();
}

runtime::CheckResult Sessions::check() const {
  if (!follower_.ready()) return {false, "the topic is not read to its end yet"};
  if (!log_.accepting()) return {false, "Kafka does not confirm records; nobody is let in over MQTT"};
  const std::lock_guard lock(mutex_);
  return {true, std::to_string(table_.size()) + " sessions"};
}

int Sessions::partition_of_device(const Visit& visit) const {
  return partition_of(record_key(visit.tenant, visit.device), log_.partitions());
}

void Sessions::read_up(const Visit& visit, std::function<void()> done) {
  const int partition = partition_of_device(visit);
  const std::lock_guard lock(mutex_);
  if (marks_.size() <= static_cast<std::size_t>(partition)) {
    marks_.resize(static_cast<std::size_t>(log_.partitions()));
  }
  Marks& marks = marks_[static_cast<std::size_t>(partition)];
  // A mark that is under way may stand before what was written until now.
  marks.waiting.emplace_back(marks.issued + 1, std::move(done));
  if (!marks.under_way) issue(partition, marks);
}

// A mark that Kafka does not take is not made up for: the next CONNECT's is under way as soon as this one has failed.
void Sessions::issue(int partition, Marks& marks) {
  devices::v1::Mark mark;
  mark.set_start(start_);
  mark.set_number(++marks.issued);
  marks.under_way = true;
  const Status written = log_.write(partition, mark_key_, mark.SerializeAsString(),
                                    [this, partition](const Result<kafka::RecordCoordinate>& where) {
                                      if (where.ok()) return;
                                      const std::lock_guard lock(mutex_);
                                      marks_[static_cast<std::size_t>(partition)].under_way = false;
                                    });
  if (!written.ok()) marks.under_way = false;
}

std::optional<mqtt::StoredSession> Sessions::find(const Visit& visit) const {
  const std::lock_guard lock(mutex_);
  return table_.find(session_key(visit), visit.device_key, now_us());
}

bool Sessions::contains(const Visit& visit) const {
  const std::lock_guard lock(mutex_);
  return table_.contains(session_key(visit));
}

Status Sessions::write(const Visit& visit, mqtt::StoredSession session, bool connected, Done done) {
  SessionRecord record{visit.tenant,       visit.device,    visit.client_id,
                       visit.gateway,      connected,       connected ? 0 : now_us(),
                       std::move(session), visit.device_key};
  std::string value = encode(record);
  if (value.size() > kMaxRecordBytes) {
    return Error{ErrorKind::kTooLarge, "the session's subscriptions have more than 128 KiB"};
  }
  return log_.write(partition_of_device(visit), session_key(visit), std::move(value), adapted(std::move(done)));
}

Status Sessions::remove(const Visit& visit, Done done) {
  return log_.write(partition_of_device(visit), session_key(visit), std::nullopt, adapted(std::move(done)));
}

void Sessions::on_record(const kafka::Record& record) {
  if (record.key().starts_with(kMark)) return on_mark(record);
  std::unique_lock lock(mutex_);
  const auto applied = table_.apply(record.key(), record.is_tombstone() ? std::nullopt : std::optional(record.value()));
  if (!applied.ok()) {
    logger_.limited(
        limiter_, observability::Level::kWarn, "a session record cannot be read",
        {{"partition", record.partition()}, {"offset", record.offset()}, {"error", applied.error().message}});
    return;
  }
  switch (*applied) {
    case SessionTable::Effect::kNone:
      break;
    case SessionTable::Effect::kAssert:
      lock.unlock();
      if (overwritten_) overwritten_(parse_session_key(record.key()));
      break;
    case SessionTable::Effect::kRewrite:
      // Lost only with Kafka's queue full, and until the client connects again.
      static_cast<void>(log_.write(record.partition(), std::string(record.key()), table_.value_of(record.key()), {}));
      break;
  }
}

void Sessions::on_mark(const kafka::Record& record) {
  devices::v1::Mark mark;
  if (record.key() != mark_key_ || record.is_tombstone() ||
      !mark.ParseFromArray(record.value().data(), static_cast<int>(record.value().size())) || mark.start() != start_) {
    return;
  }
  std::vector<std::function<void()>> arrived;
  {
    const std::lock_guard lock(mutex_);
    Marks& marks = marks_[static_cast<std::size_t>(record.partition())];
    std::erase_if(marks.waiting, [&](auto& one) {
      if (one.first > mark.number()) return false;
      arrived.push_back(std::move(one.second));
      return true;
    });
    if (mark.number() == marks.issued) marks.under_way = false;
    if (!marks.waiting.empty() && !marks.under_way) issue(record.partition(), marks);
  }
  for (const auto& done : arrived) done();
}

int Sessions::partition_of_key(const std::string& key, int partitions) {
  // tenant/device/client id; the partition is that of tenant/device.
  return partition_of(key.substr(0, key.find('/', key.find('/') + 1)), partitions);
}

// When the topic is read to its end for the first time nobody was let in yet: what is connected to this gateway was
// connected to a start of it that died, and would never expire if its client did not come back.
void Sessions::note_orphans() {
  const std::lock_guard lock(mutex_);
  if (!read_before_) orphans_ = table_.own_connected();
  read_before_ = true;
}

void Sessions::tend() {
  if (log_.accepting()) {
    end_orphans();
    end_expired();
  }
  timer_.expires_after(kTendEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tend();
  });
}

void Sessions::end_orphans() {
  const std::lock_guard lock(mutex_);
  std::erase_if(orphans_, [this](const SessionTable::Orphan& one) {
    auto value = table_.ended(one, now_us());
    return !value ||
           log_.write(partition_of_key(one.key, log_.partitions()), one.key, std::move(value), {}).ok();  // or later
  });
}

void Sessions::end_expired() {
  std::vector<std::string> expired;
  {
    const std::lock_guard lock(mutex_);
    expired = table_.take_expired(now_us());
  }
  for (std::string& key : expired) {
    const int partition = partition_of_key(key, log_.partitions());
    static_cast<void>(log_.write(partition, std::move(key), std::nullopt, {}));  // or again after a while
  }
}

}  // namespace millrace::gateway
