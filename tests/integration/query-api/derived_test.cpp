// ListWindows and ListAlerts; the tests play storage-writer.
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>

#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;
using storage_schema::MetricType;

constexpr std::int64_t kMinute = 60 * kUsPerSecond;

class DerivedCalls : public QueryApi {
 protected:
  void put_window(std::int32_t device, std::int32_t metric_id, TimeUs start, std::int64_t size, int revision,
                  double last) {
    postgres::Params params;
    params.integer(device).integer(metric_id).timestamptz(start).integer(size).integer(revision).float8(last);
    const auto done = database_->exec(
        "INSERT INTO storage.window_result VALUES ($1::int4, $2::int4, $3::timestamptz, $4::int8, 2, -1, 9, 4, "
        "$6::float8, $3::timestamptz + interval '1 second', $5::int4, $5::int4 > 1, true)",
        params);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  static alerts::v1::Alert alert(const std::string& tenant, int episode, alerts::v1::State state) {
    alerts::v1::Alert event;
    event.set_tenant(tenant);
    event.set_rule(episode % 2 == 0 ? "even" : "odd");
    event.set_device("meter-1");
    event.set_metric("power");
    event.set_alert_key(tenant + "/" + event.rule() + "/meter-1/power");
    const std::string number = std::to_string(episode);
    event.set_alert_id(std::string(32 - number.size(), 'f') + number);
    event.set_event_number(2 * episode + (state == alerts::v1::STATE_CLEARED ? 1 : 0));
    event.set_state(state);
    event.set_severity(static_cast<rules::v1::Severity>(1 + episode % 3));
    event.set_raised_at_us(kStart + episode / 2);  // two of each time
    event.mutable_raise_value()->set_int_value(episode);
    event.set_description(std::string(static_cast<std::size_t>(description_bytes), 'x'));
    return event;
  }

  void put(const alerts::v1::Alert& event, bool superseded = false) {
    postgres::Params params;
    params.text(event.alert_key()).integer(event.event_number()).text(event.alert_id()).text(event.tenant());
    params.text(event.rule()).text(event.device()).integer(event.state()).integer(event.severity());
    params.timestamptz(event.raised_at_us()).bytea(event.SerializeAsString()).boolean(superseded);
    const auto done = database_->exec(
        "INSERT INTO storage.alert VALUES ($1, $2::int8, $3, $4, $5, $6, 'power', $7::int2, $8::int2, $9::timestamptz, "
        "NULL, '', $10, $11::boolean)",
        params);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  std::vector<alerts::v1::Alert> all_alerts(api::ListAlertsRequest request, const std::string& key = kAcmeKey) {
    std::vector<alerts::v1::Alert> found;
    do {
      api::ListAlertsResponse page;
      const grpc::Status status = stub_->ListAlerts(context(key).get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      EXPECT_LT(page.ByteSizeLong(), 4U << 20U) << "a client with gRPC's own limits can read it";
      found.insert(found.end(), page.alerts().begin(), page.alerts().end());
      request.set_page_token(page.next_page_token());
      ++pages_;
    } while (!request.page_token().empty());
    return found;
  }

  static inline int description_bytes = 10;
  int pages_ = 0;
};

api::ListWindowsRequest windows_request(TimeUs from, TimeUs to) {
  api::ListWindowsRequest request;
  request.set_device("meter-1");
  request.set_metric("power");
  request.set_from_us(from);
  request.set_to_us(to);
  return request;
}

TEST_F(DerivedCalls, WindowsComeInOrderWithTheirLastRevisionOverPages) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  const auto other = metric("other", "power", MetricType::kDouble);
  for (int i = 0; i < 20; ++i) {
    put_window(kMeter, id, kStart + i * kMinute, kMinute, 1, i);
    if (i % 3 == 0) put_window(kMeter, id, kStart + i * kMinute, kMinute, 2, 100 + i);
    if (i % 5 == 0) put_window(kMeter, id, kStart + i * kMinute, 5 * kMinute, 1, 1'000 + i);
    put_window(kForeigner, other, kStart + i * kMinute, kMinute, 1, -1);
  }
  start_service();
  auto request = windows_request(kStart, kStart + 19 * kMinute);
  request.set_page_size(4);
  std::vector<stream::v1::WindowResult> found;
  std::string token;
  do {
    api::ListWindowsResponse page;
    const grpc::Status status = stub_->ListWindows(context(kAcmeKey).get(), request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    found.insert(found.end(), page.windows().begin(), page.windows().end());
    request.set_page_token(page.next_page_token());
    if (token.empty()) token = page.next_page_token();
  } while (!request.page_token().empty());
  ASSERT_EQ(found.size(), 23U) << "19 of a minute, 4 of five minutes";
  EXPECT_EQ(found[0].last(), 100) << "the second revision";
  EXPECT_EQ(found[0].revision(), 2);
  EXPECT_TRUE(found[0].final());
  EXPECT_EQ(found[1].size_us(), 5 * kMinute) << "of one start the smaller one first";
  EXPECT_EQ(found[1].last(), 1'000);
  EXPECT_EQ(found[2].last(), 1);
  EXPECT_EQ(found[2].device(), "meter-1");
  EXPECT_EQ(found[2].device_key(), kMeter);
  EXPECT_EQ(found[2].tenant(), "acme");
  EXPECT_EQ(found[2].metric(), "power");
  EXPECT_EQ(found[2].count(), 2);
  EXPECT_EQ(found[2].min(), -1);
  EXPECT_EQ(found[2].max(), 9);
  EXPECT_EQ(found[2].mean(), 4);
  EXPECT_EQ(found[2].last_time_us(), kStart + kMinute + kUsPerSecond);
  EXPECT_TRUE(found[2].approximate());
  for (std::size_t i = 1; i < found.size(); ++i) EXPECT_GE(found[i].start_us(), found[i - 1].start_us());
  auto another = windows_request(kStart, kStart + 18 * kMinute);
  another.set_page_token(token);
  EXPECT_EQ(code_of(&Stub::ListWindows, another, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DerivedCalls, WindowsOfNobodyAndFaultyRequestsAreRefusedAsByRange) {
  metric("acme", "power", MetricType::kDouble);
  start_service();
  auto request = windows_request(kStart, kStart);
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request = windows_request(kStart, kStart + 1);
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::OK);
  EXPECT_EQ(code_of(&Stub::ListWindows, request, "mk_acme1_wrong"), grpc::StatusCode::UNAUTHENTICATED);
  request.set_tenant("other");
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::PERMISSION_DENIED);
  request.clear_tenant();
  request.set_page_size(10'001);
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_size(0);
  request.set_metric("unheard-of");
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::NOT_FOUND);
  request.set_metric("power");
  request.set_device("meter-9");
  EXPECT_EQ(code_of(&Stub::ListWindows, request, kAcmeKey), grpc::StatusCode::NOT_FOUND);
}

TEST_F(DerivedCalls, AlertsAreOneForEachEpisodeAsItIsNowTheLastRaisedFirst) {
  for (int i = 0; i < 30; ++i) {
    put(alert("acme", i, alerts::v1::STATE_RAISED), i % 3 == 0);
    if (i % 3 == 0) put(alert("acme", i, alerts::v1::STATE_CLEARED));
  }
  put(alert("other", 50, alerts::v1::STATE_RAISED));
  start_service();
  api::ListAlertsRequest request;
  request.set_page_size(7);
  const auto all = all_alerts(request);
  ASSERT_EQ(all.size(), 30U);
  EXPECT_EQ(pages_, 5);
  for (int i = 0; i < 30; ++i) {
    const auto& one = all[static_cast<std::size_t>(i)];
    const int episode = 29 - i;
    const auto state = episode % 3 == 0 ? alerts::v1::STATE_CLEARED : alerts::v1::STATE_RAISED;
    EXPECT_EQ(one.SerializeAsString(), alert("acme", episode, state).SerializeAsString()) << episode;
  }
  request.set_state(alerts::v1::STATE_CLEARED);
  EXPECT_EQ(all_alerts(request).size(), 10U);
  request.set_state(alerts::v1::STATE_RAISED);
  EXPECT_EQ(all_alerts(request).size(), 20U);
  request.set_min_severity(rules::v1::SEVERITY_CRITICAL);
  EXPECT_EQ(all_alerts(request).size(), 10U);
  request.set_rule("even");
  EXPECT_EQ(all_alerts(request).size(), 5U);
  request.set_device("meter-1");
  request.set_from_us(kStart + 4);
  request.set_to_us(kStart + 10);
  const auto few = all_alerts(request);
  ASSERT_EQ(few.size(), 2U);
  EXPECT_EQ(few[0].raise_value().int_value(), 14);
  EXPECT_EQ(few[1].raise_value().int_value(), 8);
  EXPECT_EQ(all_alerts({}, kOtherKey).size(), 1U);
}

TEST_F(DerivedCalls, AllEventsOfOneAlertComeInTheirOrder) {
  put(alert("acme", 3, alerts::v1::STATE_RAISED), true);
  put(alert("acme", 3, alerts::v1::STATE_CLEARED));
  put(alert("acme", 4, alerts::v1::STATE_RAISED));
  start_service();
  api::ListAlertsRequest request;
  request.set_alert_id(alert("acme", 3, alerts::v1::STATE_RAISED).alert_id());
  request.set_page_size(1);
  const auto events = all_alerts(request);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].state(), alerts::v1::STATE_RAISED);
  EXPECT_EQ(events[1].state(), alerts::v1::STATE_CLEARED);
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kOtherKey), grpc::StatusCode::NOT_FOUND);
  request.set_rule("even");
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_rule();
  request.set_alert_id("not hexadecimal");
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DerivedCalls, PagesOfAlertsAreBoundedInBytes) {
  description_bytes = 300'000;
  for (int i = 0; i < 30; ++i) put(alert("acme", i, alerts::v1::STATE_RAISED));
  description_bytes = 10;
  start_service();
  api::ListAlertsRequest request;
  request.set_page_size(1'000);
  EXPECT_EQ(all_alerts(request).size(), 30U);
  EXPECT_GT(pages_, 2);
}

TEST_F(DerivedCalls, FaultyRequestsForAlertsAreRefused) {
  start_service();
  api::ListAlertsRequest request;
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::OK);
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kPlatformKey), grpc::StatusCode::INVALID_ARGUMENT)
      << "a platform key names the tenant";
  request.set_state(static_cast<alerts::v1::State>(9));
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_state();
  request.set_device("meter-9");
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::NOT_FOUND);
  request.clear_device();
  request.set_from_us(5);
  request.set_to_us(5);
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_to_us();
  request.set_page_token("00");
  EXPECT_EQ(code_of(&Stub::ListAlerts, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace millrace::query_api
