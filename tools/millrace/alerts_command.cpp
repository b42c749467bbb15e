#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <tuple>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "alert_events.hpp"
#include "alert_text.hpp"
#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "severity.hpp"
#include "stop_signals.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;
using alerts::v1::Alert;

constexpr std::int32_t kMostPerPage = 1'000;

struct AlertsArguments {
  alerts::v1::State state = alerts::v1::STATE_UNSPECIFIED;
  std::string device;
  std::string rule;
  std::string alert_id;
  rules::v1::Severity severity = rules::v1::SEVERITY_UNSPECIFIED;
  std::string from;
  std::string to;
  std::int64_t limit = 100;
  bool follow = false;
  Format format = Format::kTable;
};

std::string json_of(const Alert& alert) {
  const auto text = [](const char* name, std::string_view value) {
    return std::string(",\"") + name + "\":" + json_string(value);
  };
  std::string json = "{\"alert_id\":" + json_string(alert.alert_id()) + text("state", state_text(alert.state())) +
                     text("severity", severity_text(alert.severity())) + text("rule", alert.rule()) +
                     text("device", alert.device()) + text("metric", alert.metric()) +
                     text("description", alert.description()) + text("raised_at", format_rfc3339(alert.raised_at_us()));
  if (alert.has_raise_value()) json += ",\"raise_value\":" + value_json(alert.raise_value());
  json += text("raise_expression", alert.raise_expression()) + text("raise_receipt", alert.raise_receipt());
  if (is_cleared(alert)) {
    json += text("cleared_at", format_rfc3339(alert.cleared_at_us()));
    if (alert.has_clear_value()) json += ",\"clear_value\":" + value_json(alert.clear_value());
    json += text("clear_expression", alert.clear_expression()) + text("clear_receipt", alert.clear_receipt()) +
            text("clear_reason", alert.clear_reason() == alerts::v1::CLEAR_REASON_RULE ? "rule" : "reading");
  }
  return json + '}';
}

api::ListAlertsRequest request_of(const Session& session, const AlertsArguments& arguments) {
  api::ListAlertsRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_state(arguments.state);
  request.set_device(arguments.device);
  request.set_rule(arguments.rule);
  request.set_alert_id(arguments.alert_id);
  request.set_min_severity(arguments.severity);
  const TimeUs now = now_us();
  if (!arguments.from.empty()) request.set_from_us(parse_time_argument("--from", arguments.from, now));
  if (!arguments.to.empty()) request.set_to_us(parse_time_argument("--to", arguments.to, now));
  if (request.from_us() != 0 && request.to_us() != 0 && request.from_us() >= request.to_us()) {
    throw usage_error("--from " + format_rfc3339(request.from_us()) + " is not before --to " +
                      format_rfc3339(request.to_us()));
  }
  request.set_page_size(static_cast<std::int32_t>(std::min<std::int64_t>(arguments.limit, kMostPerPage)));
  return request;
}

/// Calls `take` for each alert, page after page, until it returns false or there is no more. How many pages it took.
template <typename Take>
int each_alert(Client<api::QueryService>& query, api::ListAlertsRequest request, Take take) {
  int pages = 0;
  do {
    const auto page =
        query.call(&api::QueryService::StubInterface::ListAlerts, request, "`millrace device list` shows the devices");
    ++pages;
    for (const Alert& alert : page.alerts()) {
      if (!take(alert)) return pages;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return pages;
}

void list_alerts(Session& session, const AlertsArguments& arguments) {
  const api::ListAlertsRequest request = request_of(session, arguments);
  Client<api::QueryService> query(session.settings, Target::kQuery);
  const bool json = arguments.format == Format::kJson;
  Table table({"RAISED", "STATE", "SEVERITY", "RULE", "DEVICE", "METRIC", "VALUE", "CLEARED"});
  std::int64_t count = 0;
  if (json) session.out() << '[';
  each_alert(query, request, [&](const Alert& alert) {
    if (json) {
      session.out() << (count == 0 ? "" : ",\n") << json_of(alert);
    } else {
      table.add({format_rfc3339(alert.raised_at_us()), state_text(alert.state()), severity_text(alert.severity()),
                 alert.rule(), alert.device(), printable(alert.metric()), printable(value_text(alert.raise_value())),
                 cleared_text(alert)});
    }
    return ++count < arguments.limit;
  });
  if (json) {
    session.out() << "]\n";
  } else if (count == 0) {
    session.out() << "no alerts\n";
  } else {
    table.print(session.out());
  }
}

/// Prints events as they come. Lists again and again what was raised in the last minutes, and what is open of before.
class Follower {
 public:
  Follower(Session& session, const AlertsArguments& arguments)
      : session_(session),
        arguments_(arguments),
        request_(request_of(session, arguments)),
        query_(session.settings, Target::kQuery) {
    // Raise and clear are told apart here: an alert that is cleared leaves the list of the open ones.
    request_.set_state(alerts::v1::STATE_UNSPECIFIED);
    request_.set_page_size(kMostPerPage);
  }

  /// One look; what the first one finds is not news.
  void look() {
    const TimeUs horizon = now_us() - kRecent;
    std::vector<Alert> events;
    const auto take = [&](const Alert& alert) {
      for (Alert& event : known_.take(alert)) events.push_back(std::move(event));
      return true;
    };
    const bool look_at_all = looks_ % every_ == 0;
    if (look_at_all) known_.begin_look();
    each_alert(query_, between(alerts::v1::STATE_UNSPECIFIED, horizon, 0), take);
    if (look_at_all) {
      const int pages = each_alert(query_, between(alerts::v1::STATE_RAISED, 0, horizon), take);
      every_ = pages > 1 ? kSeldom : 1;
      look_for_missing(take);
    }
    known_.forget_before(horizon - kRecent);
    if (looks_++ > 0) print(events);
  }

  [[nodiscard]] std::int64_t count() const { return count_; }

 private:
  static constexpr TimeUs kRecent = 600 * kUsPerSecond;
  static constexpr int kSeldom = 5;                 // looks, where many alerts are open
  static constexpr std::size_t kMostMissing = 100;  // in one look; the others with the next

  [[nodiscard]] api::ListAlertsRequest between(alerts::v1::State state, TimeUs from, TimeUs to) const {
    api::ListAlertsRequest request = request_;
    request.set_state(state);
    request.set_from_us(from);
    request.set_to_us(to);
    return request;
  }

  template <typename Take>
  void look_for_missing(Take take) {
    std::vector<Alert> missing = known_.missing();
    if (missing.size() > kMostMissing) missing.resize(kMostMissing);
    for (const Alert& alert : missing) {
      api::ListAlertsRequest request =
          between(alerts::v1::STATE_UNSPECIFIED, alert.raised_at_us(), alert.raised_at_us() + 1);
      request.set_device(alert.device());
      request.set_rule(alert.rule());
      request.clear_min_severity();  // the rule may have another one by now
      bool found = false;
      each_alert(query_, request, [&](const Alert& now) {
        found = now.alert_id() == alert.alert_id();
        return found ? !take(now) : true;
      });
      if (!found) known_.drop(alert);
    }
  }

  void print(std::vector<Alert>& events) {
    std::sort(events.begin(), events.end(), [](const Alert& a, const Alert& b) {
      return std::tuple(time_of(a), a.event_number()) < std::tuple(time_of(b), b.event_number());
    });
    for (const Alert& event : events) {
      if (arguments_.state != alerts::v1::STATE_UNSPECIFIED && arguments_.state != event.state()) continue;
      ++count_;
      if (arguments_.format == Format::kJson) {
        session_.out() << json_of(event) << '\n';
        continue;
      }
      session_.out() << event_line(event) << '\n';
    }
    session_.out().flush();
  }

  Session& session_;
  const AlertsArguments& arguments_;
  api::ListAlertsRequest request_;
  Client<api::QueryService> query_;
  AlertEvents known_;
  int looks_ = 0;
  int every_ = 1;
  std::int64_t count_ = 0;
};

void follow_alerts(Session& session, const AlertsArguments& arguments) {
  const sigset_t signals = block_stop_signals();
  Follower follower(session, arguments);
  const timespec period{2, 0};
  do {
    follower.look();
    if (!session.out()) return;  // the reader of our output is gone
  } while (sigtimedwait(&signals, nullptr, &period) <= 0);
  session.err() << "millrace: stopped after " << follower.count() << " events\n";
}

}  // namespace

void add_alerts_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<AlertsArguments>();
  CLI::App* command = add_command(
      app, session, "alerts", "alerts as they are now, the last raised first",
      "  millrace alerts --open\n"
      "  millrace alerts --device meter-1 --from 1d --json\n"
      "  millrace alerts --follow --severity critical\n"
      "  millrace alerts --id 2f0c... --json     raise and clear of one alert, by its alert_id\n"
      "--follow prints each raise and each clear from now on, within seconds, until Ctrl-C; one that was raised by a\n"
      "reading more than ten minutes old and cleared between two looks (two seconds) is only in the list. Times are\n"
      "those of the readings; `+180 s late` is a reading that came so long after its time.",
      [&session, arguments] {
        if (arguments->follow) return follow_alerts(session, *arguments);
        list_alerts(session, *arguments);
      });
  CLI::Option* open = command->add_flag_callback(
      "--open", [arguments] { arguments->state = alerts::v1::STATE_RAISED; }, "only those that are not cleared");
  command
      ->add_flag_callback(
          "--cleared", [arguments] { arguments->state = alerts::v1::STATE_CLEARED; }, "only those that are cleared")
      ->excludes(open);
  command->add_option("--device", arguments->device, "only of this device");
  command->add_option("--rule", arguments->rule, "only of this rule");
  command->add_option("--severity", arguments->severity, "this one or higher: info, warning, critical")
      ->transform(value_of(severities()))
      ->option_text("SEVERITY");
  CLI::Option* follow = command->add_flag("--follow,-f", arguments->follow, "print events as they come");
  command->add_option("--from", arguments->from, "raised then or later: RFC 3339, a date, or how long ago: 1h, 2d")
      ->excludes(follow);
  command->add_option("--to", arguments->to, "raised before: the same forms")->excludes(follow);
  CLI::Option* id = command->add_option("--id", arguments->alert_id, "all events of this alert, the first one first");
  for (const char* other : {"--open", "--cleared", "--device", "--rule", "--severity", "--from", "--to", "--follow"}) {
    id->excludes(command->get_option(other));
  }
  command->add_option("--limit", arguments->limit, "at most so many (100)")->check(at_least(1))->excludes(follow);
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
