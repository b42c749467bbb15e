// Export and Tail of the client of ./dev bench query.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <thread>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_callback.h>

#include <millrace/base/time.hpp>

#include "query_targets.hpp"

namespace millrace::bench {
namespace {

namespace api = query::v1;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

struct Exported {
  std::int64_t points = 0;
  std::int64_t bytes = 0;
  double seconds = 0;
};

Exported export_once(const Target& target, const Words& arguments) {
  api::ExportRequest request;
  request.set_from_us(std::strtoll(arguments.at(0).c_str(), nullptr, 10));
  request.set_to_us(std::strtoll(arguments.at(1).c_str(), nullptr, 10));
  request.set_format(static_cast<api::ExportFormat>(std::atoi(arguments.at(2).c_str())));
  grpc::ClientContext context;
  rpc::prepare_stream(context, target.options);
  Exported done;
  const auto begun = Clock::now();
  const auto stream = target.stub->Export(&context, request);
  for (api::ExportResponse part; stream->Read(&part);) {
    done.points += part.points();
    done.bytes += static_cast<std::int64_t>(part.data().size());
  }
  need(stream->Finish());
  done.seconds = seconds_since(begun);
  return done;
}

Exported copy_once(Target& target, const Words& arguments) {
  const auto time = [&](std::size_t i) {
    return "'" + format_rfc3339(std::strtoll(arguments.at(i).c_str(), nullptr, 10)) + "'";
  };
  Exported done;
  const auto begun = Clock::now();
  const auto copied = need(target.database->copy_out(
      "COPY (SELECT device_id, metric, time, value, kind, other, untimed FROM storage.points_in(" + time(0) + ", " +
          time(1) + ")) TO STDOUT (FORMAT binary)",
      [](const postgres::CopyFields&) {}));
  done.seconds = seconds_since(begun);
  done.points = copied;
  return done;
}

double rate_of(std::vector<Exported>& runs) {
  std::sort(runs.begin(), runs.end(), [](const Exported& a, const Exported& b) { return a.seconds < b.seconds; });
  const Exported& middle = runs[runs.size() / 2];
  return static_cast<double>(middle.points) / middle.seconds;
}

// --- tail ---

/// How late readings came, in tenths of a millisecond; beyond the last it counts as the last.
class Delays {
 public:
  void add(TimeUs delay) {
    const auto tenth = std::clamp<TimeUs>(delay / 100, 0, static_cast<TimeUs>(counts_.size()) - 1);
    counts_[static_cast<std::size_t>(tenth)].fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t count() const {
    std::int64_t all = 0;
    for (const auto& count : counts_) all += count.load();
    return all;
  }
  [[nodiscard]] double percentile_ms(double share) const {
    const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(count()));
    std::int64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i].load();
      if (seen > wanted) return static_cast<double>(i) / 10;
    }
    return static_cast<double>(counts_.size()) / 10;
  }

 private:
  std::vector<std::atomic<std::int64_t>> counts_ = std::vector<std::atomic<std::int64_t>>(200'000);
};

struct Tails {
  std::atomic<std::int64_t> live{0};
  std::atomic<std::int64_t> ended{0};
  std::atomic<std::int64_t> readings{0};
  std::atomic<std::int64_t> missed{0};
  Delays delays;
};

/// One stream. Counts a message by its reading `sequence`, which every message of millrace-fleet has once; the time of
/// a reading is that of its making.
class Tail final : public grpc::ClientReadReactor<api::TailResponse> {
 public:
  Tail(const Target& target, api::QueryService::Stub& stub, const Device& device, Tails& tails) : tails_(tails) {
    request_.add_devices(device.name);
    rpc::prepare_stream(context_, target.options);
    stub.async()->Tail(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void cancel() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override {
    if (ok) tails_.live.fetch_add(1);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    const TimeUs now = now_us();
    tails_.missed += response_.missed();
    tails_.readings += response_.readings_size();
    for (const auto& reading : response_.readings()) {
      if (reading.metric() == "sequence") tails_.delays.add(now - reading.time_us());
    }
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    if (!status.ok() && status.error_code() != grpc::StatusCode::CANCELLED) fail(status.error_message());
    tails_.ended.fetch_add(1);
  }

 private:
  Tails& tails_;
  grpc::ClientContext context_;
  api::TailRequest request_;
  api::TailResponse response_;
};

/// Until the number of something reaches a value.
void wait_for(const std::function<std::int64_t()>& value, std::int64_t least, const char* what) {
  const auto until = Clock::now() + std::chrono::minutes{1};
  while (value() < least) {
    if (Clock::now() >= until) fail(what);
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
}

/// Of a connection of its own: a server takes 256 streams on one.
std::unique_ptr<api::QueryService::Stub> stub_of(const Target& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return api::QueryService::NewStub(
      grpc::CreateCustomChannel(target.options.server.to_string(), grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

void run_export(std::vector<Target>& targets, int times, const Words& arguments) {
  std::vector<std::vector<Exported>> through_api(targets.size());
  std::vector<std::vector<Exported>> bare(targets.size());
  for (int i = 0; i < times; ++i) {
    for (std::size_t t = 0; t < targets.size(); ++t) {
      through_api[t].push_back(export_once(targets[t], arguments));
      bare[t].push_back(copy_once(targets[t], arguments));
      if (through_api[t].back().points != bare[t].back().points) fail("the export has other points than the database");
    }
  }
  std::string text;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    std::array<char, 256> line{};
    const Exported last = through_api[t].back();
    std::snprintf(line.data(), line.size(),
                  R"({"points_per_s": %.0f, "bare_points_per_s": %.0f, "points": %lld, "bytes": %lld})",
                  rate_of(through_api[t]), rate_of(bare[t]), static_cast<long long>(last.points),
                  static_cast<long long>(last.bytes));
    text += (text.empty() ? "[" : ", ") + std::string(line.data());
  }
  std::printf("%s]\n", text.c_str());
}

void run_tail(const Target& target, const std::vector<Device>& devices) {
  constexpr std::size_t kStreamsOfConnection = 100;
  Tails tails;
  std::vector<std::unique_ptr<api::QueryService::Stub>> stubs;
  std::vector<std::unique_ptr<Tail>> streams;
  for (const Device& device : devices) {
    if (streams.size() % kStreamsOfConnection == 0) stubs.push_back(stub_of(target));
    streams.push_back(std::make_unique<Tail>(target, *stubs.back(), device, tails));
  }
  const auto all = static_cast<std::int64_t>(devices.size());
  wait_for([&] { return tails.live.load(); }, all, "not all tails became live");
  std::printf("live\n");
  std::fflush(stdout);
  std::int64_t sent = 0;
  std::cin >> sent;
  wait_for([&] { return tails.readings.load() + tails.missed.load(); }, sent, "not all readings came");
  for (const auto& stream : streams) stream->cancel();
  wait_for([&] { return tails.ended.load(); }, all, "not all tails ended");
  std::printf(R"({"messages": %lld, "readings": %lld, "missed": %lld, "p50": %.1f, "p99": %.1f})"
              "\n",
              static_cast<long long>(tails.delays.count()), static_cast<long long>(tails.readings.load()),
              static_cast<long long>(tails.missed.load()), tails.delays.percentile_ms(0.5),
              tails.delays.percentile_ms(0.99));
}

}  // namespace millrace::bench
