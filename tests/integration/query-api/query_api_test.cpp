#include <array>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "eventually.hpp"
#include "query_fixture.hpp"
#include "read/page_token.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;
using storage_schema::MetricType;

TEST_F(QueryApi, RangeGivesEveryKindBackAsItWasStored) {
  const auto number = metric("acme", "number", MetricType::kDouble);
  const auto integer = metric("acme", "integer", MetricType::kInteger);
  const auto other = metric("acme", "other", MetricType::kBoolean);
  constexpr auto kHuge = std::numeric_limits<std::int64_t>::max();
  insert_sample(kMeter, number, kStart, 0.1);
  insert_sample(kMeter, integer, kStart, kHuge);
  insert_sample(kMeter, integer, kStart + 1, std::int64_t{-5});
  insert_sample(kMeter, other, kStart, true);
  insert_sample(kMeter, other, kStart + 1, std::string("gr\xC3\xBCn, \"x\""));
  insert_sample(kMeter, other, kStart + 2, telemetry::Json{"[1, {\"a\":null}]"});
  start_service();
  api::RangeResponse answer;
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), range("number", kStart, kStart + 1), &answer).ok());
  ASSERT_EQ(answer.samples_size(), 1);
  EXPECT_EQ(answer.samples(0).value().double_value(), 0.1);
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), range("integer", kStart, kStart + 10), &answer).ok());
  ASSERT_EQ(answer.samples_size(), 2);
  EXPECT_EQ(answer.samples(0).value().int_value(), kHuge);
  EXPECT_EQ(answer.samples(1).value().int_value(), -5);
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), range("other", kStart, kStart + 10), &answer).ok());
  ASSERT_EQ(answer.samples_size(), 3);
  EXPECT_TRUE(answer.samples(0).value().bool_value());
  EXPECT_EQ(answer.samples(1).value().string_value(), "gr\xC3\xBCn, \"x\"");
  EXPECT_EQ(answer.samples(2).value().json_value(), "[1, {\"a\":null}]");
  EXPECT_TRUE(answer.next_page_token().empty());
}

TEST_F(QueryApi, RangePagesHoldEachPointOnceAndTokensBelongToTheirRequest) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  for (std::int64_t i = 0; i < 25; ++i) insert_sample(kMeter, id, kStart + i, i);
  start_service();
  auto request = range("power", kStart, kStart + 20);
  request.set_page_size(7);
  std::vector<std::int64_t> seen;
  std::string first_token;
  do {
    api::RangeResponse page;
    ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), request, &page).ok());
    for (const auto& sample : page.samples()) seen.push_back(sample.time_us() - kStart);
    request.set_page_token(page.next_page_token());
    if (first_token.empty()) first_token = page.next_page_token();
  } while (!request.page_token().empty());
  ASSERT_EQ(seen.size(), 20U);
  for (std::int64_t i = 0; i < 20; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
  auto another = range("power", kStart, kStart + 21);
  another.set_page_token(first_token);
  EXPECT_EQ(code_of(&Stub::Range, another, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(QueryApi, AMadeUpTokenBehindTheRangeIsAnEmptyPageAtOnce) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  insert_sample(kMeter, id, kStart, std::int64_t{1});
  start_service();
  auto request = range("power", kStart, kStart + 20);
  const std::string scope = "range\nacme\n" + std::to_string(kMeter) + "\npower\n" + std::to_string(kStart) + '\n' +
                            std::to_string(kStart + 20) + "\n0";
  for (const TimeUs behind : {kStart + 20, kStart + 1'000'000, std::numeric_limits<TimeUs>::max()}) {
    request.set_page_token(make_page_token(scope, std::array{behind, kStart}));
    api::RangeResponse page;
    const grpc::Status status = stub_->Range(context(kAcmeKey).get(), request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(page.samples_size(), 0);
    EXPECT_TRUE(page.next_page_token().empty());
  }
}

TEST_F(QueryApi, RangePagesAreBoundedInBytes) {
  const auto id = metric("acme", "text", MetricType::kText);
  for (int i = 0; i < 50; ++i)
    insert_sample(kMeter, id, kStart + i, std::string(200'000, static_cast<char>('a' + i % 26)));
  start_service();
  auto request = range("text", kStart, kStart + 50);
  request.set_page_size(10'000);
  int seen = 0;
  int pages = 0;
  do {
    api::RangeResponse page;
    const grpc::Status status = stub_->Range(context(kAcmeKey).get(), request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_LT(page.ByteSizeLong(), 4U << 20U) << "a client with gRPC's own limits can read it";
    for (const auto& sample : page.samples()) EXPECT_EQ(sample.time_us(), kStart + seen++);
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, 50);
  EXPECT_GT(pages, 2);
}

TEST_F(QueryApi, BucketsCountEveryNumberOnceOverGapsAndPages) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  std::vector<TimeUs> times;
  for (int i = 0; i < 100; ++i) times.push_back(kStart + i * 100);
  for (int i = 0; i < 100; ++i) times.push_back(kStart + 3'600 * kUsPerSecond + i * 100);
  for (std::size_t i = 0; i < times.size(); ++i) insert_sample(kMeter, id, times[i], static_cast<std::int64_t>(i));
  insert_sample(kMeter, id, kStart + 50, std::string("no number"));
  insert_sample(kMeter, id, kStart + 60, std::numeric_limits<std::int64_t>::max());
  start_service();
  auto request = range("power", kStart, kStart + 7'200 * kUsPerSecond);
  request.set_step_us(1'000);
  request.set_page_size(3);
  std::vector<api::RangeResponse::Bucket> buckets;
  int pages = 0;
  do {
    api::RangeResponse page;
    ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), request, &page).ok());
    buckets.insert(buckets.end(), page.buckets().begin(), page.buckets().end());
    request.set_page_token(page.next_page_token());
    ASSERT_LT(++pages, 100) << "a gap is jumped over";
  } while (!request.page_token().empty());
  ASSERT_EQ(buckets.size(), 20U);
  EXPECT_EQ(buckets[0].count(), 11);
  EXPECT_EQ(buckets[0].max(), 9223372036854775807.0);
  EXPECT_EQ(buckets[1].time_us(), kStart + 1'000);
  EXPECT_EQ(buckets[1].count(), 10);
  EXPECT_EQ(buckets[1].min(), 10);
  EXPECT_EQ(buckets[1].max(), 19);
  EXPECT_EQ(buckets[1].mean(), 14.5);
  EXPECT_EQ(buckets[10].time_us(), kStart + 3'600 * kUsPerSecond);
}

TEST_F(QueryApi, BucketsHoldValuesNearTheEndOfDoublesRangeAndStepsAreBounded) {
  const auto id = metric("acme", "power", MetricType::kDouble);
  for (int i = 0; i < 3; ++i) insert_sample(kMeter, id, kStart + i, 1.7e308);
  start_service();
  auto request = range("power", kStart, kStart + kUsPerSecond);
  request.set_step_us(kUsPerSecond);
  api::RangeResponse page;
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), request, &page).ok());
  EXPECT_DOUBLE_EQ(page.buckets(0).mean(), 1.7e308);
  request.set_step_us(std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(stub_->Range(context(kAcmeKey).get(), request, &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(QueryApi, AnUnknownMetricIsToldApartFromNoData) {
  metric("acme", "power", MetricType::kDouble);
  start_service();
  api::RangeResponse answer;
  EXPECT_TRUE(stub_->Range(context(kAcmeKey).get(), range("power", kStart, kStart + 1), &answer).ok());
  EXPECT_EQ(answer.samples_size(), 0);
  const grpc::Status unknown = stub_->Range(context(kAcmeKey).get(), range("powr", kStart, kStart + 1), &answer);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_NE(unknown.error_message().find("'powr'"), std::string::npos) << unknown.error_message();
  auto nobody = range("power", kStart, kStart + 1);
  nobody.set_device("meter-9");
  EXPECT_EQ(code_of(&Stub::Range, nobody, kAcmeKey), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code_of(&Stub::Range, range("power", kStart, kStart), kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  auto large = range("power", kStart, kStart + 1);
  large.set_page_size(10'001);
  EXPECT_EQ(code_of(&Stub::Range, large, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(QueryApi, AKeySeesItsTenantOnlyAndAPlatformKeyNamesOne) {
  insert_sample(kMeter, metric("acme", "power", MetricType::kInteger), kStart, std::int64_t{1});
  insert_sample(kForeigner, metric("other", "power", MetricType::kInteger), kStart, std::int64_t{2});
  start_service();
  const auto value_for = [&](const std::string& key, const std::string& tenant) {
    auto request = range("power", kStart, kStart + 1);
    request.set_tenant(tenant);
    api::RangeResponse answer;
    const grpc::Status status = stub_->Range(context(key).get(), request, &answer);
    if (!status.ok()) return -static_cast<std::int64_t>(status.error_code());
    return answer.samples_size() == 1 ? answer.samples(0).value().int_value() : 0;
  };
  EXPECT_EQ(value_for(kAcmeKey, ""), 1);
  EXPECT_EQ(value_for(kOtherKey, ""), 2);
  EXPECT_EQ(value_for(kAcmeKey, "other"), -grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(value_for(kPlatformKey, "other"), 2);
  EXPECT_EQ(value_for(kPlatformKey, ""), -grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(value_for("mk_acme1_wrong", ""), -grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(QueryApi, LatestGivesEachMetricAndSaysAsOfWhen) {
  const auto power = metric("acme", "power", MetricType::kInteger);
  const auto state = metric("acme", "state", MetricType::kText);
  sql("INSERT INTO storage.latest (device_id, metric, time, value, max_time) VALUES (7, " + std::to_string(power) +
      ", '2026-01-01T00:00:00Z', 42, now())");
  sql("INSERT INTO storage.latest (device_id, metric, time, kind, other, max_time) VALUES (7, " +
      std::to_string(state) + ", '2026-01-01T00:00:01Z', 3, 'on', now())");
  for (int partition = 0; partition < 3; ++partition) set_position(partition, 5, 5, kStart + 9);
  start_service();
  api::LatestRequest request;
  request.set_device("meter-1");
  api::LatestResponse answer;
  ASSERT_TRUE(testing::eventually([&] {
    return stub_->Latest(context(kAcmeKey).get(), request, &answer).ok() && answer.as_of_us() == kStart + 9;
  }));
  ASSERT_EQ(answer.entries_size(), 2);
  EXPECT_EQ(answer.entries(0).metric(), "power");
  EXPECT_EQ(answer.entries(0).value().int_value(), 42);
  EXPECT_EQ(answer.entries(1).time_us(), kStart + kUsPerSecond);
  EXPECT_EQ(answer.entries(1).value().string_value(), "on");
  request.add_metrics("state");
  ASSERT_TRUE(stub_->Latest(context(kAcmeKey).get(), request, &answer).ok());
  ASSERT_EQ(answer.entries_size(), 1);
  request.set_device("meter-9");
  EXPECT_EQ(code_of(&Stub::Latest, request, kAcmeKey), grpc::StatusCode::NOT_FOUND);
}

TEST_F(QueryApi, AReceiptTellsWhatBecameOfItsRecordAndOnlyToItsTenant) {
  for (int i = 0; i < 5; ++i) ASSERT_EQ(produce("acme", 3).offset, i);
  ASSERT_EQ(produce("other", 1).offset, 5);
  set_position(0, 4, 4, kStart);
  sql("INSERT INTO storage.dead_letter (part, generation, log_offset, points, reason, tenant, device, dead_part, "
      "dead_offset)"
      " VALUES (0, 0, 1, '{1}', 'one is bad', 'acme', 'meter-1', 0, 0), (0, 0, 2, '{}', 'all are bad', 'acme', "
      "'meter-1', 0, 1)");
  sql("INSERT INTO storage.dropped_copy VALUES (0, 0, 3, 2, 0)");
  start_service();
  EXPECT_EQ(receipt("0:0").state(), api::RECEIPT_STATE_STORED);
  EXPECT_EQ(receipt("0:1").state(), api::RECEIPT_STATE_PARTLY);
  EXPECT_EQ(receipt("0:1").reason(), "one is bad");
  EXPECT_EQ(receipt("0:2").state(), api::RECEIPT_STATE_DEAD_LETTERED);
  EXPECT_EQ(receipt("0:3").state(), api::RECEIPT_STATE_DEAD_LETTERED);
  EXPECT_EQ(receipt("0:3").original(), "0:2");
  EXPECT_EQ(receipt("0:4").state(), api::RECEIPT_STATE_PENDING);
  set_position(0, 6, 6, kStart);
  EXPECT_EQ(receipt("0:4").state(), api::RECEIPT_STATE_STORED);
  EXPECT_EQ(receipt("0:5").state(), api::RECEIPT_STATE_UNKNOWN) << "another tenant's";
  EXPECT_EQ(receipt("0:5", kOtherKey).state(), api::RECEIPT_STATE_STORED);
  EXPECT_EQ(receipt("0:6").state(), api::RECEIPT_STATE_UNKNOWN) << "beyond the end";
  EXPECT_EQ(receipt("0:0.1").state(), api::RECEIPT_STATE_UNKNOWN) << "another generation";
  EXPECT_EQ(receipt("99:0").state(), api::RECEIPT_STATE_UNKNOWN) << "no such partition";
  kafka::Admin admin(kafka_);
  ASSERT_TRUE(admin.delete_records({topics_.telemetry(), 0}, 3, std::chrono::seconds(60)).ok());
  EXPECT_EQ(receipt("0:1").state(), api::RECEIPT_STATE_EXPIRED) << "its record is needed to tell whose it is";
  api::GetReceiptRequest nonsense;
  nonsense.set_receipt("nonsense");
  EXPECT_EQ(code_of(&Stub::GetReceipt, nonsense, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(QueryApi, AReceiptOfReplayedPointsTellsWhatBecameOfTheReplay) {
  for (int i = 0; i < 7; ++i) ASSERT_EQ(produce("acme", 3).offset, i);
  set_position(0, 7, 7, kStart);
  sql("INSERT INTO storage.dead_letter (part, generation, log_offset, points, reason, tenant, device, dead_part, "
      "dead_offset, replayed_generation, replayed_offset)"
      " VALUES (0, 0, 0, '{1}', 'bad', 'acme', 'meter-1', 0, 0, 0, 4),"
      " (0, 0, 1, '{}', 'bad', 'acme', 'meter-1', 0, 1, 0, 5), (0, 0, 5, '{}', 'still bad', 'acme', 'meter-1', 0, 2, "
      "NULL, NULL),"
      " (0, 0, 2, '{}', 'bad', 'acme', 'meter-1', 0, 3, 0, 6), (0, 0, 6, '{2}', 'one still bad', 'acme', 'meter-1', 0, "
      "4, NULL, NULL)");
  start_service();
  EXPECT_EQ(receipt("0:0").state(), api::RECEIPT_STATE_STORED) << "the replay is stored";
  EXPECT_EQ(receipt("0:1").state(), api::RECEIPT_STATE_DEAD_LETTERED) << "the replay is dead again";
  EXPECT_EQ(receipt("0:1").reason(), "still bad");
  EXPECT_EQ(receipt("0:2").state(), api::RECEIPT_STATE_PARTLY) << "of the replay one point is dead";
}

TEST_F(QueryApi, DeadLettersAreTheTenantsOwnInOrderAndByReceipt) {
  const auto one = produce_dead("acme", "{bad", {{"refused", "true"}, {"reason", "syntax"}, {"detail", "at byte 1"}});
  produce_dead("other", "theirs", {{"refused", "true"}, {"reason", "syntax"}});
  const auto two = produce_dead("acme", "bytes", {{"reason", "too late"}, {"source", "0:17"}, {"points", "0,3"}});
  produce_dead("acme", "third", {{"reason", "empty"}});
  start_service();
  api::ListDeadLettersRequest request;
  request.set_page_size(2);
  std::vector<api::DeadLetter> letters;
  do {
    api::ListDeadLettersResponse page;
    const grpc::Status status = stub_->ListDeadLetters(context(kAcmeKey).get(), request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_LE(page.dead_letters_size(), 2);
    letters.insert(letters.end(), page.dead_letters().begin(), page.dead_letters().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  ASSERT_EQ(letters.size(), 3U);
  EXPECT_EQ(letters[0].payload(), "{bad");
  EXPECT_EQ(letters[0].payload_bytes(), 4);
  EXPECT_EQ(letters[0].reason(), "syntax: at byte 1");
  EXPECT_EQ(letters[1].source(), "0:17");
  EXPECT_EQ(letters[1].points_size(), 2);
  EXPECT_EQ(letters[2].payload(), "third");
  const std::string refused = "dead:" + std::to_string(one.partition) + ":" + std::to_string(one.offset);
  const std::string dead = "dead:" + std::to_string(two.partition) + ":" + std::to_string(two.offset);
  EXPECT_EQ(receipt(refused).state(), api::RECEIPT_STATE_REFUSED);
  EXPECT_EQ(receipt(dead).state(), api::RECEIPT_STATE_DEAD_LETTERED);
  EXPECT_EQ(receipt(refused, kOtherKey).state(), api::RECEIPT_STATE_UNKNOWN);
  api::ListDeadLettersRequest single;
  single.set_receipt(dead);
  api::ListDeadLettersResponse found;
  ASSERT_TRUE(stub_->ListDeadLetters(context(kAcmeKey).get(), single, &found).ok());
  ASSERT_EQ(found.dead_letters_size(), 1);
  EXPECT_EQ(found.dead_letters(0).payload(), "bytes");
  found.Clear();
  ASSERT_TRUE(stub_->ListDeadLetters(context(kOtherKey).get(), single, &found).ok());
  EXPECT_EQ(found.dead_letters_size(), 0);
}

TEST_F(QueryApi, TailGivesWhatComesAfterItsHeadersAndOnlyTheTenants) {
  produce("acme", 1, -1);
  start_service();
  api::TailRequest request;
  request.add_metrics("power");
  auto live = context(kAcmeKey);
  auto stream = stub_->Tail(live.get(), request);
  stream->WaitForInitialMetadata();
  produce("other", 5, 1'000);
  const auto where = produce("acme", 3, 100);
  std::vector<std::int64_t> seen;
  api::TailResponse answer;
  while (seen.size() < 3 && stream->Read(&answer)) {
    EXPECT_EQ(answer.missed(), 0);
    for (const auto& reading : answer.readings()) {
      seen.push_back(reading.value().int_value());
      EXPECT_EQ(reading.receipt(), "0:" + std::to_string(where.offset));
      EXPECT_EQ(reading.device(), "meter-1");
    }
  }
  EXPECT_EQ(seen, (std::vector<std::int64_t>{100, 101, 102}));
  live->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(QueryApi, ASlowTailIsToldWhatItMissedAndNobodyElseFeelsIt) {
  start_service();
  auto slow_context = context(kAcmeKey);
  auto slow = stub_->Tail(slow_context.get(), {});
  slow->WaitForInitialMetadata();
  auto quick_context = context(kAcmeKey);
  auto quick = stub_->Tail(quick_context.get(), {});
  quick->WaitForInitialMetadata();
  constexpr int kRecords = 300;
  constexpr int kPoints = 1'000;
  std::int64_t quick_seen = 0;
  std::int64_t quick_missed = 0;
  std::jthread reader([&] {
    api::TailResponse answer;
    while (quick_seen + quick_missed < kRecords * kPoints && quick->Read(&answer)) {
      quick_seen += answer.readings_size();
      quick_missed += answer.missed();
    }
  });
  for (int i = 0; i < kRecords; ++i) produce("acme", kPoints);
  reader.join();
  EXPECT_EQ(quick_seen + quick_missed, kRecords * kPoints);
  std::int64_t seen = 0;
  std::int64_t missed = 0;
  api::TailResponse answer;
  while (seen + missed < kRecords * kPoints && slow->Read(&answer)) {
    seen += answer.readings_size();
    missed += answer.missed();
  }
  EXPECT_EQ(seen + missed, kRecords * kPoints) << "each reading is given or counted";
  EXPECT_GT(missed, 0);
}

TEST_F(QueryApi, ACallEndsAtItsDeadlineAndTheDatabaseWithIt) {
  const auto id = metric("acme", "power", MetricType::kInteger);
  insert_sample(kMeter, id, kStart, std::int64_t{1});
  start_service();
  sql("BEGIN; LOCK TABLE storage.metric IN ACCESS EXCLUSIVE MODE");
  api::RangeResponse answer;
  const auto begun = std::chrono::steady_clock::now();
  const grpc::Status late =
      stub_->Range(context(kAcmeKey, std::chrono::seconds(2)).get(), range("power", kStart, kStart + 1), &answer);
  EXPECT_EQ(late.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << late.error_message();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  // No statement stays behind in the database.
  EXPECT_TRUE(testing::eventually([&] {
    const auto waiting = database_->exec(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
        "application_name = 'query-api' AND wait_event_type = 'Lock'");
    return waiting.ok() && waiting->integer(0, 0) == 0;
  }));
  sql("ROLLBACK");
  EXPECT_TRUE(stub_->Range(context(kAcmeKey).get(), range("power", kStart, kStart + 1), &answer).ok());
  EXPECT_EQ(answer.samples_size(), 1);
}

TEST_F(QueryApi, ABrokenDatabaseConnectionIsReplaced) {
  insert_sample(kMeter, metric("acme", "power", MetricType::kInteger), kStart, std::int64_t{1});
  start_service();
  api::RangeResponse answer;
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), range("power", kStart, kStart + 1), &answer).ok());
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name "
      "= 'query-api'");
  EXPECT_TRUE(testing::eventually([&] {
    const grpc::Status status = stub_->Range(context(kAcmeKey).get(), range("power", kStart, kStart + 1), &answer);
    EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE) << status.error_message();
    return status.ok();
  }));
}

}  // namespace
}  // namespace millrace::query_api
