#include "presence/presence_record.hpp"

#include "millrace/devices/v1/presence.pb.h"

namespace millrace::gateway {

std::string_view to_string(DisconnectCause cause) {
  switch (cause) {
    case DisconnectCause::kClient:
      return "client";
    case DisconnectCause::kKeepAlive:
      return "keep_alive";
    case DisconnectCause::kTakeover:
      return "takeover";
    case DisconnectCause::kRevoked:
      return "revoked";
    case DisconnectCause::kLimit:
      return "limit";
    case DisconnectCause::kDrain:
      return "drain";
    case DisconnectCause::kProtocolError:
      return "protocol_error";
    case DisconnectCause::kLost:
      return "lost";
    case DisconnectCause::kGatewayLost:
      return "gateway_lost";
    case DisconnectCause::kServer:
      return "server";
  }
  return "unspecified";
}

std::string encode(const PresenceRecord& record) {
  devices::v1::Presence out;
  const Visit& visit = record.visit;
  out.set_tenant(visit.tenant);
  out.set_device(visit.device);
  out.set_client_id(visit.client_id);
  out.set_protocol(static_cast<telemetry::v1::Protocol>(visit.protocol));
  out.set_address(visit.address);
  out.set_gateway(visit.gateway);
  out.set_start(visit.start);
  out.set_connection(visit.connection);
  out.set_connected_us(visit.connected);
  if (record.epoch) out.set_epoch(*record.epoch);
  if (record.connected) {
    out.set_state(devices::v1::PRESENCE_STATE_CONNECTED);
  } else {
    out.set_state(devices::v1::PRESENCE_STATE_DISCONNECTED);
    out.set_disconnected_us(record.disconnected);
    out.set_cause(static_cast<devices::v1::DisconnectCause>(record.cause));
    out.set_detail(record.detail);
  }
  return out.SerializeAsString();
}

Result<PresenceRecord> decode_presence(std::string_view bytes) {
  devices::v1::Presence in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      in.state() == devices::v1::PRESENCE_STATE_UNSPECIFIED) {
    return Error{ErrorKind::kCorrupt, "the value is no presence record"};
  }
  PresenceRecord record;
  Visit& visit = record.visit;
  visit.tenant = in.tenant();
  visit.device = in.device();
  visit.client_id = in.client_id();
  visit.protocol = static_cast<telemetry::Protocol>(in.protocol());
  visit.address = in.address();
  visit.gateway = in.gateway();
  visit.start = in.start();
  visit.connection = in.connection();
  visit.connected = in.connected_us();
  if (in.has_epoch()) record.epoch = in.epoch();
  record.connected = in.state() == devices::v1::PRESENCE_STATE_CONNECTED;
  if (!record.connected) {
    record.disconnected = in.disconnected_us();
    record.cause = static_cast<DisconnectCause>(in.cause());
    record.detail = in.detail();
  }
  return record;
}

}  // namespace millrace::gateway
