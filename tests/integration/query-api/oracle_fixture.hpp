#pragma once

#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <millrace/telemetry/value_proto.hpp>

#include "oracle_model.hpp"
#include "query_fixture.hpp"
#ifdef PARQUET_WORKER
#include "archived_days.hpp"
#endif

namespace millrace::query_api {

namespace api = query::v1;

/// The last revision of a window.
struct StoredWindow {
  std::int32_t revision = 0;
  std::int64_t count = 0;
  double last = 0;  // what the other figures are made of
  TimeUs last_time = 0;
};

/// A service, and a model of what is stored for it: one metric of four devices of acme, whose days are in the database,
/// compacted, or in files where there is an archive.
class Oracle : public QueryApi {
 protected:
  void SetUp() override {
    QueryApi::SetUp();
    if (!database_) return;
    for (const std::int32_t key : keys_) put_device("acme", name_of(key), key);
#ifdef PARQUET_WORKER
    days_.emplace(database_url_, database_name_);
    archive_ = days_->settings();
#endif
  }
  void TearDown() override {
    QueryApi::TearDown();
#ifdef PARQUET_WORKER
    days_.reset();
#endif
  }

  static std::string name_of(std::int32_t key) { return "d" + std::to_string(key); }

  int between(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }

  /// Stores the model in an order of its own, some of its days in partitions and some in none.
  void store();
  /// Takes the days to segments and roll-ups; what later cases store are late rows of compacted days then, which are
  /// packed with them or stay beside them.
  void compact();
  /// Some days later: every second case compacts days, every fourth has those that ended archived where there is an
  /// archive; what is stored next comes late.
  void age(std::uint64_t number);
  /// Further rows, as storage-writer stores what comes late: new times, new values of times that are there, and
  /// readings whose time the platform stamped where it is taken.
  void store_late();
  void store_windows();

  template <class Request>
  Request about() {
    Request request;
    request.set_metric(metric_);
    request.set_from_us(from_);
    request.set_to_us(to_);
    return request;
  }

  template <class Request, class Response, class Method, class Take>
  void pages(Method method, Request request, Take take) {
    for (int page = 0; page < 10'000; ++page) {
      Response response;
      const grpc::Status status = (stub_.get()->*method)(context(kAcmeKey).get(), request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message() << "\n" << request.ShortDebugString();
      take(response);
      if (response.next_page_token().empty()) return;
      request.set_page_token(response.next_page_token());
    }
    FAIL() << "pages without end: " << request.ShortDebugString();
  }

  static telemetry::Value value_of(const telemetry::v1::Value& from) {
    telemetry::Value value;
    EXPECT_TRUE(telemetry::from_proto(from, value));
    return value;
  }
  telemetry::Value as_stored(const telemetry::Value& value) const {
    return storage_schema::value_of(storage_schema::cell_of(value), model_.type).value();
  }

  void check_case();
  void check_samples(std::int32_t key);
  void check_buckets(std::int32_t key);
  void check_points(std::int32_t key);
  void check_lttb(std::int32_t key);
  void check_aggregate();
  void check_top();
  void check_latest();
  void check_latest_of_device(std::int32_t key);
  void check_windows(std::int32_t key);
  void check_export();
  void compare(const api::RangeResponse::Bucket& got, TimeUs start, const oracle::Figures& wanted);
  std::vector<std::int32_t> some_devices();
  std::vector<std::pair<std::int32_t, oracle::Number>> numbers_of(const std::vector<std::int32_t>& keys);

  using Place = std::pair<std::int32_t, TimeUs>;  // device key and time
  void insert(std::int32_t key, TimeUs time, const oracle::Row& row);
  void set_latest();
  [[nodiscard]] bool is_archived(TimeUs time) const;
  void store_one_late(std::int32_t key, TimeUs time, const oracle::Row& row);
  void collide(std::int32_t key, TimeUs time, const oracle::Row& row);

#ifdef PARQUET_WORKER
  std::optional<ArchivedDays> days_;
#endif
  std::set<TimeUs> archived_;  // starts of the days whose rows of this case are in files
  std::set<Place> late_;       // places of this case that a late row took or moved to
  std::map<std::int32_t, std::map<std::pair<TimeUs, std::int64_t>, StoredWindow>> windows_;
  const std::vector<std::int32_t> keys_{100, 101, 102, 105};
  std::mt19937_64 random_;
  oracle::Model model_;
  std::string metric_;
  std::int32_t metric_id_ = 0;
  TimeUs from_ = 0;
  TimeUs to_ = 0;
};

}  // namespace millrace::query_api
