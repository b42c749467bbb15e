// `millrace admin presence`: which devices are connected, and how the others went, from the topic itself.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>
#include <millrace/kafka/topic_follower.hpp>
#include <millrace/kafka/topics.hpp>

#include "admin_commands.hpp"
#include "format_option.hpp"
#include "presence_roll.hpp"
#include "presence_text.hpp"
#include "stop_signals.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

using devices::v1::Presence;

struct PresenceArguments {
  std::vector<std::string> devices;
  std::string gateway;
  bool online = false;
  bool follow = false;
  Format format = Format::kTable;
};

bool is_asked_for(const PresenceArguments& arguments, const Presence& record) {
  const auto names = [&](const std::string& wanted) {
    return wanted == record.device() || wanted == record.tenant() + "/" + record.device();
  };
  return (arguments.devices.empty() || std::any_of(arguments.devices.begin(), arguments.devices.end(), names)) &&
         (arguments.gateway.empty() || arguments.gateway == record.gateway());
}

/// Reads the topic; prints who is there when its end is reached, and then what comes.
class PresenceReader {
 public:
  PresenceReader(Session& session, const PresenceArguments& arguments)
      : session_(session),
        arguments_(arguments),
        follower_({.bootstrap = session.settings.kafka, .client_id = "millrace-admin", .properties = {}},
                  kafka::TopicNames{session.settings.topic_prefix}.presence(),
                  {.on_again = {},
                   .on_record = [this](const kafka::Record& record) { take(record); },
                   .on_complete = [this] { complete(); }}) {}

  void run() {
    const sigset_t signals = block_stop_signals();
    follower_.start();
    if (!wait_complete()) {
      follower_.stop();
      throw kafka_fault(session_.settings, {ErrorKind::kUnavailable, "the topic presence was not read to its end"});
    }
    if (arguments_.follow) {
      int number = 0;
      sigwait(&signals, &number);
    }
    follower_.stop();
    if (!arguments_.follow) print_all();
  }

 private:
  void take(const kafka::Record& record) {
    Presence presence;
    if (record.is_tombstone() ||
        !presence.ParseFromArray(record.value().data(), static_cast<int>(record.value().size())))
      return;
    const std::lock_guard lock(mutex_);
    const std::string key = presence.tenant() + "/" + presence.device() + "/" + presence.client_id();
    if (!roll_.take(std::move(presence), static_cast<std::uint64_t>(record.offset())) || !complete_) return;
    const PresenceRoll::Entry& entry = roll_.clients().at(key);
    if (arguments_.follow && is_asked_for(arguments_, entry.record)) print_now(entry);
  }

  void complete() {
    const std::lock_guard lock(mutex_);
    complete_ = true;
    changed_.notify_all();
  }

  bool wait_complete() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, session_.settings.timeout, [this] { return complete_; });
  }

  void print_now(const PresenceRoll::Entry& entry) {
    if (arguments_.format == Format::kJson) {
      session_.out() << presence_json(entry) << '\n';
    } else {
      const char* gap = "";
      for (const std::string& cell : presence_row(entry)) {
        if (cell.empty()) continue;
        session_.out() << gap << cell;
        gap = "  ";
      }
      session_.out() << '\n';
    }
    session_.out().flush();
  }

  void print_all() {
    Table table(presence_heading());
    for (const auto& [key, entry] : roll_.clients()) {
      if (!is_asked_for(arguments_, entry.record) || (arguments_.online && !entry.connected())) continue;
      if (arguments_.format == Format::kJson) {
        session_.out() << presence_json(entry) << '\n';
      } else {
        table.add(presence_row(entry));
      }
    }
    if (arguments_.format != Format::kJson) table.print(session_.out());
  }

  Session& session_;
  const PresenceArguments& arguments_;
  std::mutex mutex_;
  std::condition_variable changed_;
  PresenceRoll roll_;  // under the mutex, as complete_
  bool complete_ = false;
  kafka::TopicFollower follower_;
};

}  // namespace

void add_presence_command(CLI::App& group, Session& session) {
  auto arguments = std::make_shared<PresenceArguments>();
  CLI::App* command =
      add_command(group, session, "presence", "which devices are connected over MQTT, and how and when the others went",
                  "  millrace admin presence meter-1\n"
                  "  millrace admin presence --online --gateway gateway-1\n"
                  "  millrace admin presence --follow --json      what happens from now on",
                  [&session, arguments] { PresenceReader(session, *arguments).run(); });
  command->add_option("DEVICE", arguments->devices, "only these: device, or tenant/device");
  command->add_option("--gateway", arguments->gateway, "only connections of the gateway of this name");
  command->add_flag("--online", arguments->online, "only those that are connected");
  command->add_flag("--follow", arguments->follow, "print what happens from now on, until Ctrl-C");
  command->add_option("--topic-prefix", session.flags.topic_prefix, "prefix of all topics (millrace.)");
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
