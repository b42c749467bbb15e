// Asks query-api over gRPC and the database behind it over libpq, alternately in the same moments, and prints how long
// each took: one JSON array with an object for each target. Several targets are asked in turn, so that what else the
// machine does meets all of them. Called by ./dev bench query.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <iostream>
#include <sstream>
#include <thread>

#include <grpcpp/channel.h>

#include <millrace/base/address.hpp>
#include <millrace/postgres/copy.hpp>
#include <millrace/storage_schema/statements.hpp>
#include <millrace/storage_schema/value.hpp>

#include "query_targets.hpp"

namespace millrace::bench {
namespace {

namespace api = query::v1;
using Clock = std::chrono::steady_clock;
using postgres::Params;

constexpr int kMostPerPage = 10'000;

/// One read, over query-api or over libpq; returns how many rows came.
using Read = std::function<std::int64_t(Target&, const Device&)>;

struct Reads {
  Read through_api;
  Read bare;
  std::string statement;  // prepared in each database under the name `bare`; empty: none
};

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values.at(std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size()))));
}

std::int64_t number(const std::string& text) { return std::strtoll(text.c_str(), nullptr, 10); }

Words split(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) fail(std::string(variable) + " is not set");
  std::istringstream list(text);
  Words parts;
  for (std::string part; std::getline(list, part, ',');) parts.push_back(part);
  return parts;
}

std::vector<Target> open_targets() {
  const Words addresses = split("MILLRACE_QUERY_ADDR");
  const Words databases = split("MILLRACE_DATABASE_URL");
  if (addresses.size() != databases.size()) fail("as many addresses as databases are needed");
  std::vector<Target> targets;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    Target target;
    target.options.server = need(parse_address(addresses[i]));
    target.options.api_key = split("MILLRACE_API_KEY").front();
    target.options.deadline = std::chrono::minutes{5};
    const auto channel = rpc::make_channel(target.options);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::minutes{1}))
      fail("no connection to " + addresses[i]);
    target.stub = api::QueryService::NewStub(channel);
    postgres::ConnectOptions options;
    options.url = databases[i];
    options.application_name = "query_client";
    options.call_timeout = std::chrono::minutes{5};
    options.statement_timeout = std::chrono::minutes{5};
    target.database = need(postgres::Connection::open(options));
    targets.push_back(std::move(target));
  }
  return targets;
}

std::vector<Device> read_devices() {
  std::vector<Device> devices;
  // A line `.` ends them where something else follows.
  for (Device one; std::cin >> one.name && one.name != "." && std::cin >> one.key;) devices.push_back(one);
  if (devices.empty()) fail("standard input names no device (lines `NAME KEY`)");
  return devices;
}

template <typename Request, typename Response, typename Method>
Response call(const Target& target, const Request& request, Method method) {
  grpc::ClientContext context;
  rpc::prepare(context, target.options);
  Response response;
  need(((*target.stub).*method)(&context, request, &response));
  return response;
}

/// Prepared: the least that a program with the database at hand would pay.
std::int64_t rows_of(Target& target, const Params& params) {
  return need(target.database->exec_prepared("bare", params)).size();
}

// --- the reads ---

Reads latest() {
  return {[](Target& target, const Device& device) -> std::int64_t {
            api::LatestRequest request;
            request.set_device(device.name);
            return call<api::LatestRequest, api::LatestResponse>(target, request, &api::QueryService::Stub::Latest)
                .entries_size();
          },
          [](Target& target, const Device& device) { return rows_of(target, Params{}.integer(device.key)); },
          storage_schema::sql::kLatestOfDevice};
}

api::RangeRequest range_request(const Words& arguments, const Device& device) {
  api::RangeRequest request;
  request.set_device(device.name);
  request.set_metric(arguments.at(0));
  request.set_from_us(number(arguments.at(2)));
  request.set_to_us(number(arguments.at(3)));
  request.set_page_size(kMostPerPage);
  return request;
}

std::int64_t all_pages(const Target& target, api::RangeRequest request) {
  std::int64_t rows = 0;
  for (;;) {
    const auto page = call<api::RangeRequest, api::RangeResponse>(target, request, &api::QueryService::Stub::Range);
    rows += page.samples_size() + page.buckets_size();
    if (page.next_page_token().empty()) return rows;
    request.set_page_token(page.next_page_token());
  }
}

/// METRIC METRIC_ID FROM TO: the points of one series.
Reads range(const Words& arguments) {
  return {[=](Target& target, const Device& device) { return all_pages(target, range_request(arguments, device)); },
          [=](Target& target, const Device& device) {
            return rows_of(target, Params{}
                                       .integer(device.key)
                                       .integer(number(arguments.at(1)))
                                       .timestamptz(number(arguments.at(2)))
                                       .timestamptz(number(arguments.at(3)))
                                       .integer(kMostPerPage));
          },
          storage_schema::sql::kRange};
}

/// METRIC METRIC_ID FROM TO STEP: buckets of one series, in the database's own way.
Reads buckets(const Words& arguments) {
  return {[=](Target& target, const Device& device) {
            api::RangeRequest request = range_request(arguments, device);
            request.set_step_us(number(arguments.at(4)));
            return all_pages(target, request);
          },
          [=](Target& target, const Device& device) {
            return rows_of(target, Params{}
                                       .integer(device.key)
                                       .integer(number(arguments.at(1)))
                                       .timestamptz(number(arguments.at(2)))
                                       .timestamptz(number(arguments.at(3)))
                                       .integer(number(arguments.at(4))));
          },
          "SELECT date_bin($5::int8 * interval '1 microsecond', time, timestamptz '1970-01-01 00:00:00+00') AS bucket,"
          " count(*), min(value), max(value), avg(value), min(time), max(time)"
          " FROM storage.points($1::int4, $2::int4, $3::timestamptz, $4::timestamptz) GROUP BY 1 ORDER BY 1"};
}

/// METRIC METRIC_ID FROM TO: the ten devices with the highest mean. The devices of standard input do not matter.
Reads top(const Words& arguments) {
  return {[=](Target& target, const Device&) -> std::int64_t {
            api::TopNRequest request;
            request.set_metric(arguments.at(0));
            request.set_from_us(number(arguments.at(2)));
            request.set_to_us(number(arguments.at(3)));
            return call<api::TopNRequest, api::TopNResponse>(target, request, &api::QueryService::Stub::TopN)
                .entries_size();
          },
          [=](Target& target, const Device&) {
            return rows_of(target, Params{}
                                       .integer(number(arguments.at(1)))
                                       .timestamptz(number(arguments.at(2)))
                                       .timestamptz(number(arguments.at(3))));
          },
          "SELECT device_id, avg(value) AS mean, count(*) FROM storage.points_in($2::timestamptz, $3::timestamptz)"
          " WHERE metric = $1::int4 GROUP BY device_id ORDER BY mean DESC, device_id LIMIT 10"};
}

Reads reads_of(const std::string& kind, const Words& arguments) {
  if (kind == "latest") return latest();
  if (kind == "range") return range(arguments);
  if (kind == "buckets") return buckets(arguments);
  if (kind == "top") return top(arguments);
  fail("unknown: " + kind);
}

// --- measuring ---

struct Times {
  std::vector<double> api_ms;
  std::vector<double> bare_ms;
  std::int64_t rows = 0;
};

double milliseconds(Target& target, const Device& device, const Read& read, std::int64_t& rows) {
  const auto begun = Clock::now();
  rows = read(target, device);
  return std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
}

/// `rate` reads/s of either kind, in even steps; 0: one after the other.
std::vector<Times> measure(std::vector<Target>& targets, const std::vector<Device>& devices, const Reads& reads,
                           int calls, double rate) {
  std::vector<Times> times(targets.size());
  std::int64_t rows = 0;
  for (Target& target : targets) {
    if (!reads.statement.empty() && !target.database->prepare("bare", reads.statement).ok()) fail("cannot prepare");
    for (std::size_t i = 0; i < std::min<std::size_t>(devices.size(), static_cast<std::size_t>(calls)); ++i) {
      milliseconds(target, devices[i], reads.through_api, rows);
      milliseconds(target, devices[i], reads.bare, rows);
    }
  }
  auto next = Clock::now();
  const auto turn = [&](Target& target, const Device& device, const Read& read, std::vector<double>& into) {
    if (rate > 0) {
      next += std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(0.5 / rate / static_cast<double>(targets.size())));
      std::this_thread::sleep_until(next);
    }
    into.push_back(milliseconds(target, device, read, rows));
  };
  for (int i = 0; i < calls; ++i) {
    const Device& device = devices[static_cast<std::size_t>(i) % devices.size()];
    for (std::size_t t = 0; t < targets.size(); ++t) {
      turn(targets[t], device, reads.through_api, times[t].api_ms);
      times[t].rows += rows;
      turn(targets[t], device, reads.bare, times[t].bare_ms);
    }
  }
  return times;
}

void print(const std::vector<Times>& all) {
  std::string text;
  for (const Times& times : all) {
    std::array<char, 256> line{};
    std::snprintf(
        line.data(), line.size(),
        R"({"p50": %.4f, "p99": %.4f, "least": %.4f, "bare_p50": %.4f, "bare_p99": %.4f, "bare_least": %.4f, )"
        R"("rows": %.1f, "calls": %zu})",
        percentile(times.api_ms, 0.5), percentile(times.api_ms, 0.99), percentile(times.api_ms, 0),
        percentile(times.bare_ms, 0.5), percentile(times.bare_ms, 0.99), percentile(times.bare_ms, 0),
        static_cast<double>(times.rows) / static_cast<double>(times.api_ms.size()), times.api_ms.size());
    text += (text.empty() ? "[" : ", ") + std::string(line.data());
  }
  std::printf("%s]\n", text.c_str());
}

// --- what history costs the writer ---

/// BATCHES DAY: sorted batches into the day of each target, as the writer copies them; the day's rows are taken away
/// again. Prints rows/s.
void ingest(std::vector<Target>& targets, const std::vector<Device>& devices, int batches, std::int64_t day) {
  constexpr int kRows = 20'000;
  std::vector<double> seconds(targets.size());
  for (Target& target : targets) {
    if (!target.database->exec("SELECT storage.ensure_days(ARRAY[date '1970-01-01' + $1::int4])", Params{}.integer(day))
             .ok())
      fail("the day could not be made");
  }
  postgres::CopyEncoder encoder;
  for (int batch = 0; batch < batches; ++batch) {
    encoder.clear();
    const int series = static_cast<int>(std::min<std::size_t>(devices.size() * 4, kRows));
    for (int row = 0; row < kRows; ++row) {
      const int one = row / (kRows / series) % series;
      const TimeUs time = day * 86'400 * kUsPerSecond + (std::int64_t{batch} * kRows + row) * 1'000;
      storage_schema::encode_sample(encoder, time, devices[static_cast<std::size_t>(one / 4)].key, one % 4 + 1,
                                    {storage_schema::Kind::kNumber, static_cast<double>(row % 997) / 10, {}}, false);
    }
    encoder.finish();
    for (std::size_t t = 0; t < targets.size(); ++t) {
      const auto begun = Clock::now();
      need(targets[t].database->copy_in(storage_schema::sql::kCopySamples, encoder.bytes()));
      seconds[t] += std::chrono::duration<double>(Clock::now() - begun).count();
    }
  }
  std::string text;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (!targets[t]
             .database
             ->script("DO $$ BEGIN EXECUTE 'TRUNCATE storage.' || storage.day_table('sample', date '1970-01-01' + " +
                      std::to_string(day) + "); END $$")
             .ok())
      fail("the day could not be emptied");
    text += (text.empty() ? "[" : ", ") +
            std::to_string(static_cast<double>(std::int64_t{batches} * kRows) / std::max(seconds[t], 1e-9));
  }
  std::printf("%s]\n", text.c_str());
}

int run(const std::string& kind, int calls, double rate, const Words& arguments) {
  std::vector<Target> targets = open_targets();
  const std::vector<Device> devices = kind == "export" ? std::vector<Device>{} : read_devices();
  if (kind == "export") {
    run_export(targets, calls, arguments);
  } else if (kind == "tail") {
    run_tail(targets.front(), devices);
  } else if (kind == "ingest") {
    ingest(targets, devices, calls, number(arguments.at(0)));
  } else {
    print(measure(targets, devices, reads_of(kind, arguments), calls, rate));
  }
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  if (argc < 4)
    millrace::bench::fail("arguments: latest|range|buckets|top|export|tail|ingest CALLS RATE [ARGUMENT...]");
  return millrace::bench::run(argv[1], std::atoi(argv[2]), std::atof(argv[3]), {argv + 4, argv + argc});
}
