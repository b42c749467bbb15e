// Commands against services that answer what a test wants: what is printed, and with which code they end.
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>

#include "admin_commands.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "said.hpp"

namespace millrace::cli {
namespace {

namespace query = query::v1;
namespace registry = registry::v1;
using alerts::v1::Alert;

class FakeQuery : public query::QueryService::Service {
 public:
  grpc::Status GetReceipt(grpc::ServerContext* /*context*/, const query::GetReceiptRequest* request,
                          query::GetReceiptResponse* response) override {
    *response = receipt.get();
    response->set_receipt(request->receipt());
    return grpc::Status::OK;
  }
  grpc::Status ListDeadLetters(grpc::ServerContext* /*context*/, const query::ListDeadLettersRequest* /*request*/,
                               query::ListDeadLettersResponse* response) override {
    *response->add_dead_letters() = letter.get();
    return grpc::Status::OK;
  }
  grpc::Status ListAlerts(grpc::ServerContext* /*context*/, const query::ListAlertsRequest* /*request*/,
                          query::ListAlertsResponse* response) override {
    *response->add_alerts() = alert.get();
    return grpc::Status::OK;
  }
  grpc::Status ListWindows(grpc::ServerContext* /*context*/, const query::ListWindowsRequest* /*request*/,
                           query::ListWindowsResponse* response) override {
    *response->add_windows() = window.get();
    return grpc::Status::OK;
  }

  grpc::Status GetLedger(grpc::ServerContext* /*context*/, const query::GetLedgerRequest* request,
                         query::GetLedgerResponse* response) override {
    if (!request->device().empty()) {
      *response->mutable_device() = ledger_device.get();
    } else {
      *response->add_hours() = ledger_hour.get();
      if (request->page_token().empty()) response->set_next_page_token("more");
      if (request->page_token().empty()) response->add_refused()->set_kept(3);
    }
    return grpc::Status::OK;
  }

  Said<query::LedgerHour> ledger_hour;
  Said<query::LedgerDevice> ledger_device;
  Said<query::GetReceiptResponse> receipt;
  Said<query::DeadLetter> letter;
  Said<Alert> alert;
  Said<stream::v1::WindowResult> window;
};

/// Knows the devices by their digests, and refuses one that others have made. A dead letter is replayed once.
class FakeRegistry : public registry::RegistryService::Service {
 public:
  grpc::Status ReplayDeadLetter(grpc::ServerContext* /*context*/, const registry::ReplayDeadLetterRequest* request,
                                registry::ReplayDeadLetterResponse* response) override {
    bool first = false;
    replayed.change([&](std::map<std::string, int>& counts) { first = ++counts[request->receipt()] == 1; });
    if (!first) return {grpc::StatusCode::ALREADY_EXISTS, "it was replayed by 3:5"};
    if (request->has_correction()) correction.change([&](auto& last) { last = request->correction(); });
    response->set_receipt("3:5");
    return grpc::Status::OK;
  }
  Said<std::map<std::string, int>> replayed;
  Said<registry::Correction> correction;

  grpc::Status ImportDevices(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<registry::ImportDeviceResult, registry::CreateDeviceRequest>* stream) override {
    registry::CreateDeviceRequest request;
    while (stream->Read(&request)) {
      registry::ImportDeviceResult result;
      result.set_device(request.device());
      const auto [known, is_new] = devices.emplace(request.device(), request.token_sha256());
      result.set_existed(!is_new);
      if (known->second != request.token_sha256()) {
        result.set_error_code(static_cast<int>(grpc::StatusCode::ALREADY_EXISTS));
        result.set_error("there is such a device");
      }
      stream->Write(result);
    }
    return grpc::Status::OK;
  }

  std::map<std::string, std::string> devices;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class ServiceCommands : public ::testing::Test {
 protected:
  ServiceCommands() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&query_);
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
  }
  ~ServiceCommands() override { std::filesystem::remove_all(folder_); }

  Outcome run(std::vector<std::string> arguments, const std::string& input = {}) const {
    const std::string address = "127.0.0.1:" + std::to_string(port_);
    arguments.insert(arguments.end(),
                     {"--query", address, "--registry", address, "--api-key", "mk_x", "--tenant", "t"});
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_command_line(std::move(arguments), {in, out, err});
    return {code, out.str(), err.str()};
  }

  std::string file(const std::string& text) const {
    std::filesystem::create_directories(folder_);
    const std::filesystem::path path = folder_ / "fleet.csv";
    std::ofstream(path) << text;
    return path.string();
  }

  FakeQuery query_;
  FakeRegistry registry_;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("millrace-commands-" + to_hex(random_bytes(4)));
};

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(ServiceCommands, AReceiptsExitCodeSaysWhatBecameOfIt) {
  struct Case {
    query::ReceiptState state;
    int code;
  };
  for (const Case& one : {Case{query::RECEIPT_STATE_STORED, 0}, Case{query::RECEIPT_STATE_PENDING, 3},
                          Case{query::RECEIPT_STATE_UNKNOWN, 4}, Case{query::RECEIPT_STATE_EXPIRED, 4},
                          Case{query::RECEIPT_STATE_DELETED, 4}, Case{query::RECEIPT_STATE_PARTLY, 5},
                          Case{query::RECEIPT_STATE_DEAD_LETTERED, 5}, Case{query::RECEIPT_STATE_REFUSED, 5},
                          Case{query::RECEIPT_STATE_LOST, 5}}) {
    query_.receipt.change([&](query::GetReceiptResponse& receipt) { receipt.set_state(one.state); });
    for (const std::string format : {"table", "json"}) {
      const Outcome told = run({"receipt", "3:4711", "--format", format, "--wait", "0.05"});
      EXPECT_EQ(told.code, one.code) << told.out << told.err;
      EXPECT_TRUE(holds(told.out, "3:4711"));
    }
  }
  query_.receipt.change([](query::GetReceiptResponse& receipt) {
    receipt.set_state(query::RECEIPT_STATE_UNKNOWN);
    receipt.set_reason("beyond the end of the log");
  });
  EXPECT_EQ(run({"receipt", "3:4711"}).out, "3:4711  unknown  beyond the end of the log\n");
}

TEST_F(ServiceCommands, AReceiptsHelpNamesItsExitCodes) {
  const Outcome help = run({"receipt", "--help"});
  for (const std::string part : {"0 stored", "3 pending", "4 unknown", "5 partly"}) EXPECT_TRUE(holds(help.out, part));
}

TEST_F(ServiceCommands, TheLedgerAddsItsPagesUpAndItsExitCodeSaysWhetherSomethingIsMissing) {
  query_.ledger_hour.change([](query::LedgerHour& hour) {
    hour.set_hour_us(1'767'225'600'000'000);
    hour.set_partition(3);
    hour.set_acknowledged(10);
    hour.set_in_log(12);
    hour.set_records(12);
    hour.set_points(30);
    hour.set_inserted(20);
  });
  const Outcome whole = run({"ledger", "--from", "2026-01-01", "--to", "2026-01-02"});
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_TRUE(holds(whole.out, "acknowledged  20 ")) << whole.out;
  EXPECT_TRUE(holds(whole.out, "  repeated    20 ")) << whole.out;
  query_.ledger_hour.change([](query::LedgerHour& hour) {
    hour.clear_in_log();
    hour.set_missing(2);
  });
  const Outcome lost = run({"ledger", "--hours", "--from", "2026-01-01", "--to", "2026-01-02"});
  EXPECT_EQ(lost.code, 6);
  EXPECT_TRUE(holds(lost.out, "2026-01-01T00:00:00Z")) << lost.out;
  EXPECT_TRUE(holds(lost.out, "gone")) << lost.out;
  EXPECT_TRUE(holds(lost.out, "missing       4 ")) << lost.out;
  const Outcome json = run({"ledger", "--from", "2026-01-01", "--to", "2026-01-02", "--json"});
  EXPECT_TRUE(holds(json.out, "\"in_log\":null")) << json.out;
  EXPECT_TRUE(holds(json.out, "\"missing\":4,\"refused\":3}\n")) << json.out;
}

TEST_F(ServiceCommands, TheLedgerOfADeviceSaysWhereItStops) {
  query_.ledger_device.change([](query::LedgerDevice& device) {
    device.set_in_log(7);
    device.set_stored(6);
    device.set_copies(1);
    device.set_continue_from_us(1'767'225'600'000'000);
  });
  const Outcome shown = run({"ledger", "--device", "m-1"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_TRUE(holds(shown.out, "messages in the log  7\n")) << shown.out;
  EXPECT_TRUE(holds(shown.out, "go on with --from 2026-01-01T00:00:00Z")) << shown.out;
}

TEST_F(ServiceCommands, ADeadLetterIsShownInItsBeginningAndSaysSo) {
  query_.letter.change([](query::DeadLetter& letter) {
    letter.set_receipt("dead:3:12");
    letter.set_payload(std::string(1023, 'x') + "\xC3\xBC" + std::string(3000, 'y'));
    letter.set_payload_bytes(120'000);
  });
  const Outcome shown = run({"dead", "show", "dead:3:12"});
  EXPECT_TRUE(holds(shown.out, "the first 4025 of 120000 bytes")) << shown.out;
  EXPECT_TRUE(holds(shown.out, std::string(1023, 'x') + "\n... (3002 bytes more")) << shown.out;
  EXPECT_TRUE(holds(shown.out, "--raw"));
  const Outcome raw = run({"dead", "show", "dead:3:12", "--raw"});
  EXPECT_EQ(raw.out, query_.letter.get().payload());
  EXPECT_TRUE(holds(raw.err, "the first 4025 of 120000 bytes")) << raw.err;
  EXPECT_TRUE(holds(run({"dead", "show", "dead:3:12", "--json"}).out, "\"payload_bytes\":120000"));

  query_.letter.change([](query::DeadLetter& letter) {
    letter.set_payload("{bad");
    letter.set_payload_bytes(4);
  });
  EXPECT_TRUE(holds(run({"dead", "show", "dead:3:12"}).out, "payload  4 bytes\n{bad\n"));
  EXPECT_EQ(run({"dead", "show", "dead:3:12", "--raw"}).err, "");
}

TEST_F(ServiceCommands, AllDeadLettersAreReplayedThatAreAskedForAndCanBe) {
  query_.letter.change([](query::DeadLetter& letter) {
    letter.set_receipt("dead:3:12");
    letter.set_source("3:4");
    letter.set_device("m-1");
    letter.set_reason("23514: violates check constraint no_666");
  });
  EXPECT_EQ(run({"dead", "replay", "--all", "--device", "m-2"}).out, "0 dead letters replayed\n");
  EXPECT_EQ(run({"dead", "replay", "--all", "--reason", "other"}).out, "0 dead letters replayed\n");
  EXPECT_EQ(run({"dead", "replay", "--all", "--reason", "no_666"}).out, "1 dead letters replayed\n");
  EXPECT_EQ(run({"dead", "replay", "--all", "--json"}).out, "{\"replayed\":0,\"skipped\":1}\n");
  query_.letter.change([](query::DeadLetter& letter) { letter.clear_source(); });
  EXPECT_EQ(run({"dead", "replay", "--all", "--json"}).out, "{\"replayed\":0,\"skipped\":0}\n") << "a refused payload";
  EXPECT_EQ(run({"dead", "replay"}).code, kExitUsage);
  EXPECT_EQ(run({"dead", "replay", "dead:3:12", "--all"}).code, kExitUsage);
  EXPECT_EQ(run({"dead", "replay", "dead:3:12", "--device", "m-1"}).code, kExitUsage);
}

TEST_F(ServiceCommands, ACorrectionIsSentAsItIs) {
  EXPECT_EQ(run({"dead", "fix", "dead:3:12"}).code, kExitUsage);
  EXPECT_NE(run({"dead", "fix", "dead:3:12", "/no/such/file"}).code, 0);
  const Outcome fixed = run({"dead", "fix", "dead:3:12", "-", "--content-type", "application/cbor"}, "\x01\xff");
  EXPECT_EQ(fixed.code, 0) << fixed.err;
  EXPECT_TRUE(holds(fixed.out, "corrected as 3:5")) << fixed.out;
  EXPECT_EQ(registry_.correction.get().payload(), "\x01\xff");
  EXPECT_EQ(registry_.correction.get().content_type(), "application/cbor");
  EXPECT_NE(run({"dead", "fix", "dead:3:12", "-"}, "{}").code, 0) << "once";
}

TEST_F(ServiceCommands, AnAlertThatItsRuleTookAlongSaysSo) {
  query_.alert.change([](Alert& alert) {
    alert.set_state(alerts::v1::STATE_CLEARED);
    alert.set_cleared_at_us(kUsPerSecond);
    alert.set_clear_reason(alerts::v1::CLEAR_REASON_RULE);
  });
  EXPECT_TRUE(holds(run({"alerts"}).out, "1970-01-01T00:00:01Z (rule deleted or disabled)"));
  query_.alert.change([](Alert& alert) { alert.set_clear_reason(alerts::v1::CLEAR_REASON_READING); });
  EXPECT_FALSE(holds(run({"alerts"}).out, "rule deleted"));
}

TEST_F(ServiceCommands, ATableOfWindowsIsRoundedAndCsvIsExact) {
  query_.window.change([](stream::v1::WindowResult& window) { window.set_mean(470.11650000000003); });
  EXPECT_TRUE(holds(run({"windows", "m", "p"}).out, " 470.1165 "));
  EXPECT_TRUE(holds(run({"windows", "m", "p", "--format", "csv"}).out, ",470.11650000000003,"));
  EXPECT_TRUE(holds(run({"windows", "m", "p", "--json"}).out, "\"mean\":470.11650000000003"));
}

TEST_F(ServiceCommands, AnImportTellsEachTimeThatALineNamesADeviceAgain) {
  const std::string fleet = file("m-1\nm-2\nm-1\nm-3\n");
  const std::string told = "line 3: m-1: the file names this device a second time\n";
  const Outcome first = run({"device", "import", fleet});
  EXPECT_EQ(first.code, kExitFailed);
  EXPECT_TRUE(holds(first.err, told)) << first.err;
  EXPECT_TRUE(holds(first.out, "created 3, already there 0, refused 1")) << first.out;
  const Outcome second = run({"device", "import", fleet});
  EXPECT_EQ(second.code, kExitFailed);
  EXPECT_TRUE(holds(second.err, told)) << second.err;
  EXPECT_TRUE(holds(second.out, "created 0, already there 3, refused 1")) << second.out;
}

TEST_F(ServiceCommands, AnImportTellsOfADeviceThatItPassesOverTwice) {
  registry_.devices = {{"m-1", "somebody else's"}};
  const Outcome done = run({"device", "import", file("m-1\nm-2\nm-1\n"), "--skip-existing"});
  EXPECT_TRUE(holds(done.out, "created 1, already there 1, refused 1")) << done.out;
  EXPECT_TRUE(holds(done.err, "line 3: m-1: the file names this device a second time")) << done.err;
}

TEST_F(ServiceCommands, AnImportGoesOnBehindAQuoteThatIsNotClosed) {
  const Outcome done = run({"device", "import", file("device,site\nm-1,\"north\nm-2,south\nm-3,west\n")});
  EXPECT_EQ(done.code, kExitFailed);
  EXPECT_TRUE(holds(done.out, "created 2, already there 0, refused 1")) << done.out;
  EXPECT_TRUE(holds(done.err, "line 2: ")) << done.err;
  EXPECT_FALSE(holds(done.out, "devices/s")) << "too short to tell: " << done.out;
}

TEST_F(ServiceCommands, AnImportUnderAWrongHeaderCreatesNothingAndSaysItOnce) {
  const Outcome done = run({"device", "import", file("site,device\nnorth,m-1\nnorth,m-2\n")});
  EXPECT_EQ(done.code, kExitFailed);
  EXPECT_TRUE(registry_.devices.empty());
  EXPECT_TRUE(holds(done.err, "`device` first")) << done.err;
  EXPECT_FALSE(holds(done.err, "line 2")) << done.err;
}

TEST(KafkaFault, AdvisesByWhatKafkaSaid) {
  const Settings settings;
  const auto advice = [&](ErrorKind kind) { return kafka_fault(settings, {kind, "no"}).next(); };
  EXPECT_TRUE(holds(advice(ErrorKind::kNotFound), "try again"));
  EXPECT_FALSE(holds(advice(ErrorKind::kNotFound), "start it ("));
  EXPECT_TRUE(holds(advice(ErrorKind::kUnavailable), "start it ("));
  EXPECT_FALSE(holds(advice(ErrorKind::kForbidden), "again"));
}

}  // namespace
}  // namespace millrace::cli
