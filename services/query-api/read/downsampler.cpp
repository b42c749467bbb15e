#include "read/downsampler.hpp"

#include <algorithm>
#include <limits>

#include "read/bucket_fold.hpp"
#include "read/lttb.hpp"
#include "read/number_stream.hpp"
#include "read/statements.hpp"

namespace millrace::query_api {
namespace {

using postgres::Params;

Params range_params(const Series& series, TimeUs from, TimeUs to) {
  Params params;
  params.integer(series.device_key).integer(series.metric_id).timestamptz(from).timestamptz(to);
  return params;
}

/// a + b, at the ends of the range where it would overflow.
TimeUs saturated_add(TimeUs a, TimeUs b) {
  TimeUs sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<TimeUs>::max() : std::numeric_limits<TimeUs>::min();
}

Result<std::vector<Bucket>> fold(postgres::Connection& connection, const Series& series, TimeUs from, TimeUs to,
                                 BucketFold buckets) {
  const Status read =
      read_numbers(connection, series, from, to, [&](const Number& number) { buckets.add(number.time, number.value); });
  if (!read.ok()) return read.error();
  return buckets.take();
}

Sample sample_of(const Number& number, storage_schema::MetricType type) {
  storage_schema::Cell cell{storage_schema::Kind::kNumber, number.value, {}};
  if (number.is_whole) cell = {storage_schema::Kind::kInteger, 0, std::to_string(number.whole)};
  auto value = storage_schema::value_of(cell, type);
  return {number.time, std::move(value).value(), number.untimed};
}

/// End of the stretch from `from` on that holds as many buckets as a page at most.
TimeUs end_of_page(const Window& window, TimeUs from, std::int64_t step_us) {
  std::int64_t length = 0;
  if (__builtin_mul_overflow(step_us, static_cast<std::int64_t>(window.rows), &length)) {
    length = std::numeric_limits<std::int64_t>::max();
  }
  return std::min(window.to, saturated_add(bucket_start(from, step_us), length));
}

Status check_total(std::int64_t total, int points) {
  if (total / points > Downsampler::kMostPerPoint) {
    return Error{ErrorKind::kInvalid, "the range holds " + std::to_string(total) + " numbers, with LTTB it may be " +
                                          std::to_string(Downsampler::kMostPerPoint) +
                                          " for each of `points`: ask for more points, a shorter range or buckets"};
  }
  return {};
}

}  // namespace

Result<BucketPage> Downsampler::page(const Series& series, const Window& window, std::int64_t step_us,
                                     const Patience& patience) {
  return of_tiers<BucketPage>(
      tiers_, window.from, window.to, patience, [&] { return hot_page(series, window, step_us, patience); },
      [&] { return tiered_page(series, window, step_us, patience); });
}

Result<std::vector<Bucket>> Downsampler::buckets(const Series& series, TimeUs from, TimeUs to, std::int64_t step_us,
                                                 const Patience& patience) {
  return of_tiers<std::vector<Bucket>>(
      tiers_, from, to, patience, [&] { return hot_buckets(series, from, to, step_us, patience); },
      [&] { return tiered_buckets(series, from, to, step_us, from, patience); });
}

Result<std::vector<Sample>> Downsampler::lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                              const Patience& patience) {
  return of_tiers<std::vector<Sample>>(
      tiers_, from, to, patience, [&] { return hot_lttb(series, from, to, points, patience); },
      [&] { return tiered_lttb(series, from, to, points, patience); });
}

Result<BucketPage> Downsampler::tiered_page(const Series& series, const Window& window, std::int64_t step_us,
                                            const Patience& patience) {
  std::optional<TimeUs> first;
  const Status looked = tiers_.numbers(series, window.from, window.to, patience, [&first](const Number& number) {
    first = number.time;
    return false;
  });
  if (!looked.ok()) return looked.error();
  BucketPage page;
  if (!first) return page;
  const TimeUs to = end_of_page(window, *first, step_us);
  auto buckets = tiered_buckets(series, *first, to, step_us, 0, patience);
  if (!buckets.ok()) return buckets.error();
  page.buckets = std::move(buckets).value();
  if (to < window.to) page.next_from = to;
  return page;
}

Result<std::vector<Bucket>> Downsampler::tiered_buckets(const Series& series, TimeUs from, TimeUs to,
                                                        std::int64_t step_us, TimeUs origin, const Patience& patience) {
  BucketFold buckets(step_us, origin);
  const Status read = tiers_.numbers(series, from, to, patience, [&buckets](const Number& number) {
    buckets.add(number.time, number.value);
    return true;
  });
  if (!read.ok()) return read.error();
  return buckets.take();
}

Result<std::vector<Sample>> Downsampler::tiered_lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                                     const Patience& patience) {
  std::int64_t total = 0;
  const Status counted = tiers_.numbers(series, from, to, patience, [&total](const Number&) {
    ++total;
    return true;
  });
  if (!counted.ok()) return counted.error();
  if (auto fits = check_total(total, points); !fits.ok()) return fits.error();
  // Rows that came between the two readings are left out at the end.
  Lttb chosen(total, points);
  std::vector<Number> all;
  const Status read = tiers_.numbers(series, from, to, patience, [&](const Number& number) {
    if (total <= points) {
      all.push_back(number);
    } else {
      chosen.add(number);
    }
    return true;
  });
  if (!read.ok()) return read.error();
  std::vector<Sample> samples;
  for (const Number& number : total <= points ? all : chosen.take()) samples.push_back(sample_of(number, series.type));
  return samples;
}

Result<BucketPage> Downsampler::hot_page(const Series& series, const Window& window, std::int64_t step_us,
                                         const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  // A stretch of so many steps holds at most so many buckets. Only where it holds none it pays to look for the next
  // number.
  TimeUs from = window.from;
  TimeUs to = end_of_page(window, from, step_us);
  auto buckets = fold(**connection, series, from, to, BucketFold(step_us, 0));
  if (buckets.ok() && buckets->empty() && to < window.to) {
    const auto first = exec(**connection, statements::kFirstNumber, range_params(series, to, window.to));
    if (!first.ok()) return first.error();
    if (first->empty()) return BucketPage{};
    from = std::max(to, first->timestamptz(0, 0));
    to = end_of_page(window, from, step_us);
    buckets = fold(**connection, series, from, to, BucketFold(step_us, 0));
  }
  if (!buckets.ok()) return buckets.error();
  BucketPage page;
  page.buckets = std::move(buckets).value();
  if (to < window.to) page.next_from = to;
  return page;
}

Result<std::vector<Bucket>> Downsampler::hot_buckets(const Series& series, TimeUs from, TimeUs to, std::int64_t step_us,
                                                     const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  return fold(**connection, series, from, to, BucketFold(step_us, from));
}

Result<std::vector<Sample>> Downsampler::hot_lttb(const Series& series, TimeUs from, TimeUs to, int points,
                                                  const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  // Counted and read in one snapshot: the buckets are cut by the count.
  if (auto begun = (*connection)->script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); !begun.ok()) {
    return begun.error();
  }
  std::int64_t total = 0;
  const Status counted = read_numbers(**connection, series, from, to, [&total](const Number&) { ++total; });
  if (!counted.ok()) return counted.error();
  if (auto fits = check_total(total, points); !fits.ok()) return fits.error();
  Lttb chosen(total, points);
  std::vector<Number> all;
  const Status read = read_numbers(**connection, series, from, to, [&](const Number& number) {
    if (total <= points) {
      all.push_back(number);
    } else {
      chosen.add(number);
    }
  });
  if (!read.ok()) return read.error();
  std::vector<Sample> samples;
  for (const Number& number : total <= points ? all : chosen.take()) samples.push_back(sample_of(number, series.type));
  return samples;
}

}  // namespace millrace::query_api
