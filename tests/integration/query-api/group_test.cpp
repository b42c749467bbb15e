#include <functional>

#include "eventually.hpp"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;
using storage_schema::MetricType;

constexpr TimeUs kHour = 3'600 * kUsPerSecond;
/// 2026-03-29 00:00 in Berlin, the day on which its clocks go forward: 23 hours.
constexpr TimeUs kShortDay = 1'774'738'800'000'000;

class Groups : public QueryApi {
 protected:
  void SetUp() override {
    QueryApi::SetUp();
    if (!database_) return;
    for (int i = 0; i < 5; ++i) put_device("acme", "d" + std::to_string(i), 100 + i);
  }

  static api::AggregateRequest aggregate(TimeUs from, TimeUs to) {
    api::AggregateRequest request;
    request.set_metric("power");
    request.set_from_us(from);
    request.set_to_us(to);
    return request;
  }

  std::vector<api::AggregateResponse::Bucket> all(api::AggregateRequest request) {
    std::vector<api::AggregateResponse::Bucket> found;
    pages_ = 0;
    do {
      api::AggregateResponse page;
      const grpc::Status status = stub_->Aggregate(context(kAcmeKey).get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      found.insert(found.end(), page.buckets().begin(), page.buckets().end());
      request.set_page_token(page.next_page_token());
      ++pages_;
    } while (!request.page_token().empty());
    return found;
  }

  void set_latest(std::int32_t device, std::int32_t metric_id, double value) {
    sql("INSERT INTO storage.latest (device_id, metric, time, value, max_time) VALUES (" + std::to_string(device) +
        ", " + std::to_string(metric_id) + ", now(), " + std::to_string(value) + ", now())");
  }

  std::vector<std::string> latest(api::LatestRequest request) {
    std::vector<std::string> found;
    pages_ = 0;
    do {
      api::LatestResponse page;
      const grpc::Status status = stub_->Latest(context(kAcmeKey).get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& entry : page.entries()) found.push_back(entry.device() + "." + entry.metric());
      request.set_page_token(page.next_page_token());
      ++pages_;
    } while (!request.page_token().empty());
    return found;
  }

  int pages_ = 0;
};

TEST_F(Groups, AggregatesOverAllDevicesOfTheTenantOrThoseNamed) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  const auto foreign = metric("other", "power", MetricType::kDouble);
  for (int i = 0; i < 5; ++i) insert_sample(100 + i, id, kStart + i * kUsPerSecond, static_cast<double>(i));
  insert_sample(100, id, kStart + 2 * kHour, 70.0);
  insert_sample(kForeigner, foreign, kStart, 1'000.0);
  insert_sample(999, id, kStart, 2'000.0);  // of a device that was deleted
  start_service();
  auto request = aggregate(kStart, kStart + 3 * kHour);
  request.set_step_us(kHour);
  const auto buckets = all(request);
  ASSERT_EQ(buckets.size(), 2U);
  EXPECT_EQ(buckets[0].start_us(), kStart);
  EXPECT_EQ(buckets[0].end_us(), kStart + kHour);
  EXPECT_EQ(buckets[0].count(), 5);
  EXPECT_EQ(buckets[0].devices(), 5);
  EXPECT_EQ(buckets[0].sum(), 10);
  EXPECT_EQ(buckets[0].mean(), 2);
  EXPECT_EQ(buckets[0].min(), 0);
  EXPECT_EQ(buckets[0].max(), 4);
  EXPECT_EQ(buckets[0].first(), 0);
  EXPECT_EQ(buckets[0].last(), 4);
  EXPECT_EQ(buckets[0].last_time_us(), kStart + 4 * kUsPerSecond);
  EXPECT_EQ(buckets[1].start_us(), kStart + 2 * kHour);
  request.add_devices("d1");
  request.add_devices("d3");
  const auto two = all(request);
  ASSERT_EQ(two.size(), 1U);
  EXPECT_EQ(two[0].sum(), 4);
}

TEST_F(Groups, PagesJumpOverGapsAndHoldEachBucketOnce) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  for (int i = 0; i < 10; ++i) insert_sample(100 + i % 5, id, kStart + i * kUsPerSecond, 1.0);
  insert_sample(102, id, kStart + 24 * 30 * kHour, 1.0);
  start_service();
  auto request = aggregate(kStart, kStart + 24 * 60 * kHour);
  request.set_step_us(kUsPerSecond);
  request.set_page_size(4);
  EXPECT_EQ(all(request).size(), 11U);
  EXPECT_LE(pages_, 5) << "no page for each stretch of a gap";
}

TEST_F(Groups, DaysOfATimeZoneHave23And25HoursWhereItsClocksChange) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  for (int hour = -24; hour < 48; ++hour) insert_sample(100, id, kShortDay + hour * kHour, 1.0);
  start_service();
  auto request = aggregate(kShortDay - 24 * kHour, kShortDay + 47 * kHour);
  request.set_unit(api::CALENDAR_UNIT_DAY);
  request.set_time_zone("Europe/Berlin");
  request.set_page_size(2);
  const auto days = all(request);
  ASSERT_EQ(days.size(), 3U);
  EXPECT_EQ(days[0].count(), 24);
  EXPECT_EQ(days[1].start_us(), kShortDay);
  EXPECT_EQ(days[1].end_us(), kShortDay + 23 * kHour);
  EXPECT_EQ(days[1].count(), 23);
  EXPECT_EQ(days[2].count(), 24);
  request.clear_time_zone();
  EXPECT_EQ(all(request)[0].start_us(), kShortDay - 47 * kHour) << "the day of UTC before";
}

TEST_F(Groups, FaultyAggregatesAreRefused) {
  metric("acme", "power", MetricType::kDouble);
  start_service();
  const auto code = [&](const std::function<void(api::AggregateRequest&)>& change) {
    auto request = aggregate(kStart, kStart + kHour);
    change(request);
    return code_of(&Stub::Aggregate, request, kAcmeKey);
  };
  const auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
  EXPECT_EQ(code([](auto&) {}), kInvalid) << "neither step nor unit";
  EXPECT_EQ(code([](auto& request) { request.set_step_us(999); }), kInvalid);
  EXPECT_EQ(code([](auto& request) { request.set_step_us(1'000); }), grpc::StatusCode::OK);
  const auto daily = [&](const char* zone) {
    return code([&](auto& request) {
      request.set_unit(api::CALENDAR_UNIT_DAY);
      request.set_time_zone(zone);
    });
  };
  EXPECT_EQ(daily("Europe/Berlin"), grpc::StatusCode::OK);
  for (const char* zone : {"Europe/Berlni", "Europe/Berlin5", "CEST", "FOO+3", "'; DROP TABLE x"}) {
    EXPECT_EQ(daily(zone), kInvalid) << zone;
  }
  EXPECT_EQ(code([](auto& request) {
              request.set_step_us(1'000);
              request.set_time_zone("Europe/Berlin");
            }),
            kInvalid);
  EXPECT_EQ(code([](auto& request) {
              request.set_step_us(1'000);
              request.set_unit(api::CALENDAR_UNIT_WEEK);
            }),
            kInvalid);
  EXPECT_EQ(code([](auto& request) {
              request.set_step_us(1'000);
              request.add_devices("nobody");
            }),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code([](auto& request) {
              request.set_step_us(1'000);
              for (int i = 0; i < 1'001; ++i) request.add_devices("d1");
            }),
            kInvalid);
}

TEST_F(Groups, TheTopComesByEachFigureAndNoDeletedDeviceIsInIt) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  for (int i = 0; i < 5; ++i) {
    for (int n = 0; n <= i; ++n) insert_sample(100 + i, id, kStart + n, static_cast<double>(10 - i));
  }
  insert_sample(999, id, kStart, 1e9);
  start_service();
  api::TopNRequest request;
  request.set_metric("power");
  request.set_from_us(kStart);
  request.set_to_us(kStart + kHour);
  request.set_n(2);
  const auto names = [&] {
    api::TopNResponse answer;
    const grpc::Status status = stub_->TopN(context(kAcmeKey).get(), request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::string text;
    for (const auto& entry : answer.entries()) {
      text += entry.device() + "=" + std::to_string(static_cast<int>(entry.value())) + " ";
    }
    return text;
  };
  EXPECT_EQ(names(), "d0=10 d1=9 ");
  request.set_figure(api::FIGURE_SUM);
  EXPECT_EQ(names(), "d4=30 d3=28 ");
  request.set_figure(api::FIGURE_COUNT);
  EXPECT_EQ(names(), "d4=5 d3=4 ");
  request.set_figure(api::FIGURE_MAX);
  request.set_lowest(true);
  EXPECT_EQ(names(), "d4=6 d3=7 ");
  request.add_devices("d0");
  EXPECT_EQ(names(), "d0=10 ");
  request.set_n(1'001);
  EXPECT_EQ(code_of(&Stub::TopN, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Groups, TheTopOfCompactedDaysIsThatOfTheirRows) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  sql("SELECT storage.ensure_days('{2026-01-01, 2026-01-02, 2026-01-03}')");
  // 3, 9, 15, 21 and 27 points a day: below ten a day has no roll-up. Some values are in `other`.
  sql("INSERT INTO storage.sample (time, device_id, metric, value, kind, other) SELECT timestamptz '2026-01-01 "
      "00:00:00Z'"
      " + day * interval '1 day' + k * interval '50 minutes', 100 + i, " +
      std::to_string(id) +
      ", CASE WHEN k <> 2 THEN (i * 7 + k * 3 + day) % 11 END, CASE WHEN k = 2 THEN 1 END,"
      " CASE WHEN k = 2 THEN '4' END FROM generate_series(0, 2) day, generate_series(0, 4) i,"
      " LATERAL generate_series(0, i * 6 + 2) k");
  start_service();
  const auto answers = [&] {
    std::string text;
    for (const TimeUs shift : {TimeUs{0}, TimeUs{12 * kHour}}) {
      for (const int days : {1, 2, 3}) {
        for (int figure = api::FIGURE_MEAN; figure <= api::FIGURE_COUNT; ++figure) {
          api::TopNRequest request;
          request.set_metric("power");
          request.set_from_us(kStart + shift);
          request.set_to_us(kStart + shift + days * 24 * kHour);
          request.set_figure(static_cast<api::Figure>(figure));
          api::TopNResponse answer;
          const grpc::Status status = stub_->TopN(context(kAcmeKey).get(), request, &answer);
          EXPECT_TRUE(status.ok()) << status.error_message();
          text += answer.ShortDebugString() + "\n";
        }
      }
    }
    return text;
  };
  const std::string of_rows = answers();
  for (const std::string day : {"'2026-01-01'", "'2026-01-02'"}) {
    sql("SELECT storage.close_day(" + day + ")");
    sql("SELECT storage.build_some(" + day + ", 1000000)");
    ASSERT_TRUE(testing::eventually([&] {
      const auto swapped = database_->exec("SELECT storage.swap_day(" + day + ")");
      return swapped.ok() && swapped->integer(0, 0) >= 0;
    }));
  }
  EXPECT_EQ(answers(), of_rows);
  insert_sample(104, id, kStart + kHour + 1, 1e17);
  api::TopNRequest request;
  request.set_metric("power");
  request.set_from_us(kStart);
  request.set_to_us(kStart + 24 * kHour);
  request.set_figure(api::FIGURE_MAX);
  api::TopNResponse late;
  ASSERT_TRUE(stub_->TopN(context(kAcmeKey).get(), request, &late).ok());
  ASSERT_EQ(late.entries_size(), 5);
  EXPECT_EQ(late.entries(0).device(), "d4");
  EXPECT_EQ(late.entries(0).value(), 1e17);
  EXPECT_EQ(late.entries(0).count(), 28);
}

TEST_F(Groups, LatestOfSomeDevicesAndOfAllByPages) {
  const auto power = metric("acme", "power", MetricType::kDouble);
  const auto voltage = metric("acme", "voltage", MetricType::kDouble);
  const auto foreign = metric("other", "power", MetricType::kDouble);
  for (int i = 0; i < 5; ++i) {
    set_latest(100 + i, power, i);
    if (i != 2) set_latest(100 + i, voltage, i);
  }
  set_latest(kForeigner, foreign, 1);
  set_latest(999, power, 1);
  start_service();
  api::LatestRequest request;
  request.set_page_size(4);
  EXPECT_EQ(latest(request), (std::vector<std::string>{"d0.power", "d0.voltage", "d1.power", "d1.voltage", "d2.power",
                                                       "d3.power", "d3.voltage", "d4.power", "d4.voltage"}));
  EXPECT_EQ(pages_, 3);
  request.add_metrics("voltage");
  EXPECT_EQ(latest(request), (std::vector<std::string>{"d0.voltage", "d1.voltage", "d3.voltage", "d4.voltage"}));
  request.clear_metrics();
  request.add_devices("d4");
  request.add_devices("d1");
  request.set_page_size(1);
  EXPECT_EQ(latest(request), (std::vector<std::string>{"d1.power", "d1.voltage", "d4.power", "d4.voltage"}));
  request.set_device("d1");
  EXPECT_EQ(code_of(&Stub::Latest, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Groups, PagesOfLatestAreBoundedInBytes) {
  const auto id = metric("acme", "text", MetricType::kText);
  for (int i = 0; i < 5; ++i) {
    for (int more = 0; more < 4; ++more) {
      const auto one = more == 0 ? id : metric("acme", "text" + std::to_string(i * 4 + more), MetricType::kText);
      sql("INSERT INTO storage.latest (device_id, metric, time, kind, other, max_time) VALUES (" +
          std::to_string(100 + i) + ", " + std::to_string(one) + ", now(), 3, repeat('x', 500000), now())");
    }
  }
  start_service();
  api::LatestRequest request;
  request.set_page_size(10'000);
  EXPECT_EQ(latest(request).size(), 20U) << "a client with gRPC's own limits can read it";
  EXPECT_GT(pages_, 2);
}

}  // namespace
}  // namespace millrace::query_api
