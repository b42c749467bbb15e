#include <deque>
#include <functional>
#include <iterator>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>
#include <millrace/telemetry/payload.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "secret_input.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

constexpr std::int32_t kMostOfPage = 1'000;

struct DeadArguments {
  std::string receipt;
  bool all = false;
  std::string device;
  std::string reason;
  std::string file;
  std::string content_type;
  std::int64_t limit = 100;
  bool newest = false;
  bool raw = false;
  Format format = Format::kTable;
};

std::string points_text(const api::DeadLetter& letter) {
  std::string text;
  for (const int point : letter.points()) text += (text.empty() ? "" : ",") + std::to_string(point);
  return text;
}

std::string json_of(const api::DeadLetter& letter) {
  return "{\"receipt\":" + json_string(letter.receipt()) + ",\"source\":" + json_string(letter.source()) +
         ",\"device\":" + json_string(letter.device()) + ",\"reason\":" + json_string(letter.reason()) +
         ",\"time\":" + json_string(format_rfc3339(letter.time_us())) + ",\"points\":[" + points_text(letter) +
         "],\"payload_bytes\":" + std::to_string(letter.payload_bytes()) +
         ",\"payload_base64\":" + json_string(to_base64(letter.payload())) + "}";
}

bool is_cut(const api::DeadLetter& letter) {
  return letter.payload_bytes() > static_cast<std::int64_t>(letter.payload().size());
}

/// How much of the payload came: `42 bytes`, or that it is only the beginning.
std::string payload_size_text(const api::DeadLetter& letter) {
  const std::string came = std::to_string(letter.payload().size());
  if (!is_cut(letter)) return came + " bytes";
  return "the first " + came + " of " + std::to_string(letter.payload_bytes()) + " bytes";
}

/// At most `size` bytes, and no part of a character at the end.
std::string_view beginning(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return text.substr(0, size);
}

/// Dead letters as they are printed, in the order in which they are added.
class LetterList {
 public:
  LetterList(Format format, std::ostream& out) : json_(format == Format::kJson), out_(out) {}

  void add(const api::DeadLetter& letter) {
    if (json_) {
      out_ << (empty_ ? "[" : ",\n") << json_of(letter);
    } else {
      table_.add({letter.receipt(), format_rfc3339(letter.time_us()), letter.device(), printable(letter.reason())});
    }
    empty_ = false;
  }
  void finish() {
    if (json_) {
      out_ << (empty_ ? "[]\n" : "]\n");
    } else if (empty_) {
      out_ << "no dead letters\n";
    } else {
      table_.print(out_);
    }
  }

 private:
  bool json_;
  bool empty_ = true;
  std::ostream& out_;
  Table table_{{"RECEIPT", "TIME", "DEVICE", "REASON"}};
};

/// Gives `take` the tenant's dead letters, oldest first, until it says false or there are no more. query-api knows no
/// other order: it reads the topic from its beginning.
void each_letter(Session& session, std::int32_t page_size, const std::function<bool(const api::DeadLetter&)>& take) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::ListDeadLettersRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_page_size(page_size);
  do {
    const auto page = query.call(&api::QueryService::StubInterface::ListDeadLetters, request);
    for (const auto& letter : page.dead_letters()) {
      if (!take(letter)) return;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
}

void list_oldest(Session& session, const DeadArguments& arguments) {
  LetterList list(arguments.format, session.out());
  const auto page_size = static_cast<std::int32_t>(std::min<std::int64_t>(arguments.limit, kMostOfPage - 1) + 1);
  bool more = false;
  std::int64_t left = arguments.limit;
  each_letter(session, page_size, [&](const api::DeadLetter& letter) {
    more = left-- == 0;
    if (!more) list.add(letter);
    return !more;
  });
  list.finish();
  if (more) session.err() << "millrace: there are newer ones; --newest shows the last\n";
}

void list_newest(Session& session, const DeadArguments& arguments) {
  std::deque<api::DeadLetter> last;
  each_letter(session, kMostOfPage, [&](const api::DeadLetter& letter) {
    last.push_back(letter);
    if (arguments.format != Format::kJson) last.back().clear_payload();
    if (std::ssize(last) > arguments.limit) last.pop_front();
    return true;
  });
  LetterList list(arguments.format, session.out());
  for (const api::DeadLetter& letter : last) list.add(letter);
  list.finish();
}

void print_letter(Session& session, const api::DeadLetter& letter) {
  std::ostream& out = session.out();
  out << "receipt  " << letter.receipt() << "\ntime     " << format_rfc3339(letter.time_us()) << "\ndevice   "
      << letter.device() << "\nreason   " << printable(letter.reason()) << '\n';
  if (!letter.source().empty()) out << "source   " << letter.source() << '\n';
  if (letter.points_size() > 0) out << "points   " << points_text(letter) << '\n';
  constexpr std::size_t kMostShown = 1024;
  const std::string_view shown = beginning(letter.payload(), kMostShown);
  out << "payload  " << payload_size_text(letter) << '\n' << printable(shown) << '\n';
  if (shown.size() < letter.payload().size()) {
    out << "... (" << letter.payload().size() - shown.size() << " bytes more: `millrace dead show " << letter.receipt()
        << " --raw > FILE`)\n";
  }
}

void show_dead(Session& session, const DeadArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::ListDeadLettersRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_receipt(arguments.receipt);
  const auto answer = query.call(&api::QueryService::StubInterface::ListDeadLetters, request);
  if (answer.dead_letters().empty()) {
    throw CommandError("there is no dead letter " + arguments.receipt, "`millrace dead list` shows them");
  }
  const auto& letter = answer.dead_letters(0);
  if (arguments.raw) {
    session.out().write(letter.payload().data(), static_cast<std::streamsize>(letter.payload().size()));
    if (is_cut(letter)) session.err() << "millrace: this is " << payload_size_text(letter) << '\n';
  } else if (arguments.format == Format::kJson) {
    session.out() << json_of(letter) << '\n';
  } else {
    print_letter(session, letter);
  }
}

/// What became of many.
struct Replayed {
  std::int64_t done = 0;
  std::int64_t skipped = 0;  // replayed before, or their points cannot be read

  void print(std::ostream& out, Format format) const {
    if (format == Format::kJson) {
      out << "{\"replayed\":" << done << ",\"skipped\":" << skipped << "}\n";
      return;
    }
    out << done << " dead letters replayed";
    if (skipped > 0) out << ", " << skipped << " skipped: replayed before, or their points cannot be read";
    out << '\n';
  }
};

bool is_wanted(const DeadArguments& arguments, const api::DeadLetter& letter) {
  // A refused payload was never acknowledged and has no source.
  return !letter.source().empty() && (arguments.device.empty() || letter.device() == arguments.device) &&
         letter.reason().find(arguments.reason) != std::string::npos;
}

/// Whether it was this call that put the points into the log.
bool replay_one(Client<registry::v1::RegistryService>& registry, const Session& session, const std::string& receipt) {
  registry::v1::ReplayDeadLetterRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_receipt(receipt);
  grpc::ClientContext context;
  authorize(context, session.settings);
  context.set_deadline(std::chrono::system_clock::now() + session.settings.timeout);
  registry::v1::ReplayDeadLetterResponse answer;
  const grpc::Status status = registry.stub().ReplayDeadLetter(&context, request, &answer);
  const bool is_settled = status.error_code() == grpc::StatusCode::ALREADY_EXISTS ||
                          status.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
  if (!status.ok() && !is_settled) registry.fail(status);
  return status.ok();
}

void replay_all(Session& session, const DeadArguments& arguments) {
  // All are known before the first is replayed: what is refused again is a new letter at the end of the list.
  std::vector<std::string> wanted;
  each_letter(session, kMostOfPage, [&](const api::DeadLetter& letter) {
    if (is_wanted(arguments, letter)) wanted.push_back(letter.receipt());
    return true;
  });
  Client<registry::v1::RegistryService> registry(session.settings, Target::kRegistry);
  Replayed replayed;
  for (const std::string& receipt : wanted) {
    ++(replay_one(registry, session, receipt) ? replayed.done : replayed.skipped);
    const std::int64_t so_far = replayed.done + replayed.skipped;
    if (so_far % 1000 == 0) session.err() << so_far << " of " << wanted.size() << " letters\n";
  }
  replayed.print(session.out(), arguments.format);
}

void put_again(Session& session, const DeadArguments& arguments, registry::v1::ReplayDeadLetterRequest& request,
               std::string_view done) {
  request.set_tenant(session.settings.tenant);
  Client<registry::v1::RegistryService> registry(session.settings, Target::kRegistry);
  const auto answer = registry.call(&registry::v1::RegistryService::StubInterface::ReplayDeadLetter, request,
                                    "`millrace dead list` shows them");
  if (arguments.format == Format::kJson) {
    session.out() << "{\"receipt\":" << json_string(answer.receipt()) << "}\n";
  } else {
    session.out() << done << " as " << answer.receipt() << "; `millrace receipt " << answer.receipt()
                  << "` shows what becomes of it\n";
  }
}

void replay_dead(Session& session, const DeadArguments& arguments) {
  const bool narrowed = !arguments.device.empty() || !arguments.reason.empty();
  if (arguments.all == !arguments.receipt.empty() || (narrowed && !arguments.all)) {
    throw usage_error("either a RECEIPT, or --all with --device and --reason to narrow it",
                      "`millrace dead list` shows what there is");
  }
  if (arguments.all) return replay_all(session, arguments);
  registry::v1::ReplayDeadLetterRequest request;
  request.set_receipt(arguments.receipt);
  put_again(session, arguments, request, "replayed");
}

void fix_dead(Session& session, const DeadArguments& arguments) {
  registry::v1::ReplayDeadLetterRequest request;
  request.set_receipt(arguments.receipt);
  request.mutable_correction()->set_content_type(arguments.content_type);
  request.mutable_correction()->set_payload(
      read_input("FILE", arguments.file, session.in(), telemetry::PayloadLimits{}.max_bytes));
  put_again(session, arguments, request, "corrected");
}

}  // namespace

void add_dead_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "dead", "dead letters: payloads that were refused, points that could not be stored");
  auto arguments = std::make_shared<DeadArguments>();
  CLI::App* list =
      add_command(*group, session, "list", "list the tenant's dead letters, oldest first",
                  "  millrace dead list --limit 20\n"
                  "  millrace dead list --newest --limit 20    the last 20, newest last",
                  [&session, arguments] {
                    arguments->newest ? list_newest(session, *arguments) : list_oldest(session, *arguments);
                  });
  list->add_option("--limit", arguments->limit, "at most so many (100)")->check(at_least(1));
  list->add_flag("--newest", arguments->newest, "the last ones: reads all that the tenant has, which may take a while");
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* show =
      add_command(*group, session, "show", "one dead letter with its bytes",
                  "  millrace dead show dead:3:12\n"
                  "  millrace dead show dead:3:12 --raw > payload\n"
                  "query-api gives the first 64 KiB of a payload; the topic telemetry.dead keeps all of it.",
                  [&session, arguments] { show_dead(session, *arguments); });
  show->add_option("RECEIPT", arguments->receipt, "dead:partition:offset")->required();
  show->add_flag("--raw", arguments->raw,
                 "only the bytes, all that query-api gives; else the first 1,024 of them are shown");
  add_format_option(*show, arguments->format, {"table", "json"});
  CLI::App* replay =
      add_command(*group, session, "replay", "store the points of a dead letter after all, once",
                  "  millrace dead replay dead:3:12\n"
                  "  millrace dead replay --all --reason no_666\n"
                  "For points that were acknowledged and could not be stored, when the cause is gone. They "
                  "keep their times.",
                  [&session, arguments] { replay_dead(session, *arguments); });
  replay->add_option("RECEIPT", arguments->receipt, "dead:partition:offset");
  replay->add_flag("--all", arguments->all, "all that were not replayed yet; refused payloads never are");
  replay->add_option("--device", arguments->device, "with --all: of this device");
  replay->add_option("--reason", arguments->reason, "with --all: whose reason has this text in it");
  add_format_option(*replay, arguments->format, {"table", "json"});
  CLI::App* fix =
      add_command(*group, session, "fix", "store a corrected payload in place of a dead letter, once",
                  "  millrace dead show dead:3:12 --raw > payload.json\n"
                  "  millrace dead fix dead:3:12 payload.json\n"
                  "For refused payloads, and for points that can never be stored as they are. The payload is what "
                  "the device could have sent, with whole names of metrics; points without a time get the letter's.",
                  [&session, arguments] { fix_dead(session, *arguments); });
  fix->add_option("RECEIPT", arguments->receipt, "dead:partition:offset")->required();
  fix->add_option("FILE", arguments->file, "the corrected payload; - is standard input")->required();
  fix->add_option("--content-type", arguments->content_type, "what it is (application/json)");
  add_format_option(*fix, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
