#include "mqtt/mqtt_front.hpp"

#include <algorithm>

namespace millrace::gateway {

MqttFront::MqttFront(MqttContext& context, MqttListenerOptions listening,
                     std::shared_ptr<const tls::ServerContext> mqtt, std::shared_ptr<const tls::ServerContext> http)
    : context_(context), listening_(std::move(listening)), mqtt_(std::move(mqtt)), http_(std::move(http)) {}

Status MqttFront::start(const std::optional<Address>& mqtts, const std::optional<Address>& ws,
                        const std::optional<Address>& wss) {
  if (auto status = listen(MqttTransport::kTls, mqtts); !status.ok()) return status;
  if (auto status = listen(MqttTransport::kWebSocket, ws); !status.ok()) return status;
  return listen(MqttTransport::kSecureWebSocket, wss);
}

Status MqttFront::listen(MqttTransport transport, const std::optional<Address>& address) {
  if (!address) return {};
  MqttListenerOptions options = listening_;
  options.transport = transport;
  if (transport == MqttTransport::kTls) options.opening.tls = mqtt_;
  if (transport == MqttTransport::kSecureWebSocket) options.opening.tls = http_;
  on_.push_back({transport, std::make_unique<MqttListener>(context_, std::move(options))});
  return on_.back().listener->start(*address);
}

void MqttFront::stop_accepting() {
  for (const On& on : on_) on.listener->stop_accepting();
}

void MqttFront::stop_intake() {
  for (const On& on : on_) on.listener->stop_intake();
}

const MqttListener* MqttFront::find(MqttTransport transport) const {
  const auto found = std::ranges::find(on_, transport, &On::transport);
  return found == on_.end() ? nullptr : found->listener.get();
}

std::string MqttFront::text(MqttTransport transport) const {
  const MqttListener* listener = find(transport);
  return listener == nullptr ? "off" : listener->address().to_string();
}

}  // namespace millrace::gateway
