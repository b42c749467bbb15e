// The Eclipse Paho C++ client under the words of README.md.
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>

#include <mqtt/async_client.h>

namespace {

std::mutex output;

void say(const std::string& line) {
  const std::lock_guard lock(output);
  std::cout << line << std::endl;
}

// Paho's own names of the schemes.
std::string paho_url(const std::string& url) {
  const auto end = url.find("://");
  const std::string scheme = url.substr(0, end);
  const std::string rest = url.substr(end);
  if (scheme == "mqtt") return "tcp" + rest;
  if (scheme == "mqtts") return "ssl" + rest;
  return url;
}

mqtt::connect_options connect_options(int argc, char** argv) {
  const bool five = std::string(argv[2]) == "5";
  const bool clean = std::string(argv[4]) == "clean";
  mqtt::connect_options options;
  options.set_mqtt_version(five ? MQTTVERSION_5 : MQTTVERSION_3_1_1);
  if (five) {
    options.set_clean_start(clean);
    if (!clean) options.set_properties({{mqtt::property::SESSION_EXPIRY_INTERVAL, 3600}});
  } else {
    options.set_clean_session(clean);
  }
  options.set_keep_alive_interval(30);
  if (argc > 6) {
    options.set_user_name(argv[5]);
    options.set_password(std::string(argv[6]));
  }
  if (const char* ca = std::getenv("MQTT_CA")) {
    mqtt::ssl_options tls;
    tls.set_trust_store(ca);
    tls.set_verify(true);
    options.set_ssl(tls);
  }
  return options;
}

void serve(mqtt::async_client& client) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string word, topic, payload;
    int qos = 0;
    words >> word >> qos >> topic;
    std::getline(words >> std::ws, payload);
    if (word == "subscribe") {
      client.subscribe(topic, qos)->wait();
      say("subscribed");
    } else if (word == "publish") {
      client.publish(topic, payload, qos, false)->wait();
      say("published");
    } else if (word == "end") {
      client.disconnect()->wait();
      say("ended");
      return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bool five = std::string(argv[2]) == "5";
    mqtt::async_client client(paho_url(argv[1]), argv[3],
                              mqtt::create_options(five ? MQTTVERSION_5 : MQTTVERSION_3_1_1));
    client.set_message_callback([](const mqtt::const_message_ptr& message) {
      say("message " + std::to_string(message->get_qos()) + " " + message->get_topic() + " " + message->to_string());
    });
    const auto connected = client.connect(connect_options(argc, argv));
    connected->wait();
    say(std::string("connected ") + (connected->get_connect_response().is_session_present() ? "1" : "0"));
    serve(client);
  } catch (const std::exception& error) {
    say(std::string("error ") + error.what());
    return 1;
  }
  return 0;
}
