#include <functional>
#include <limits>

#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;
using storage_schema::MetricType;

class Downsampling : public QueryApi {
 protected:
  api::RangeResponse in_points(int points, api::Downsampling how, TimeUs from, TimeUs to) {
    auto request = range("power", from, to);
    request.set_points(points);
    request.set_downsampling(how);
    api::RangeResponse answer;
    const grpc::Status status = stub_->Range(context(kAcmeKey).get(), request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(answer.next_page_token().empty());
    return answer;
  }
};

TEST_F(Downsampling, ARangeComesInAtMostSoManyBucketsFromItsBeginningOn) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  for (int i = 0; i < 1'000; ++i) insert_sample(kMeter, id, kStart + 7 + i * 10, std::int64_t{i});
  insert_sample(kMeter, id, kStart + 8, std::string("no number"));
  start_service();
  const auto answer = in_points(10, api::DOWNSAMPLING_UNSPECIFIED, kStart + 7, kStart + 10'007);
  ASSERT_EQ(answer.buckets_size(), 10);
  EXPECT_EQ(answer.step_us(), 1'000);
  for (int i = 0; i < 10; ++i) {
    const auto& bucket = answer.buckets(i);
    EXPECT_EQ(bucket.time_us(), kStart + 7 + i * 1'000);
    EXPECT_EQ(bucket.count(), 100);
    EXPECT_EQ(bucket.min(), i * 100);
    EXPECT_EQ(bucket.first(), i * 100);
    EXPECT_EQ(bucket.last(), i * 100 + 99);
    EXPECT_EQ(bucket.last_time_us(), kStart + 7 + (i * 100 + 99) * 10);
    EXPECT_EQ(bucket.mean(), i * 100 + 49.5);
  }
  EXPECT_EQ(in_points(3, api::DOWNSAMPLING_BUCKETS, kStart, kStart + 3'600 * kUsPerSecond).buckets_size(), 1);
}

TEST_F(Downsampling, LttbGivesStoredPointsAndAllOfThemWhereThereAreNoMore) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  constexpr auto kHuge = std::numeric_limits<std::int64_t>::max();
  for (int i = 0; i < 500; ++i) insert_sample(kMeter, id, kStart + i, i == 250 ? kHuge : std::int64_t{i % 7});
  start_service();
  const auto few = in_points(20, api::DOWNSAMPLING_LTTB, kStart, kStart + 500);
  ASSERT_EQ(few.samples_size(), 20);
  EXPECT_EQ(few.samples(0).time_us(), kStart);
  EXPECT_EQ(few.samples(19).time_us(), kStart + 499);
  bool spike = false;
  for (const auto& sample : few.samples()) spike = spike || sample.value().int_value() == kHuge;
  EXPECT_TRUE(spike) << "the one that stands out is kept, exactly";
  EXPECT_EQ(in_points(500, api::DOWNSAMPLING_LTTB, kStart, kStart + 500).samples_size(), 500);
  EXPECT_EQ(in_points(3, api::DOWNSAMPLING_LTTB, kStart + 600, kStart + 700).samples_size(), 0);
}

TEST_F(Downsampling, TheWholeTimeThatCanBeAskedForIsAnswered) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  insert_sample(kMeter, id, kStart, 5e-324);
  start_service();
  constexpr TimeUs kFirst = -62'135'596'800'000'000;
  constexpr TimeUs kLast = 253'402'300'800'000'000;
  const auto answer = in_points(100, api::DOWNSAMPLING_BUCKETS, kFirst, kLast);
  ASSERT_EQ(answer.buckets_size(), 1);
  EXPECT_EQ(answer.buckets(0).mean(), 5e-324);
  EXPECT_EQ(in_points(100, api::DOWNSAMPLING_LTTB, kFirst, kLast).samples_size(), 1);
}

TEST_F(Downsampling, FaultyBudgetsAreRefused) {
  metric("acme", "power", MetricType::kDouble);
  start_service();
  const auto refused = [&](const std::function<void(api::RangeRequest&)>& change) {
    auto request = range("power", kStart, kStart + 10);
    change(request);
    return code_of(&Stub::Range, request, kAcmeKey) == grpc::StatusCode::INVALID_ARGUMENT;
  };
  EXPECT_TRUE(refused([](auto& request) { request.set_points(-1); }));
  EXPECT_TRUE(refused([](auto& request) { request.set_points(10'001); }));
  EXPECT_TRUE(refused([](auto& request) { request.set_downsampling(api::DOWNSAMPLING_LTTB); }));
  const auto with_points = [&](const std::function<void(api::RangeRequest&)>& change) {
    return refused([&](api::RangeRequest& request) {
      request.set_points(10);
      change(request);
    });
  };
  EXPECT_FALSE(with_points([](auto&) {}));
  EXPECT_TRUE(with_points([](auto& request) { request.set_step_us(1'000); }));
  EXPECT_TRUE(with_points([](auto& request) { request.set_page_size(5); }));
  EXPECT_TRUE(with_points([](auto& request) { request.set_downsampling(static_cast<api::Downsampling>(9)); }));
  EXPECT_TRUE(with_points([](auto& request) {
    request.set_points(2);
    request.set_downsampling(api::DOWNSAMPLING_LTTB);
  }));
}

}  // namespace
}  // namespace millrace::query_api
