// What the commands of retention ask for, and what they print.
#include <sstream>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "command_error.hpp"
#include "command_line.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "said.hpp"

namespace millrace::cli {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

class FakeRegistry : public registry::v1::RegistryService::Service {
 public:
  grpc::Status SetRetention(grpc::ServerContext* /*context*/, const registry::v1::SetRetentionRequest* request,
                            registry::v1::RetentionEntry* response) override {
    asked.set(*request);
    response->set_tenant(request->tenant());
    response->set_days(400);
    response->add_types()->set_type("meter");
    return grpc::Status::OK;
  }
  Said<registry::v1::SetRetentionRequest> asked;
};

/// Two pages: a day each.
class FakeQuery : public query::v1::QueryService::Service {
 public:
  grpc::Status PreviewRetention(grpc::ServerContext* /*context*/, const query::v1::PreviewRetentionRequest* request,
                                query::v1::PreviewRetentionResponse* response) override {
    asked.set(*request);
    const bool first = request->page_token().empty();
    auto* day = response->add_days();
    day->set_day_us(kDayUs * (first ? 1 : 2));
    day->mutable_hot()->set_points(first ? 0 : 7);
    day->mutable_compacted()->set_points(first ? 1'000 : 0);
    day->mutable_compacted()->set_bytes(first ? 5'000 : 0);
    if (first) response->set_next_page_token("more");
    return grpc::Status::OK;
  }
  Said<query::v1::PreviewRetentionRequest> asked;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class RetentionCommands : public ::testing::Test {
 protected:
  RetentionCommands() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&registry_);
    builder.RegisterService(&query_);
    server_ = builder.BuildAndStart();
  }
  Outcome run(std::vector<std::string> arguments) const {
    const std::string address = "127.0.0.1:" + std::to_string(port_);
    arguments.insert(arguments.end(),
                     {"--registry", address, "--query", address, "--api-key", "mk_x", "--tenant", "acme"});
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_command_line(std::move(arguments), {in, out, err});
    return {code, out.str(), err.str()};
  }

  FakeRegistry registry_;
  FakeQuery query_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(RetentionCommands, DaysForEverAndTheDefaultAreThreeThings) {
  EXPECT_EQ(run({"retention", "set", "--days", "400", "--json"}).out,
            "{\"tenant\":\"acme\",\"days\":400,\"types\":{\"meter\":0}}\n");
  EXPECT_EQ(registry_.asked.get().days(), 400);
  EXPECT_EQ(registry_.asked.get().tenant(), "acme");
  const Outcome shown = run({"retention", "set", "--type", "meter", "--forever"});
  EXPECT_TRUE(registry_.asked.get().has_days());
  EXPECT_EQ(registry_.asked.get().days(), 0);
  EXPECT_EQ(registry_.asked.get().type(), "meter");
  EXPECT_NE(shown.out.find("of type meter"), std::string::npos);
  EXPECT_NE(shown.out.find("for ever"), std::string::npos);
  EXPECT_NE(shown.out.find("all others"), std::string::npos);
  EXPECT_EQ(run({"retention", "set", "--default"}).code, 0);
  EXPECT_FALSE(registry_.asked.get().has_days());
}

TEST_F(RetentionCommands, WhatIsWrongIsSaidBeforeTheCall) {
  EXPECT_EQ(run({"retention", "set"}).code, kExitUsage);
  EXPECT_EQ(run({"retention", "set", "--days", "0"}).code, kExitUsage);
  EXPECT_EQ(run({"retention", "set", "--days", "3", "--forever"}).code, kExitUsage);
  EXPECT_EQ(run({"retention", "dry-run", "--type", "meter"}).code, kExitUsage);
}

TEST_F(RetentionCommands, ADryRunReadsAllPagesAndSums) {
  const Outcome all = run({"retention", "dry-run"});
  EXPECT_FALSE(query_.asked.get().has_change());
  EXPECT_EQ(query_.asked.get().page_token(), "more");
  EXPECT_NE(all.out.find("1970-01-02"), std::string::npos);
  EXPECT_NE(all.out.find("1970-01-04"), std::string::npos) << "exclusive";
  EXPECT_NE(all.out.find("1007 points would go; nothing was removed"), std::string::npos);
  const Outcome days = run({"retention", "dry-run", "--days", "3", "--type", "meter", "--json"});
  EXPECT_EQ(query_.asked.get().change().days(), 3);
  EXPECT_EQ(query_.asked.get().change().type(), "meter");
  EXPECT_EQ(days.out.substr(0, days.out.find('\n')),
            "{\"day\":\"1970-01-02\",\"type\":\"\",\"hot\":{\"series\":0,\"points\":0,\"bytes\":0},"
            "\"compacted\":{\"series\":0,\"points\":1000,\"bytes\":5000},"
            "\"archived\":{\"series\":0,\"points\":0,\"bytes\":0}}");
}

}  // namespace
}  // namespace millrace::cli
