#include <gtest/gtest.h>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/message.hpp>

namespace millrace::mqtt {
namespace {

using namespace std::chrono_literals;

const TimePoint kNow{1h};

/// What a receiver would read; `bytes` must outlive it.
Properties read(std::string& bytes, const std::string& properties) {
  bytes = std::string("\x30", 1);
  std::string body("\x00\x01t", 3);
  EXPECT_LT(properties.size(), 100U);
  body.push_back(static_cast<char>(properties.size()));
  body += properties;
  bytes.push_back(static_cast<char>(body.size()));
  bytes += body;
  Frame frame;
  EXPECT_EQ(next_frame(bytes, 1000, frame).status, FrameStatus::kComplete);
  Publish publish;
  const Fault fault = decode(frame, Version::k5, publish);
  EXPECT_FALSE(fault) << fault.rule;
  return publish.properties;
}

TEST(Message, OutlivesThePacket) {
  MessagePtr message;
  {
    const std::string topic(100, 't'), payload(1000, 'p');
    message = make_message(Publish{topic, payload, Qos::kExactlyOnce, true, true, 7, {}}, kNow);
  }
  EXPECT_EQ(message->topic, std::string(100, 't'));
  EXPECT_EQ(message->payload, std::string(1000, 'p'));
  EXPECT_EQ(message->qos, Qos::kExactlyOnce);
  EXPECT_TRUE(message->retain);
  EXPECT_TRUE(message->properties.empty());
  EXPECT_EQ(message->expires_at, std::nullopt);
  EXPECT_EQ(message->cost(), sizeof(Message) + 1100);
}

TEST(Message, ForwardablePropertiesStayAsTheyAre) {
  PropertyWriter writer;
  // [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
  writer.add_user("z", "1").add(PropertyId::kPayloadFormatIndicator, 1U).add(PropertyId::kResponseTopic, "answer");
  writer.add_user("a", "2").add(PropertyId::kCorrelationData, std::string_view("\0\xFF", 2));
  writer.add(PropertyId::kContentType, "text/plain").add_user("z", "3");
  const MessagePtr message = make_message(Publish{"t", "", {}, false, false, 0, writer.view()}, kNow);
  EXPECT_EQ(message->properties, writer.view().bytes());
}

TEST(Message, WhatBelongsToOneConnectionIsLeftBehind) {
  PropertyWriter writer, wanted;
  writer.add_user("z", "1").add(PropertyId::kTopicAlias, 3U).add(PropertyId::kPayloadFormatIndicator, 1U);
  writer.add(PropertyId::kMessageExpiryInterval, 30U).add(PropertyId::kContentType, "c").add_user("a", "2");
  writer.add(PropertyId::kCorrelationData, "x").add(PropertyId::kResponseTopic, "r");
  wanted.add_user("z", "1").add(PropertyId::kPayloadFormatIndicator, 1U).add(PropertyId::kContentType, "c");
  wanted.add_user("a", "2").add(PropertyId::kCorrelationData, "x").add(PropertyId::kResponseTopic, "r");
  const MessagePtr message = make_message(Publish{"t", "", {}, false, false, 0, writer.view()}, kNow);
  EXPECT_EQ(message->properties, wanted.view().bytes());
  EXPECT_EQ(message->expires_at, kNow + 30s);
  std::string bytes;
  EXPECT_EQ(read(bytes, message->properties).text(PropertyId::kResponseTopic), "r");
}

TEST(Message, OfAWill) {
  PropertyWriter writer, wanted;
  writer.add(PropertyId::kWillDelayInterval, 5U).add(PropertyId::kMessageExpiryInterval, 0xFFFFFFFFU);
  writer.add_user("k", "v");
  wanted.add_user("k", "v");
  const Will will{"w", "gone", Qos::kAtLeastOnce, true, writer.view()};
  const MessagePtr message = make_message(will, kNow);
  EXPECT_EQ(message->topic, "w");
  EXPECT_EQ(message->payload, "gone");
  EXPECT_EQ(message->qos, Qos::kAtLeastOnce);
  EXPECT_TRUE(message->retain);
  EXPECT_EQ(message->properties, wanted.view().bytes());
  EXPECT_EQ(message->expires_at, kNow + std::chrono::seconds(0xFFFFFFFFLL));
}

}  // namespace
}  // namespace millrace::mqtt
