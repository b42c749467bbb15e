// What a call may cost: it ends when its caller goes away, and one tenant's calls leave room for the others'.
#include <future>
#include <thread>

#include <millrace/rpc/call.hpp>

#include "eventually.hpp"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using storage_schema::MetricType;

class Limits : public QueryApi {
 protected:
  void SetUp() override {
    QueryApi::SetUp();
    if (!database_) return;
    metric("acme", "power", MetricType::kDouble);
    metric("other", "power", MetricType::kDouble);
  }

  /// Nobody reads storage.sample until unlock().
  void lock() {
    sql("SET idle_in_transaction_session_timeout = 0");
    sql("BEGIN");
    sql("LOCK TABLE storage.sample IN ACCESS EXCLUSIVE MODE");
  }
  void unlock() { sql("ROLLBACK"); }

  /// Statements of query-api that wait for that lock.
  std::int64_t waiting() {
    postgres::ConnectOptions options;
    options.url = database_url_;
    auto other = postgres::Connection::open(options);
    if (!other.ok()) return -1;
    const auto rows = (*other)->exec(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'query-api' AND wait_event_type = 'Lock'");
    return rows.ok() ? rows->integer(0, 0) : -1;
  }

  std::future<grpc::Status> call(const std::string& key, grpc::ClientContext& with_key) {
    with_key.AddMetadata("authorization", "Bearer " + key);
    return std::async(std::launch::async, [this, &with_key] {
      api::RangeResponse answer;
      return stub_->Range(&with_key, range("power", kStart, kStart + 10), &answer);
    });
  }
};

TEST_F(Limits, ACallThatIsCancelledCancelsItsStatement) {
  start_service();
  lock();
  grpc::ClientContext context;
  auto status = call(kAcmeKey, context);
  EXPECT_TRUE(testing::eventually([&] { return waiting() == 1; }));
  context.TryCancel();
  EXPECT_EQ(status.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(testing::eventually([&] { return waiting() == 0; })) << "the database still works for nobody";
  unlock();
}

TEST_F(Limits, ACallThatTheServiceGivesUpIsLateAndNotToBeRepeatedAtOnce) {
  call_deadline_ = std::chrono::milliseconds(500);
  start_service();
  lock();
  grpc::ClientContext context;
  const grpc::Status late = call(kAcmeKey, context).get();
  EXPECT_EQ(late.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << late.error_message();
  EXPECT_NE(late.error_message().find("cancelled at the deadline"), std::string::npos) << late.error_message();
  EXPECT_TRUE(testing::eventually([&] { return waiting() == 0; }));
  unlock();
}

TEST_F(Limits, ATenantWithManyCallsIsToldWhenToTryAgainAndNobodyElseFeelsIt) {
  start_service();
  lock();
  // Of two threads a tenant gets one; four more calls may wait.
  constexpr int kCalls = 8;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::future<grpc::Status>> calls;
  for (int i = 0; i < kCalls; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    calls.push_back(call(kAcmeKey, *contexts.back()));
    // The first one runs before the others come.
    if (i > 0) continue;
    EXPECT_TRUE(testing::eventually([&] { return waiting() == 1; }));
  }
  std::vector<grpc::Status> refusals;
  EXPECT_TRUE(testing::eventually([&] {
    std::erase_if(calls, [&](auto& one) {
      if (one.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
      refusals.push_back(one.get());
      return true;
    });
    return refusals.size() == kCalls - 5;
  }));
  ASSERT_FALSE(refusals.empty());
  const grpc::Status& refused = refusals.back();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("this tenant has as many calls waiting as it may (4)"), std::string::npos)
      << refused.error_message();
  EXPECT_EQ(rpc::retry_info_of(refused), std::chrono::milliseconds(1'000));
  EXPECT_TRUE(testing::eventually([&] { return waiting() == 1; })) << "one thread is left to the others";
  api::ListAlertsResponse alerts;
  const grpc::Status other = stub_->ListAlerts(context(kOtherKey).get(), {}, &alerts);
  EXPECT_TRUE(other.ok()) << other.error_message();
  unlock();
  for (auto& one : calls) EXPECT_TRUE(one.get().ok());
}

}  // namespace
}  // namespace millrace::query_api
