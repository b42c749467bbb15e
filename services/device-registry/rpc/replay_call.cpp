// ReplayDeadLetter of RegistryService.
#include <millrace/telemetry/receipt.hpp>

#include "replay/dead_letter_replay.hpp"
#include "rpc/registry_service.hpp"

namespace millrace::registry {

RegistryService::Reactor* RegistryService::ReplayDeadLetter(Context* context,
                                                            const v1::ReplayDeadLetterRequest* request,
                                                            v1::ReplayDeadLetterResponse* response) {
  return parts_.dispatcher.unary(context, replay_dead_letter_, [=, this](const rpc::Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    const auto receipt = telemetry::parse_receipt(request->receipt());
    if (!receipt.ok()) return receipt.error();
    if (!receipt->dead) {
      return Error{ErrorKind::kInvalid, "a dead letter's receipt has the form dead:<partition>:<offset>"};
    }
    std::optional<DeadLetterReplay::Correction> correction;
    if (request->has_correction()) {
      correction = {request->correction().content_type(), request->correction().payload()};
    }
    const auto replayed = parts_.replay.replay(*tenant, *receipt, correction, call.deadline);
    audit_.info("change", {{"what", correction ? "correct dead letter" : "replay dead letter"},
                           {"entity", *tenant + ' ' + receipt->to_string()},
                           {"by", call.caller.key_id},
                           {"outcome", replayed.ok() ? "done" : to_string(replayed.error().kind)}});
    if (!replayed.ok()) return replayed.error();
    response->set_receipt(replayed->to_string());
    return {};
  });
}

}  // namespace millrace::registry
