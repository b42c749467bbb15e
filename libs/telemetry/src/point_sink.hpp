#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {

/// Where every decoder puts what it finds: builds the points of one message and turns down what could not be stored.
/// After the first fault (a call returned false) the message is over and error() says why. Reuses the memory of the
/// batch's points. One thread at a time.
class PointSink {
 public:
  explicit PointSink(const PayloadLimits& limits) : limits_(limits) {}

  /// `batch` and the views of `options` must live until the message is over.
  void begin(const DecodeOptions& options, Batch& batch);
  /// Cuts `points` to what was added; a message without a point is a fault.
  [[nodiscard]] bool finish();

  [[nodiscard]] const PayloadLimits& limits() const { return limits_; }
  [[nodiscard]] const DecodeOptions& options() const { return options_; }
  [[nodiscard]] Batch& batch() { return *batch_; }
  /// What names begin with: the prefix of the options and the levels of their metric, checked by check_prefix().
  [[nodiscard]] std::string_view prefix() const { return prefix_; }
  [[nodiscard]] bool check_prefix();
  /// What the payload names stands below the metric of the options.
  void open_prefix() {
    if (!options_.metric.empty()) prefix_ += '.';
  }

  /// Notes the fault; always false, so that a decoder returns it at once.
  bool fail(PayloadFault fault, std::string message, std::optional<std::size_t> offset = std::nullopt);
  /// Says in which element the noted fault lies; always false.
  bool fail_in(std::size_t element);
  /// The same where the message says it already, if there is one.
  bool place(std::optional<std::size_t> element) {
    error_->element = element;
    return false;
  }
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] std::optional<PayloadError> take_error() { return std::exchange(error_, std::nullopt); }

  /// `name` whole, its prefix included; `own` the part that the payload gave. Both are UTF-8.
  [[nodiscard]] bool check_name(std::string_view name, std::string_view own);
  /// The same for a name of visible ASCII.
  [[nodiscard]] bool check_length(std::string_view name);
  /// The same for bytes that may be anything.
  [[nodiscard]] bool check_utf8_name(std::string_view name, std::string_view own);

  // A point each; the name was checked. Its time is that of the message until set_time().
  [[nodiscard]] bool add(std::string_view name, double value);
  [[nodiscard]] bool add(std::string_view name, std::int64_t value);
  [[nodiscard]] bool add_bool(std::string_view name, bool value);
  /// UTF-8; U+0000 and what is too long is a fault.
  [[nodiscard]] bool add_text(std::string_view name, std::string_view text);
  /// The text of an array or object, as the parser writes it.
  [[nodiscard]] bool add_json(std::string_view name, std::string text);

  [[nodiscard]] std::size_t size() const { return used_; }
  /// Of the points from `first` on.
  void set_time(std::size_t first, std::optional<TimeUs> time);
  /// `field` is what the payload calls it.
  [[nodiscard]] bool check_time(std::string_view field, TimeUs time);

 private:
  [[nodiscard]] Point* next(std::string_view name);

  PayloadLimits limits_;
  DecodeOptions options_;
  Batch* batch_ = nullptr;
  std::string prefix_;
  std::size_t used_ = 0;  // points filled; the vector keeps the rest for reuse
  std::optional<PayloadError> error_;
};

/// A name in an error message: quoted, cut where it is long.
[[nodiscard]] std::string in_quotes(std::string_view name);

/// 0x20 to 0x7e only.
[[nodiscard]] bool is_plain_ascii(std::string_view text);
/// Faster than a general check where it is ASCII, as names and short texts are.
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace millrace::telemetry
