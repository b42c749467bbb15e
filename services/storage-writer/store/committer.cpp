#include "store/committer.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>

#include <millrace/kafka/dead_letter.hpp>
#include <millrace/storage/v1/progress.pb.h>
#include <millrace/telemetry/receipt.hpp>

#include "store/statements.hpp"

namespace millrace::writer {
namespace {

using std::chrono::steady_clock;

constexpr TimeUs kAheadOfLog = 300 * kUsPerSecond;
constexpr std::int32_t kDaysAhead = 3;
constexpr const char* kCancelled = "57014";  // query_canceled

// By the keys alone, beside each other: following an index into the changes for each comparison costs more.
std::vector<std::size_t> sorted(const Changes& changes) {
  std::vector<std::pair<SampleKey, std::size_t>> keys;
  keys.reserve(changes.inserts.size());
  for (std::size_t i = 0; i < changes.inserts.size(); ++i) keys.emplace_back(changes.inserts[i].key, i);
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
    const SampleKey& x = a.first;
    const SampleKey& y = b.first;
    return std::tie(x.series.device, x.series.metric, x.time) < std::tie(y.series.device, y.series.metric, y.time);
  });
  std::vector<std::size_t> order(keys.size());
  std::transform(keys.begin(), keys.end(), order.begin(), [](const auto& one) { return one.second; });
  return order;
}

}  // namespace

Committer::Committer(const Config& config, Handover& handover, NameTable& names, const WriterMetrics& metrics)
    : config_(config),
      handover_(handover),
      names_(names),
      metrics_(metrics),
      store_(config.database, config.topics.telemetry()),
      series_(config.max_series),
      days_(kSampleDays, config.max_partitions),
      producer_(std::make_unique<kafka::SyncProducer>(config.kafka, std::chrono::seconds{10})),
      announcer_(config.kafka, config.topics.storage_progress()) {}

Committer::~Committer() = default;

void Committer::start() {
  announcer_.start();
  thread_ = std::jthread([this] { run(); });
}

void Committer::join() {
  if (thread_.joinable()) thread_.join();
  announcer_.stop();
}

Committer::State Committer::state() const {
  const std::scoped_lock lock(state_mutex_);
  return state_;
}

void Committer::note(bool ok, std::string detail) {
  const std::scoped_lock lock(state_mutex_);
  state_ = {ok, std::move(detail)};
}

void Committer::run() {
  Backoff probe{std::chrono::milliseconds{100}, std::chrono::milliseconds{5'000}};
  while (!handover_.stopped()) {
    Handover::Work work = handover_.take(steady_clock::now() + std::chrono::milliseconds{200});
    if (work.opening) open(*work.opening);
    if (work.batch) store(*work.batch);
    if (!work.opening && !work.batch && !store_.connected()) {
      if (auto connected = store_.connect(); !connected) {
        note(false, connected.error().message);
        static_cast<void>(pause(probe, handover_.epoch()));  // new work or the end: the loop sees it
        continue;
      }
      probe.reset();
      note(true, "connected");
    }
    flush_if_due();
  }
  flush_latest();
}

void Committer::open(const Opening& opening) {
  Backoff backoff{std::chrono::milliseconds{50}, std::chrono::milliseconds{2'000}};
  while (opening.epoch == handover_.epoch() && !handover_.stopped()) {
    series_.clear();
    opening_ = opening;
    Status done = store_.connect();
    if (done) done = learn_touched(opening);
    if (done) done = announce(opening);
    if (done) {
      note(true, "connected");
      opening_.touched.clear();
      flushed_ = steady_clock::now();
      return;
    }
    note(false, done.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "cannot begin with the partitions",
                 {{"error", done.error().message}});
    if (!pause(backoff, opening.epoch)) return;
  }
}

// Tells the gateways which generation of the log their receipts are of, before anything of it is stored; and whoever
// waits for an answer what the partitions' last writer may not have said any more.
Status Committer::announce(const Opening& opening) {
  auto tails = store_.dead_tails(opening.partitions);
  if (!tails) return tails.error();
  tails_ = std::move(*tails);
  announcer_.forget();
  std::vector<kafka::OutgoingRecord> records;
  for (const auto& [partition, one] : opening.partitions) {
    records.push_back(record_of(config_.topics.storage_progress(), progress_of(partition)));
  }
  auto sent = producer_->send(records);
  return sent ? Status{} : Status{sent.error()};
}

storage::v1::Progress Committer::progress_of(std::int32_t partition) {
  const Opening::Partition& one = opening_.partitions[partition];
  storage::v1::Progress progress;
  progress.set_topic(config_.topics.telemetry());
  progress.set_partition(partition);
  progress.set_generation(one.generation);
  progress.set_next_offset(one.next_offset);
  progress.set_time_us(now_us());
  progress.set_generation_from(one.generation_from);
  tails_[partition].write_to(progress);
  return progress;
}

// After the commit. A copy answers as its original: where that is too old to be remembered, the database knows.
void Committer::tell_waiting(std::int32_t partition, const Slice& slice) {
  DeadTail& tail = tails_[partition];
  tail.add(slice);
  if (!slice.awaited) return;
  if (const auto originals = DeadTail::unknown_originals(slice, tail); !originals.empty()) {
    const auto dead = store_.dead_among(partition, slice.generation, originals);
    if (!dead) {
      // Nothing is said of them; whoever waits for one of them asks again.
      log_.limited(limiter_, observability::Level::kWarn, "cannot tell whether copies are of dead letters",
                   {{"error", dead.error().message}});
      tail = DeadTail(slice.end);
    } else {
      for (const DroppedCopy& copy : slice.copies) {
        const auto original = dead->find(copy.original);
        if (original != dead->end()) tail.add(copy.offset, original->second.points, original->second.reason);
      }
    }
  }
  announcer_.publish(progress_of(partition));
}

// `latest` lacks what was stored after its own offset: the rows themselves tell.
Status Committer::learn_touched(const Opening& opening) {
  if (auto names = learn_names(); !names) return names;
  if (auto days = days_.learn(store_.connection()); !days) return days;
  TimeUs log_time = 0;
  for (const auto& [partition, one] : opening.partitions) log_time = std::max(log_time, one.log_time);
  constexpr std::size_t kStretch = 5'000;
  for (std::size_t from = 0; from < opening.touched.size(); from += kStretch) {
    std::vector<SeriesKey> keys;
    std::unordered_map<SeriesKey, std::int32_t, SeriesKeyHash> partitions;
    for (std::size_t i = from; i < std::min(from + kStretch, opening.touched.size()); ++i) {
      const NamedSeries& one = opening.touched[i];
      const SeriesKey key{one.device, ids_[one.metric]};
      keys.push_back(key);
      partitions[key] = one.partition;
    }
    auto states = store_.series_states(keys, log_time + kAheadOfLog);
    if (!states) return states.error();
    for (const SeriesState& state : *states) {
      const std::int32_t partition = partitions[state.key];
      series_.learn(state.key, partition, state.max_time);
      if (!state.max_time) continue;
      if (state.latest_time) series_.offer(state.key, partition, *state.latest_time, state.latest, true);
      series_.offer(state.key, partition, *state.max_time, {}, false);
    }
  }
  return {};
}

void Committer::store(Batch& batch) {
  Backoff backoff{std::chrono::milliseconds{20}, std::chrono::milliseconds{2'000}};
  const auto begun = steady_clock::now();
  buried_in_batch_ = 0;
  while (batch.epoch == handover_.epoch() && !batch.empty()) {
    const Outcome outcome = try_store(batch);
    if (outcome == Outcome::kAgain) continue;
    if (outcome == Outcome::kDone) {
      metrics_.batch_seconds.observe(std::chrono::duration<double>(steady_clock::now() - begun).count());
      break;
    }
    if (outcome == Outcome::kGiveUp || !pause(backoff, batch.epoch)) break;
  }
  be_usual();
}

// A batch that takes longer than a call may take, as one that corrects much of a compacted day, would be cancelled at
// each of its tries, and its partition stand still for ever.
void Committer::be_more_patient() {
  constexpr std::chrono::minutes kMost{15};
  patience_ = std::min<std::chrono::milliseconds>(2 * std::max(patience_, config_.database.call_timeout), kMost);
  log_.warn("a batch takes long: its next try may take longer", {{"seconds", patience_.count() / 1'000}});
}

void Committer::be_usual() {
  if (patience_.count() == 0) return;
  patience_ = {};
  store_.be_usual();
}

Committer::Outcome Committer::try_store(Batch& batch) {
  if (auto ready = prepare(batch); !ready) {
    note(false, ready.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "cannot store", {{"error", ready.error().message}});
    if (!store_.connected()) store_.disconnect();
    return Outcome::kRetry;
  }
  auto changes = resolve(batch, ids_, series_, store_);
  if (!changes) {
    Changes none;
    return after_failure(batch, changes.error(), {}, none);
  }
  if (auto days = ensure_days(*changes); !days) return after_failure(batch, days.error(), {}, *changes);
  const std::vector<std::size_t> order = sorted(*changes);
  std::optional<std::int32_t> fenced;
  const Status done = store_.commit({&batch, &*changes, order}, fenced);
  if (done) {
    committed(batch, *changes);
    return Outcome::kDone;
  }
  if (fenced) {
    metrics_.fenced.add();
    log_.warn("fenced: the offset is not the one this batch begins at", {{"partition", *fenced}});
    handover_.request_reset(done.error().message);
    return Outcome::kGiveUp;
  }
  if (done.error().kind == ErrorKind::kConflict) {
    metrics_.retries.add();
    return Outcome::kRetry;
  }
  return after_failure(batch, done.error(), order, *changes);
}

Status Committer::prepare(Batch& batch) {
  if (auto connected = store_.connect(); !connected) return connected;
  if (patience_.count() > 0) {
    const auto is_void = [this, epoch = batch.epoch] { return handover_.stopped() || handover_.epoch() != epoch; };
    if (auto patient = store_.be_patient(patience_, is_void); !patient) return patient;
  }
  if (auto names = learn_names(); !names) return names;
  if (auto days = ensure_coming_days(); !days) return days;
  if (auto settled = store_.settle_replays(batch); !settled) return settled;
  return send_dead(batch);
}

Committer::Outcome Committer::after_failure(Batch& batch, const Error& error, std::span<const std::size_t> order,
                                            Changes& changes) {
  if (error.kind == ErrorKind::kUnknownOutcome) return settle_unknown(batch);
  const postgres::ServerError server = store_.last_error();
  switch (postgres::disposition_of(server.sqlstate)) {
    case postgres::Disposition::kRetry:
      metrics_.retries.add();
      note(false, error.message);
      log_.limited(limiter_, observability::Level::kWarn, "the database refuses for the moment",
                   {{"error", error.message}});
      if (store_.last_error().sqlstate == kCancelled) be_more_patient();
      if (!store_.connected()) store_.disconnect();
      return Outcome::kRetry;
    case postgres::Disposition::kPoison:
      if (buried_in_batch_ >= config_.max_refused_points) {
        note(false, "too many points of one batch are refused; a changed schema looks like this: " + error.message);
        log_.limited(limiter_, observability::Level::kError, "too many points are refused; stopped",
                     {{"error", error.message}});
        return Outcome::kRetry;
      }
      if (auto buried = bury(batch, changes, order); !buried) {
        note(false, buried.error().message);
        log_.limited(limiter_, observability::Level::kError, "cannot tell which row is refused",
                     {{"error", error.message}});
        return Outcome::kRetry;
      }
      return Outcome::kAgain;
    case postgres::Disposition::kStop:
      break;
  }
  note(false, error.message);
  log_.limited(limiter_, observability::Level::kError, "the database refuses; a person must look",
               {{"error", error.message}});
  return Outcome::kRetry;
}

// The connection broke in COMMIT. The transaction moved all offsets or none.
Committer::Outcome Committer::settle_unknown(Batch& batch) {
  metrics_.unknown_commits.add();
  store_.disconnect();
  // What the database now holds decides; reading it again from there is the one path that is always right.
  log_.warn("the outcome of a commit is unknown: reading the offsets again", {{"partitions", batch.slices.size()}});
  handover_.request_reset("the outcome of a commit is unknown");
  return Outcome::kGiveUp;
}

// Takes the row that the database refuses out of the batch and notes it as dead.
Status Committer::bury(Batch& batch, Changes& changes, std::span<const std::size_t> order) {
  const postgres::ServerError server = store_.last_error();
  std::vector<std::size_t> sources;
  if (server.copy_line && static_cast<std::size_t>(*server.copy_line) <= order.size()) {
    sources.push_back(changes.inserts[order[static_cast<std::size_t>(*server.copy_line) - 1]].source);
  } else {
    auto refused = store_.refused_replacements(changes.replaced);
    if (!refused) return refused.error();
    for (const std::size_t at : *refused) sources.push_back(changes.replaced[at].source);
  }
  if (sources.empty()) return Error{ErrorKind::kInternal, "no single row is refused: " + server.message};
  std::sort(sources.begin(), sources.end(), std::greater<>{});
  const auto names = names_.since(0);
  for (const std::size_t source : sources) {
    const Row row = batch.rows[source];
    Slice& slice = batch.slices.at(row.partition);
    const auto same = std::find_if(slice.dead.begin(), slice.dead.end(),
                                   [&](const DeadLetter& dead) { return dead.offset == row.offset; });
    DeadLetter& dead = same != slice.dead.end() ? *same : slice.dead.emplace_back();
    dead.offset = row.offset;
    dead.points.push_back(row.index);
    dead.reason = server.sqlstate + ": " + server.message;
    dead.dead_partition = -1;  // to be sent (again) with all of its points
    dead.tenant = names[row.metric].tenant;
    for (const kafka::Record& record : slice.records) {
      if (record.offset() == row.offset) dead.device = std::string(record.key().substr(record.key().find('/') + 1));
    }
    batch.rows.erase(batch.rows.begin() + static_cast<std::ptrdiff_t>(source));
    metrics_.dead_points.add();
    ++buried_in_batch_;
  }
  log_.warn("a point is refused for good and goes to the dead letters",
            {{"error", server.message}, {"points", sources.size()}});
  return {};
}

Status Committer::learn_names() {
  const auto names = names_.since(ids_.size());
  if (names.empty()) return {};
  auto ids = metric_ids(store_.connection(), names);
  if (!ids) return ids.error();
  ids_.insert(ids_.end(), ids->begin(), ids->end());
  return {};
}

Status Committer::ensure_days(const Changes& changes) {
  std::set<std::int32_t> days;
  for (const NewSample& sample : changes.inserts) days.insert(day_of(sample.key.time));
  for (const MovedSample& moved : changes.moved) days.insert(day_of(moved.to));
  return days_.ensure(store_.connection(), days);
}

Status Committer::ensure_coming_days() {
  const std::int32_t today = day_of(now_us());
  if (coming_checked_ == today) return {};
  std::set<std::int32_t> days;
  for (std::int32_t day = today - 1; day <= today + kDaysAhead; ++day) days.insert(day);
  if (auto made = days_.ensure(store_.connection(), days); !made) return made;
  coming_checked_ = today;
  auto strays = store_.default_partition_rows();
  if (!strays) return strays.error();
  metrics_.default_partition_rows.set(static_cast<double>(*strays));
  return {};
}

Status Committer::send_dead(Batch& batch) {
  for (auto& [partition, slice] : batch.slices) {
    for (DeadLetter& dead : slice.dead) {
      if (dead.dead_partition >= 0) continue;
      kafka::OutgoingRecord out;
      out.topic = config_.topics.telemetry_dead();
      for (const kafka::Record& record : slice.records) {
        if (record.offset() != dead.offset) continue;
        out.key = std::string(record.key());
        out.value = std::string(record.value());
      }
      const telemetry::Receipt source{partition, dead.offset, slice.generation, false};
      namespace names = kafka::dead_letter;
      out.headers = {{std::string(names::kTenant), dead.tenant},
                     {std::string(names::kDevice), dead.device},
                     {std::string(names::kReason), "not_storable"},
                     {std::string(names::kDetail), dead.reason},
                     {std::string(names::kTimeUs), std::to_string(now_us())},
                     {std::string(names::kSource), source.to_string()}};
      if (!dead.points.empty()) out.headers.push_back({std::string(names::kPoints), names::join_indexes(dead.points)});
      auto sent = producer_->send_one(out);
      if (!sent) return sent.error();
      dead.dead_partition = sent->partition;
      dead.dead_offset = sent->offset;
    }
  }
  return {};
}

void Committer::committed(const Batch& batch, const Changes& changes) {
  note(true, "connected");
  const auto offer = [&](const SampleKey& key, const Cell& cell, std::size_t source) {
    const Row& row = batch.rows[source];
    series_.offer(*changes.series[source], key.series, row.partition, key.time, cell,
                  key.time <= row.log_time + kAheadOfLog);
  };
  for (const MovedSample& moved : changes.moved) offer({moved.from.series, moved.to}, moved.cell, moved.source);
  for (const NewSample& sample : changes.replaced) offer(sample.key, sample.cell, sample.source);
  for (const NewSample& sample : changes.inserts) offer(sample.key, sample.cell, sample.source);
  metrics_.rows.add(static_cast<double>(changes.inserts.size()));
  metrics_.replaced.add(static_cast<double>(changes.replaced.size()));
  metrics_.batches.add();
  metrics_.batch_rows.observe(static_cast<double>(batch.rows.size()));
  for (const auto& [partition, slice] : batch.slices) {
    opening_.partitions[partition].next_offset = slice.end;
    metrics_.records.add(static_cast<double>(slice.end - slice.begin));
    metrics_.copies.add(static_cast<double>(slice.copies.size()));
    tell_waiting(partition, slice);
    handover_.report_committed(partition, slice.end);
  }
}

void Committer::flush_if_due() {
  if (steady_clock::now() - flushed_ < config_.latest_interval) return;
  flush_latest();
}

void Committer::flush_latest() {
  flushed_ = steady_clock::now();
  if (opening_.epoch != handover_.epoch() || !store_.connected()) return;
  std::map<std::int32_t, std::pair<std::int64_t, std::int64_t>> offsets;
  for (const auto& [partition, one] : opening_.partitions) {
    if (one.latest_offset != one.next_offset) offsets[partition] = {one.latest_offset, one.next_offset};
  }
  if (offsets.empty() && series_.pending_count() == 0) return;
  std::optional<std::int32_t> fenced;
  const auto pending = series_.pending();
  const Status done = store_.flush_latest(pending, offsets, fenced);
  if (!done) {
    // Ambiguous or refused: what is in the database is read again with the next opening.
    if (fenced || done.error().kind == ErrorKind::kUnknownOutcome) handover_.request_reset(done.error().message);
    if (!store_.connected()) store_.disconnect();
    log_.limited(limiter_, observability::Level::kWarn, "cannot flush the latest values",
                 {{"error", done.error().message}});
    return;
  }
  for (auto& [partition, one] : opening_.partitions) one.latest_offset = one.next_offset;
  series_.flushed();
  series_.trim();
  metrics_.latest_series.set(static_cast<double>(series_.size()));
}

bool Committer::pause(Backoff& backoff, std::uint64_t epoch) {
  const auto until = steady_clock::now() + backoff.next();
  while (steady_clock::now() < until) {
    if (handover_.epoch() != epoch || handover_.stopped()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return handover_.epoch() == epoch && !handover_.stopped();
}

}  // namespace millrace::writer
