// Credentials, children and topics of devices of RegistryService.
#include <millrace/credentials/certificate.hpp>
#include <millrace/credentials/password.hpp>

#include "rpc/call_parts.hpp"
#include "rpc/registry_service.hpp"
#include "store/credentials.hpp"
#include "store/device_access.hpp"
#include "store/device_rows.hpp"
#include "store/devices.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using rpc::Call;

Status read_token(const std::string& given, NewCredential& credential, std::string& drawn) {
  credential.kind = v1::CREDENTIAL_KIND_TOKEN;
  if (auto valid = check_token_digest(given); !valid.ok()) return valid;
  if (given.empty()) drawn = new_token();
  credential.sha256 = given.empty() ? std::string(bytes_of(sha256(drawn))) : given;
  return {};
}

Status read_password(const std::string& password, NewCredential& credential) {
  credential.kind = v1::CREDENTIAL_KIND_PASSWORD;
  auto phc = credentials::hash_password(password);
  if (!phc.ok()) return Error{phc.error().kind, "password: " + phc.error().message};
  credential.phc = std::move(*phc);
  return {};
}

Status read_certificate(const std::string& pem, TimeUs now, NewCredential& credential) {
  credential.kind = v1::CREDENTIAL_KIND_CERTIFICATE;
  const auto certificate = credentials::Certificate::from_pem(pem);
  if (!certificate.ok()) return Error{ErrorKind::kInvalid, "certificate_pem: " + certificate.error().message};
  if (certificate->not_after_us() < now) {
    return Error{ErrorKind::kInvalid, "certificate_pem: this certificate is not valid any more since " +
                                          format_rfc3339(certificate->not_after_us())};
  }
  credential.sha256 = bytes_of(certificate->fingerprint());
  return {};
}

// What shall be stored; `drawn` is the token if one had to be drawn. Hashes passwords, so not on a gRPC thread.
Result<NewCredential> read_credential(const v1::AddCredentialRequest& request, std::string& drawn) {
  const TimeUs now = now_us();
  if (auto valid = check_window("", request.not_before_us(), request.not_after_us(), now); !valid.ok())
    return valid.error();
  NewCredential credential{.not_before_us = request.not_before_us(), .not_after_us = request.not_after_us()};
  Status status;
  switch (request.proof_case()) {
    case v1::AddCredentialRequest::kPassword:
      status = read_password(request.password(), credential);
      break;
    case v1::AddCredentialRequest::kCertificatePem:
      status = read_certificate(request.certificate_pem(), now, credential);
      break;
    case v1::AddCredentialRequest::kTokenSha256:
    case v1::AddCredentialRequest::PROOF_NOT_SET:
      status = read_token(request.token_sha256(), credential, drawn);
      break;
  }
  if (!status.ok()) return status.error();
  return credential;
}

}  // namespace

RegistryService::Reactor* RegistryService::AddCredential(Context* context, const v1::AddCredentialRequest* request,
                                                         v1::AddCredentialResponse* response) {
  return parts_.dispatcher.unary(context, add_credential_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    std::string drawn;
    const auto credential = read_credential(*request, drawn);
    if (!credential.ok()) return credential.error();
    auto status = change(call, "add credential", names->entity(), [&](Connection& connection) {
      return give(add_credential(connection, names->tenant, names->device, *credential),
                  *response->mutable_credential());
    });
    if (status.ok()) response->set_token(std::move(drawn));
    return status;
  });
}

RegistryService::Reactor* RegistryService::RemoveCredential(Context* context,
                                                            const v1::RemoveCredentialRequest* request,
                                                            v1::RemoveCredentialResponse* /*response*/) {
  return parts_.dispatcher.unary(context, remove_credential_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return change(call, "remove credential", names->entity(), [&](Connection& connection) {
      return remove_credential(connection, names->tenant, names->device, request->credential_id());
    });
  });
}

RegistryService::Reactor* RegistryService::ListCredentials(Context* context, const v1::ListCredentialsRequest* request,
                                                           v1::ListCredentialsResponse* response) {
  return parts_.dispatcher.unary(context, list_credentials_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return read(call, [&](Connection& connection) {
      return give(list_credentials(connection, names->tenant, names->device), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::SetDeviceChildren(Context* context,
                                                             const v1::SetDeviceChildrenRequest* request,
                                                             v1::SetDeviceChildrenResponse* /*response*/) {
  return parts_.dispatcher.unary(context, set_children_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    if (auto valid = check_children(request->children()); !valid.ok()) return valid;
    return change(call, "set device children", names->entity(), [&](Connection& connection) {
      return set_device_children(connection, names->tenant, names->device, request->children());
    });
  });
}

RegistryService::Reactor* RegistryService::SetDeviceTopics(Context* context, const v1::SetDeviceTopicsRequest* request,
                                                           v1::SetDeviceTopicsResponse* /*response*/) {
  return parts_.dispatcher.unary(context, set_topics_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    if (auto valid = check_topics("topics", request->topics()); !valid.ok()) return valid;
    return change(call, "set device topics", names->entity(), [&](Connection& connection) {
      return set_device_topics(connection, names->tenant, names->device, request->topics());
    });
  });
}

RegistryService::Reactor* RegistryService::SetDeviceAckLevel(Context* context,
                                                             const v1::SetDeviceAckLevelRequest* request,
                                                             v1::SetDeviceAckLevelResponse* /*response*/) {
  return parts_.dispatcher.unary(context, set_ack_level_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    if (!v1::AckLevel_IsValid(request->ack_level())) {
      return Error{ErrorKind::kInvalid, "ack_level is 0 (as the tenant's policy says), 1 (bus) or 2 (stored)"};
    }
    return change(call, "set device ack level", names->entity(), [&](Connection& connection) {
      return set_device_ack_level(connection, names->tenant, names->device, request->ack_level());
    });
  });
}

RegistryService::Reactor* RegistryService::GetDeviceAccess(Context* context, const v1::GetDeviceAccessRequest* request,
                                                           v1::GetDeviceAccessResponse* response) {
  return parts_.dispatcher.unary(context, get_access_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return read(call, [&](Connection& connection) {
      return give(get_device_access(connection, names->tenant, names->device), *response);
    });
  });
}

}  // namespace millrace::registry
