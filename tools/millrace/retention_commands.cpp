#include <map>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
using Query = Client<query::v1::QueryService>;
using Preview = query::v1::PreviewRetentionResponse;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;

struct RetentionArguments {
  std::string type;
  std::int32_t days = 0;
  bool forever = false;
  bool as_default = false;
  bool each_day = false;
  Format format = Format::kTable;

  [[nodiscard]] bool says_something() const { return days > 0 || forever || as_default; }
  [[nodiscard]] std::optional<std::int32_t> said() const {
    return as_default ? std::nullopt : std::optional(forever ? 0 : days);
  }
};

std::string days_text(std::int32_t days) { return days == 0 ? "for ever" : std::to_string(days) + " days"; }

void print(Session& session, const api::RetentionEntry& entry, Format format) {
  if (format == Format::kJson) {
    std::string types;
    for (const auto& type : entry.types()) {
      types += (types.empty() ? "" : ",") + json_string(type.type()) + ":" + std::to_string(type.days());
    }
    session.out() << "{\"tenant\":" << json_string(entry.tenant()) << ",\"days\":" << entry.days() << ",\"types\":{"
                  << types << "}}\n";
    return;
  }
  Table table({"DEVICES", "KEPT"});
  for (const auto& type : entry.types()) table.add({"of type " + type.type(), days_text(type.days())});
  table.add({entry.types().empty() ? "all" : "all others", days_text(entry.days())});
  table.print(session.out());
}

void set(Session& session, const RetentionArguments& arguments) {
  if (!arguments.says_something()) throw usage_error("nothing is said", "use --days N, --forever or --default");
  api::SetRetentionRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_type(arguments.type);
  if (const auto days = arguments.said()) request.set_days(*days);
  print(session,
        Registry(session.settings, Target::kRegistry)
            .call(&Service::StubInterface::SetRetention, request, "`millrace type list` shows the types"),
        arguments.format);
}

void show(Session& session, const RetentionArguments& arguments) {
  api::GetRetentionRequest request;
  request.set_tenant(session.settings.tenant);
  print(session, Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::GetRetention, request),
        arguments.format);
}

void add(const Preview::Amount& from, Preview::Amount& to) {
  to.set_series(to.series() + from.series());
  to.set_points(to.points() + from.points());
  to.set_bytes(to.bytes() + from.bytes());
}

/// Several days of one rule.
struct Sum {
  TimeUs first = 0;
  TimeUs last = 0;
  std::int64_t days = 0;
  Preview::Amount hot, compacted, archived;

  void add(const Preview::Day& day) {
    if (days++ == 0) first = day.day_us();
    last = day.day_us();
    cli::add(day.hot(), hot);
    cli::add(day.compacted(), compacted);
    cli::add(day.archived(), archived);
  }
};

std::string date(TimeUs time) { return format_rfc3339(time).substr(0, 10); }

std::string json_of(const char* name, const Preview::Amount& amount) {
  return ",\"" + std::string(name) + "\":{\"series\":" + std::to_string(amount.series()) +
         ",\"points\":" + std::to_string(amount.points()) + ",\"bytes\":" + std::to_string(amount.bytes()) + "}";
}

std::string json_of(const Preview::Day& day) {
  return "{\"day\":\"" + date(day.day_us()) + "\",\"type\":" + json_string(day.type()) + json_of("hot", day.hot()) +
         json_of("compacted", day.compacted()) + json_of("archived", day.archived()) + "}";
}

class Losses {
 public:
  explicit Losses(bool each_day)
      : each_day_(each_day),
        table_({"DEVICES", each_day ? "DAY" : "DAYS", "FROM", "TO", "HOT POINTS", "COMPACTED POINTS", "ARCHIVED POINTS",
                "BYTES"}) {}
  void add(const Preview::Day& day) { sums_[{each_day_ ? day.day_us() : 0, day.type()}].add(day); }
  void print(std::ostream& out) {
    std::int64_t points = 0;
    for (const auto& [key, sum] : sums_) {
      points += sum.hot.points() + sum.compacted.points() + sum.archived.points();
      table_.add({key.second.empty() ? "by the tenant's days" : "of type " + key.second, std::to_string(sum.days),
                  date(sum.first), date(sum.last + kDay), std::to_string(sum.hot.points()),
                  std::to_string(sum.compacted.points()), std::to_string(sum.archived.points()),
                  std::to_string(sum.hot.bytes() + sum.compacted.bytes() + sum.archived.bytes())});
    }
    if (!table_.empty()) table_.print(out);
    out << (table_.empty() ? "nothing would go" : std::to_string(points) + " points would go; nothing was removed")
        << '\n';
  }

 private:
  bool each_day_;
  Table table_;
  std::map<std::pair<TimeUs, std::string>, Sum> sums_;
};

void dry_run(Session& session, const RetentionArguments& arguments) {
  if (!arguments.type.empty() && !arguments.says_something())
    throw usage_error("--type says nothing alone", "use it with --days N, --forever or --default");
  query::v1::PreviewRetentionRequest request;
  request.set_tenant(session.settings.tenant);
  if (arguments.says_something()) {
    request.mutable_change()->set_type(arguments.type);
    if (const auto days = arguments.said()) request.mutable_change()->set_days(*days);
  }
  Query query(session.settings, Target::kQuery);
  Losses losses(arguments.each_day);
  do {
    const Preview page = query.call(&query::v1::QueryService::StubInterface::PreviewRetention, request);
    for (const Preview::Day& day : page.days()) {
      if (arguments.format == Format::kJson) session.out() << json_of(day) << '\n';
      losses.add(day);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format == Format::kTable) losses.print(session.out());
}

void add_rule_options(CLI::App& command, RetentionArguments& arguments) {
  command.add_option("--type", arguments.type, "of the devices of this type, in place of the tenant's");
  auto* days = command.add_option("--days", arguments.days, "a day goes so many days after its end, UTC")
                   ->check(CLI::Range(1, 36'500));
  auto* forever = command.add_flag("--forever", arguments.forever, "no day goes")->excludes(days);
  command.add_flag("--default", arguments.as_default, "as if none had ever been set")
      ->excludes(days)
      ->excludes(forever);
  add_format_option(command, arguments.format, {"table", "json"});
}

}  // namespace

void add_retention_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "retention", "for how long readings are kept, by tenant and type of device");
  auto arguments = std::make_shared<RetentionArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set_command =
      add_command(*group, session, "set", "set it (needs an admin key); what is older goes within minutes, for good",
                  "  millrace retention set --days 400\n"
                  "  millrace retention set --type doorbell --days 30\n"
                  "  millrace retention set --type meter --forever\n"
                  "  millrace retention set --type meter --default     (as the tenant's)",
                  with(set));
  add_rule_options(*set_command, *arguments);
  CLI::App* show_command = add_command(*group, session, "show", "show it", "  millrace retention show", with(show));
  add_format_option(*show_command, arguments->format, {"table", "json"});
  CLI::App* dry =
      add_command(*group, session, "dry-run", "what goes next, or would go with other days; removes nothing",
                  "  millrace retention dry-run\n"
                  "  millrace retention dry-run --days 90\n"
                  "  millrace retention dry-run --type doorbell --days 30 --each-day",
                  with(dry_run));
  add_rule_options(*dry, *arguments);
  dry->add_flag("--each-day", arguments->each_day, "a line for each day");
}

}  // namespace millrace::cli
