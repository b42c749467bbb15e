#include <chrono>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct ReceiptArguments {
  std::string receipt;
  double wait_seconds = 0;
  Format format = Format::kTable;
};

std::string state_text(api::ReceiptState state) {
  std::string name = api::ReceiptState_Name(state);
  constexpr std::string_view kPrefix = "RECEIPT_STATE_";
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  for (char& c : name) c = c == '_' ? '-' : static_cast<char>(c | 0x20);
  return name;
}

int exit_code_of(api::ReceiptState state) {
  if (state == api::RECEIPT_STATE_STORED) return kExitOk;
  if (state == api::RECEIPT_STATE_PENDING) return kExitPending;
  const bool not_stored = state == api::RECEIPT_STATE_PARTLY || state == api::RECEIPT_STATE_DEAD_LETTERED ||
                          state == api::RECEIPT_STATE_REFUSED || state == api::RECEIPT_STATE_LOST;
  return not_stored ? kExitNotStored : kExitUnknown;  // unknown also: what a later query-api may say
}

api::GetReceiptResponse ask(Session& session, const ReceiptArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::GetReceiptRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_receipt(arguments.receipt);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(arguments.wait_seconds);
  for (;;) {
    auto answer = query.call(&api::QueryService::StubInterface::GetReceipt, request);
    if (answer.state() != api::RECEIPT_STATE_PENDING || std::chrono::steady_clock::now() >= deadline) return answer;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void show_receipt(Session& session, const ReceiptArguments& arguments) {
  const auto answer = ask(session, arguments);
  const std::string state = state_text(answer.state());
  session.exit_code = exit_code_of(answer.state());
  if (arguments.format == Format::kJson) {
    session.out() << "{\"receipt\":" << json_string(answer.receipt()) << ",\"state\":" << json_string(state)
                  << ",\"reason\":" << json_string(answer.reason());
    if (!answer.original().empty()) session.out() << ",\"original\":" << json_string(answer.original());
    session.out() << "}\n";
    return;
  }
  session.out() << answer.receipt() << "  " << state;
  if (!answer.reason().empty()) session.out() << "  " << printable(answer.reason());
  if (!answer.original().empty()) session.out() << "  (a copy of " << answer.original() << ')';
  session.out() << '\n';
}

}  // namespace

void add_receipt_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ReceiptArguments>();
  CLI::App* command =
      add_command(app, session, "receipt", "what became of an acknowledged message",
                  "  millrace receipt 3:4711\n"
                  "  millrace receipt 3:4711 --json            {\"receipt\",\"state\",\"reason\"}\n"
                  "  millrace receipt 3:4711 --wait 10         ask again while it is pending\n"
                  "Exit codes: 0 stored; 3 pending, with --wait: still, at its end; 4 unknown, expired or deleted: "
                  "nothing\ncan be said; 5 partly, dead-lettered, refused or lost: not stored, or not all of it. "
                  "1 and 2 are no answer.",
                  [&session, arguments] { show_receipt(session, *arguments); });
  command->add_option("RECEIPT", arguments->receipt, "partition:offset, or dead:partition:offset")->required();
  command->add_option("--wait", arguments->wait_seconds, "seconds to wait while it is pending (0)")
      ->check(CLI::Range(0.0, 86'400.0).description(""));
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
