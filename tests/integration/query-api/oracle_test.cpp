// Random data against a naive oracle, over the reads. MILLRACE_TEST_ORACLE_CASES: how many cases (a few where it is not
// set), MILLRACE_TEST_ORACLE_SEED: the seed of a run that is to be repeated.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

#include "oracle_fixture.hpp"

namespace millrace::query_api {
namespace {

using oracle::Figures;

constexpr int kUsualCases = 20;

std::uint64_t from_environment(const char* name, std::uint64_t usual) {
  const char* text = std::getenv(name);
  return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
}

/// Sums are equal but for what rounding may do.
bool close(double got, long double wanted, long double size) {
  const auto narrowed = static_cast<double>(wanted);
  if (got == narrowed) return true;
  return std::fabs(static_cast<long double>(got) - wanted) <= size * 1e-12L + 1e-300L;
}

}  // namespace

void Oracle::check_samples(std::int32_t key) {
  auto request = about<api::RangeRequest>();
  request.set_device(name_of(key));
  request.set_page_size(between(1, 20));
  std::vector<api::RangeResponse::Sample> got;
  pages<api::RangeRequest, api::RangeResponse>(
      &api::QueryService::StubInterface::Range, request,
      [&](const auto& page) { got.insert(got.end(), page.samples().begin(), page.samples().end()); });
  const auto& rows = model_.devices[key];
  auto row = rows.lower_bound(from_);
  for (const auto& sample : got) {
    ASSERT_TRUE(row != rows.end() && row->first < to_) << "more samples than were stored";
    ASSERT_EQ(sample.time_us(), row->first);
    ASSERT_EQ(sample.untimed(), row->second.untimed);
    ASSERT_TRUE(value_of(sample.value()) == as_stored(row->second.value)) << sample.ShortDebugString();
    ++row;
  }
  ASSERT_TRUE(row == rows.end() || row->first >= to_) << "samples are missing";
}

void Oracle::compare(const api::RangeResponse::Bucket& got, TimeUs start, const Figures& wanted) {
  ASSERT_EQ(got.time_us(), start);
  ASSERT_EQ(got.count(), wanted.count);
  ASSERT_EQ(got.min(), wanted.min);
  ASSERT_EQ(got.max(), wanted.max);
  ASSERT_EQ(got.first(), wanted.first.value);
  ASSERT_EQ(got.last(), wanted.last.value);
  ASSERT_EQ(got.first_time_us(), wanted.first.time);
  ASSERT_EQ(got.last_time_us(), wanted.last.time);
  ASSERT_TRUE(close(got.mean(), wanted.mean(), wanted.size)) << got.mean();
}

void Oracle::check_buckets(std::int32_t key) {
  constexpr std::array<std::int64_t, 5> kSteps{1'000, 7'000'001, 60'000'000, 3'600'000'000, 86'400'000'000};
  const std::int64_t step = kSteps.at(static_cast<std::size_t>(between(0, 4)));
  auto request = about<api::RangeRequest>();
  request.set_device(name_of(key));
  request.set_step_us(step);
  request.set_page_size(between(1, 30));
  std::vector<api::RangeResponse::Bucket> got;
  pages<api::RangeRequest, api::RangeResponse>(
      &api::QueryService::StubInterface::Range, request,
      [&](const auto& page) { got.insert(got.end(), page.buckets().begin(), page.buckets().end()); });
  std::map<TimeUs, Figures> wanted;
  for (const oracle::Number& number : oracle::numbers(model_.devices[key], from_, to_)) {
    wanted[oracle::floor_to(number.time, step)].add(number);
  }
  ASSERT_EQ(got.size(), wanted.size());
  auto next = wanted.begin();
  for (const auto& bucket : got) {
    compare(bucket, next->first, next->second);
    ++next;
  }
}

void Oracle::check_points(std::int32_t key) {
  auto request = about<api::RangeRequest>();
  request.set_device(name_of(key));
  request.set_points(between(1, 40));
  api::RangeResponse got;
  const grpc::Status status = stub_->Range(context(kAcmeKey).get(), request, &got);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::int64_t step = (to_ - from_ + request.points() - 1) / request.points();
  ASSERT_EQ(got.step_us(), step);
  std::map<TimeUs, Figures> wanted;
  for (const oracle::Number& number : oracle::numbers(model_.devices[key], from_, to_)) {
    wanted[oracle::floor_to(number.time, step, from_)].add(number);
  }
  ASSERT_LE(got.buckets_size(), request.points());
  ASSERT_EQ(static_cast<std::size_t>(got.buckets_size()), wanted.size());
  auto next = wanted.begin();
  for (const auto& bucket : got.buckets()) {
    compare(bucket, next->first, next->second);
    ++next;
  }
}

void Oracle::check_lttb(std::int32_t key) {
  auto request = about<api::RangeRequest>();
  request.set_device(name_of(key));
  request.set_points(between(3, 40));
  request.set_downsampling(api::DOWNSAMPLING_LTTB);
  api::RangeResponse got;
  const grpc::Status status = stub_->Range(context(kAcmeKey).get(), request, &got);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto wanted = oracle::lttb(oracle::numbers(model_.devices[key], from_, to_), request.points());
  ASSERT_EQ(static_cast<std::size_t>(got.samples_size()), wanted.size());
  for (int i = 0; i < got.samples_size(); ++i) {
    const auto& sample = got.samples(i);
    ASSERT_EQ(sample.time_us(), wanted[static_cast<std::size_t>(i)].time);
    const auto& stored = model_.devices[key].at(sample.time_us());
    ASSERT_TRUE(value_of(sample.value()) == as_stored(stored.value)) << sample.ShortDebugString();
    ASSERT_EQ(sample.untimed(), stored.untimed);
  }
}

std::vector<std::int32_t> Oracle::some_devices() {
  std::vector<std::int32_t> some;
  for (const std::int32_t key : keys_) {
    if (between(0, 1) == 0) some.push_back(key);
  }
  return some;
}

/// By (time, device).
std::vector<std::pair<std::int32_t, oracle::Number>> Oracle::numbers_of(const std::vector<std::int32_t>& keys) {
  std::vector<std::pair<std::int32_t, oracle::Number>> all;
  for (const std::int32_t key : keys) {
    for (const oracle::Number& number : oracle::numbers(model_.devices[key], from_, to_)) all.emplace_back(key, number);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second.time < b.second.time; });
  return all;
}

void Oracle::check_aggregate() {
  auto request = about<api::AggregateRequest>();
  const auto named = some_devices();
  for (const std::int32_t key : named) request.add_devices(name_of(key));
  const int unit = between(0, 4);
  const std::int64_t step = between(1, 48) * 1'800 * kUsPerSecond;
  if (unit == 0) {
    request.set_step_us(step);
  } else {
    request.set_unit(static_cast<api::CalendarUnit>(unit));
    request.set_time_zone("Europe/Berlin");
  }
  request.set_page_size(between(1, 20));
  std::vector<api::AggregateResponse::Bucket> got;
  pages<api::AggregateRequest, api::AggregateResponse>(
      &api::QueryService::StubInterface::Aggregate, request,
      [&](const auto& page) { got.insert(got.end(), page.buckets().begin(), page.buckets().end()); });
  std::map<TimeUs, Figures> wanted;
  std::map<TimeUs, std::set<std::int32_t>> devices;
  for (const auto& [key, number] : numbers_of(named.empty() ? keys_ : named)) {
    const TimeUs start = unit == 0 ? oracle::floor_to(number.time, step)
                                   : oracle::start_in_berlin(number.time, static_cast<oracle::Unit>(unit - 1));
    wanted[start].add(number);
    devices[start].insert(key);
  }
  ASSERT_EQ(got.size(), wanted.size()) << request.ShortDebugString();
  auto next = wanted.begin();
  for (const auto& bucket : got) {
    const auto& [start, figures] = *next++;
    ASSERT_EQ(bucket.start_us(), start) << request.ShortDebugString();
    ASSERT_GT(bucket.end_us(), figures.last.time);
    if (unit != 0) {
      ASSERT_EQ(oracle::start_in_berlin(bucket.end_us(), static_cast<oracle::Unit>(unit - 1)), bucket.end_us());
    }
    ASSERT_EQ(bucket.count(), figures.count);
    ASSERT_EQ(bucket.min(), figures.min);
    ASSERT_EQ(bucket.max(), figures.max);
    ASSERT_EQ(bucket.first(), figures.first.value);
    ASSERT_EQ(bucket.last(), figures.last.value);
    ASSERT_EQ(bucket.first_time_us(), figures.first.time);
    ASSERT_EQ(bucket.last_time_us(), figures.last.time);
    ASSERT_EQ(static_cast<std::size_t>(bucket.devices()), devices[start].size());
    ASSERT_TRUE(close(bucket.sum(), figures.sum, figures.size)) << bucket.sum();
    ASSERT_TRUE(close(bucket.mean(), figures.mean(), figures.size)) << bucket.mean();
  }
}

void Oracle::check_top() {
  auto request = about<api::TopNRequest>();
  const auto named = some_devices();
  for (const std::int32_t key : named) request.add_devices(name_of(key));
  request.set_figure(static_cast<api::Figure>(between(1, 5)));
  request.set_lowest(between(0, 1) == 0);
  request.set_n(between(1, 5));
  api::TopNResponse got;
  const grpc::Status status = stub_->TopN(context(kAcmeKey).get(), request, &got);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::map<std::int32_t, Figures> of_device;
  for (const auto& [key, number] : numbers_of(named.empty() ? keys_ : named)) of_device[key].add(number);
  const auto figure = [&](const Figures& figures) -> long double {
    const std::array<long double, 5> all{figures.mean(), figures.min, figures.max, figures.sum,
                                         static_cast<long double>(figures.count)};
    return all.at(static_cast<std::size_t>(request.figure() - 1));
  };
  std::vector<long double> wanted;
  long double size = 0;
  for (const auto& [key, figures] : of_device) {
    wanted.push_back(figure(figures));
    size = std::max(size, figures.size);
  }
  std::sort(wanted.begin(), wanted.end());
  if (!request.lowest()) std::reverse(wanted.begin(), wanted.end());
  ASSERT_EQ(static_cast<std::size_t>(got.entries_size()),
            std::min(wanted.size(), static_cast<std::size_t>(request.n())));
  for (int i = 0; i < got.entries_size(); ++i) {
    const auto& entry = got.entries(i);
    const auto& figures = of_device.at(std::stoi(entry.device().substr(1)));
    ASSERT_TRUE(close(entry.value(), figure(figures), figures.size)) << entry.ShortDebugString();
    ASSERT_TRUE(close(entry.value(), wanted[static_cast<std::size_t>(i)], size)) << "its rank";
    ASSERT_EQ(entry.count(), figures.count);
  }
}

void Oracle::check_latest() {
  api::LatestRequest request;
  request.add_metrics(metric_);
  const auto named = some_devices();
  for (const std::int32_t key : named) request.add_devices(name_of(key));
  request.set_page_size(between(1, 3));
  std::map<std::string, std::pair<TimeUs, telemetry::Value>> got;
  pages<api::LatestRequest, api::LatestResponse>(
      &api::QueryService::StubInterface::Latest, request, [&](const auto& page) {
        for (const auto& entry : page.entries()) {
          ASSERT_TRUE(got.emplace(entry.device(), std::pair{entry.time_us(), value_of(entry.value())}).second);
        }
      });
  std::map<std::string, std::pair<TimeUs, telemetry::Value>> wanted;
  for (const std::int32_t key : named.empty() ? keys_ : named) {
    const auto& rows = model_.devices[key];
    if (!rows.empty()) wanted[name_of(key)] = {rows.rbegin()->first, as_stored(rows.rbegin()->second.value)};
  }
  ASSERT_TRUE(got == wanted) << got.size() << " devices, wanted " << wanted.size();
}

void Oracle::check_latest_of_device(std::int32_t key) {
  api::LatestRequest request;
  request.set_device(name_of(key));
  request.add_metrics(metric_);
  api::LatestResponse got;
  const grpc::Status status = stub_->Latest(context(kAcmeKey).get(), request, &got);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto& rows = model_.devices[key];
  ASSERT_EQ(got.entries_size(), rows.empty() ? 0 : 1);
  if (rows.empty()) return;
  ASSERT_EQ(got.entries(0).time_us(), rows.rbegin()->first);
  ASSERT_TRUE(value_of(got.entries(0).value()) == as_stored(rows.rbegin()->second.value));
}

void Oracle::check_windows(std::int32_t key) {
  auto request = about<api::ListWindowsRequest>();
  request.set_device(name_of(key));
  request.set_page_size(between(1, 4));
  auto wanted = windows_[key].lower_bound({from_, 0});
  const auto end = windows_[key].lower_bound({to_, 0});
  pages<api::ListWindowsRequest, api::ListWindowsResponse>(
      &api::QueryService::StubInterface::ListWindows, request, [&](const auto& page) {
        for (const auto& got : page.windows()) {
          ASSERT_TRUE(wanted != end) << "more windows than were stored";
          const auto& [place, window] = *wanted++;
          ASSERT_EQ(std::pair(got.start_us(), got.size_us()), place);
          ASSERT_EQ(got.revision(), window.revision);
          ASSERT_EQ(got.final(), window.revision > 1);
          ASSERT_EQ(got.approximate(), window.revision == 3);
          ASSERT_EQ(got.count(), window.count);
          ASSERT_EQ(got.min(), window.last - 1);
          ASSERT_EQ(got.max(), window.last + 2);
          ASSERT_EQ(got.mean(), window.last / 2);
          ASSERT_EQ(got.last(), window.last);
          ASSERT_EQ(got.last_time_us(), window.last_time);
        }
      });
  ASSERT_TRUE(wanted == end) << "windows are missing";
}

void Oracle::check_export() {
  api::ExportRequest request;
  request.add_metrics(metric_);
  request.set_from_us(from_);
  request.set_to_us(to_);
  const auto with_key = context(kAcmeKey);
  const auto parts = stub_->Export(with_key.get(), request);
  std::string got;
  std::int64_t points = 0;
  for (api::ExportResponse part; parts->Read(&part);) {
    got += part.data();
    points += part.points();
  }
  const grpc::Status status = parts->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::string wanted = "device,metric,time,type,value,untimed\r\n";
  std::int64_t count = 0;
  for (const std::int32_t key : keys_) {
    for (const auto& [time, row] : model_.devices[key]) {
      if (time < from_ || time >= to_) continue;
      ++count;
      wanted += name_of(key) + "," + metric_ + "," + format_rfc3339(time) + ",";
      const telemetry::Value value = as_stored(row.value);
      if (const auto* number = std::get_if<double>(&value)) {
        std::array<char, 32> digits{};
        wanted += "double," + std::string(digits.data(), std::to_chars(digits.data(), digits.data() + 32, *number).ptr);
      } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        wanted += "int," + std::to_string(*whole);
      } else if (const auto* truth = std::get_if<bool>(&value)) {
        wanted += *truth ? "bool,true" : "bool,false";
      } else {
        const auto* text = std::get_if<std::string>(&value);
        std::string quoted = text != nullptr ? *text : std::get<telemetry::Json>(value).text;
        for (std::size_t at = 0; (at = quoted.find('"', at)) != std::string::npos; at += 2) quoted.insert(at, 1, '"');
        wanted += (text != nullptr ? "string,\"" : "json,\"") + quoted + "\"";
      }
      wanted += row.untimed ? ",true\r\n" : ",\r\n";
    }
  }
  ASSERT_EQ(got, wanted);
  ASSERT_EQ(points, count);
}

void Oracle::check_case() {
  for (const std::int32_t key : keys_) {
    check_samples(key);
    check_buckets(key);
    check_points(key);
    check_lttb(key);
    check_latest_of_device(key);
    check_windows(key);
    if (HasFatalFailure()) return;
  }
  for (int round = 0; round < 3 && !HasFatalFailure(); ++round) {
    check_aggregate();
    if (!HasFatalFailure()) check_top();
  }
  if (!HasFatalFailure()) check_latest();
  if (!HasFatalFailure()) check_export();
}

TEST_F(Oracle, EveryReadAnswersAsTheOracleDoes) {
  const std::uint64_t seed = from_environment("MILLRACE_TEST_ORACLE_SEED", std::random_device{}());
  const std::uint64_t cases = from_environment("MILLRACE_TEST_ORACLE_CASES", kUsualCases);
  sql("SELECT storage.ensure_days('{2026-03-29, 2026-10-25, 2026-12-31}')");
  start_service();
  for (std::uint64_t number = 0; number < cases; ++number) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", case " + std::to_string(number) +
                 " (MILLRACE_TEST_ORACLE_SEED repeats the run)");
    random_.seed(seed + number * 1'000'003);
    metric_ = "m" + std::to_string(number);
    model_ = oracle::random_model(random_, keys_);
    archived_.clear();
    late_.clear();
    store();
    age(number);
    if (!HasFatalFailure()) store_late();
    // Now and then what came late is taken along by the next look at the days.
    if (!HasFatalFailure() && between(0, 5) == 0) age(number);
    if (!HasFatalFailure()) store_windows();
    if (HasFatalFailure()) return;
    from_ = oracle::random_time(random_);
    to_ = oracle::random_time(random_);
    if (from_ > to_) std::swap(from_, to_);
    if (from_ == to_ || between(0, 2) == 0) to_ += 366LL * 86'400 * kUsPerSecond;
    check_case();
    if (HasFatalFailure()) return;
  }
  RecordProperty("cases", static_cast<int>(cases));
  std::printf("%llu cases of seed %llu\n", static_cast<unsigned long long>(cases),
              static_cast<unsigned long long>(seed));
}

}  // namespace millrace::query_api
