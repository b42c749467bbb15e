#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;

devices::v1::Presence said(const std::string& tenant, const std::string& client, devices::v1::PresenceState state) {
  devices::v1::Presence record;
  record.set_tenant(tenant);
  record.set_device("meter-1");
  record.set_client_id(client);
  record.set_gateway("gateway-1");
  record.set_state(state);
  return record;
}

TEST_F(QueryApi, ListPresenceGivesTheLastWordOnEachClientByPages) {
  using namespace devices::v1;  // NOLINT: the names of the enum
  for (const char* client : {"a", "b", "c"}) put_presence(said("acme", client, PRESENCE_STATE_CONNECTED));
  put_presence(said("other", "x", PRESENCE_STATE_CONNECTED));
  auto nobody = said("acme", "z", PRESENCE_STATE_CONNECTED);
  nobody.set_device("deleted");
  put_presence(nobody);
  start_service();
  const auto list = [&](api::ListPresenceRequest request) {
    std::string found;
    do {
      api::ListPresenceResponse page;
      const grpc::Status status = stub_->ListPresence(context(kAcmeKey).get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& client : page.clients()) {
        EXPECT_TRUE(client.has_epoch());
        found += client.client_id() + (client.state() == PRESENCE_STATE_CONNECTED ? "+" : "-");
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return found;
  };
  api::ListPresenceRequest request;
  request.set_page_size(2);
  EXPECT_EQ(list(request), "a+b+c+");
  request.add_devices("meter-1");
  request.set_state(PRESENCE_STATE_DISCONNECTED);
  EXPECT_EQ(list(request), "");
  request.set_state(PRESENCE_STATE_CONNECTED);
  request.set_gateway("gateway-2");
  EXPECT_EQ(list(request), "");
  request.set_gateway("gateway-1");
  EXPECT_EQ(list(request), "a+b+c+");
  request.set_page_size(1'001);
  EXPECT_EQ(code_of(&Stub::ListPresence, request, kAcmeKey), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_size(1);
  request.add_devices("deleted");
  EXPECT_EQ(code_of(&Stub::ListPresence, request, kAcmeKey), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace millrace::query_api
