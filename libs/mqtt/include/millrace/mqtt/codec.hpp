// The wire codec of both versions, for servers and clients. Pure functions over bytes: no I/O, no state, no allocation
// when decoding. Thread-safe as far as the arguments are.
//
// Reading: next_frame() cuts one control packet off the front of a read buffer, decode() checks and opens it. The
// results point into that buffer. Writing: encode() appends one packet to a buffer that the caller reuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/mqtt/packets.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

/// One control packet: `body` is what follows the fixed header.
struct Frame {
  PacketType type{};
  std::uint8_t flags = 0;  ///< low four bits of the first byte, already checked against section 2.1.3
  std::string_view body;
  std::size_t size = 0;  ///< whole packet in bytes, fixed header included
};

enum class FrameStatus : std::uint8_t {
  kComplete,    ///< `frame` is filled; drop frame.size bytes from the front when done with it
  kIncomplete,  ///< read on. frame.size is the size of the whole packet, or 0 while even that is not known
  kMalformed,   ///< first byte or length is impossible: close (fault says why)
  kTooLarge,    ///< the packet is announced as larger than the maximum: known from its first bytes, before it is read
};

struct FrameResult {
  FrameStatus status = FrameStatus::kIncomplete;
  Fault fault;
};

/// `maximum_packet_size` counts the whole packet, as section 3.1.2.11.4 does. The caller never needs a buffer larger
/// than that: anything larger is refused here before its body has come.
FrameResult next_frame(std::string_view input, std::uint32_t maximum_packet_size, Frame& frame);

// Each decode() checks everything that can be checked without knowing the connection: structure, lengths, UTF-8,
// reserved bits, reason codes, properties (known, allowed here, once where they must be once, in range), topic
// names. Topic filters are only checked as strings: each bad one gets a reason code of its own (valid_topic_filter()).
// On a fault `out` is unspecified, except where noted. `version` is that of the connection.

/// The version is in the packet: out.version is set as soon as it has been read, also when a fault follows.
/// A protocol name or level other than MQTT 3.1.1 or 5 gives kUnsupportedProtocolVersion and leaves out.version at k5
/// for levels above 5, k311 for levels below 4 (so that the refusal is sent in a form that such a client can read).
[[nodiscard]] Fault decode(const Frame& frame, Connect& out);
/// The return codes of 3.1.1 become kUnsupportedProtocolVersion (1), kClientIdentifierNotValid (2), kServerUnavailable
/// (3), kBadUserNameOrPassword (4), kNotAuthorized (5); encode() maps back, others to 3.
[[nodiscard]] Fault decode(const Frame& frame, Version version, Connack& out);
[[nodiscard]] Fault decode(const Frame& frame, Version version, Publish& out);
/// PUBACK, PUBREC, PUBREL or PUBCOMP, by frame.type.
[[nodiscard]] Fault decode(const Frame& frame, Version version, Ack& out);
[[nodiscard]] Fault decode(const Frame& frame, Version version, Subscribe& out);
[[nodiscard]] Fault decode(const Frame& frame, Version version, Unsubscribe& out);
/// SUBACK or UNSUBACK, by frame.type.
[[nodiscard]] Fault decode(const Frame& frame, Version version, Suback& out);
[[nodiscard]] Fault decode(const Frame& frame, Version version, Disconnect& out);
/// Version 5 only.
[[nodiscard]] Fault decode(const Frame& frame, Auth& out);
/// PINGREQ and PINGRESP: nothing inside.
[[nodiscard]] Fault decode_empty(const Frame& frame);

// Each encode() appends one packet to `out`. What the other version cannot carry (properties, most reason codes) is
// left out for 3.1.1. Strings above 65,535 bytes or a packet above 256 MB throw std::length_error; `out` is then as
// before.

void encode(const Connect& packet, std::string& out);
void encode(Version version, const Connack& packet, std::string& out);
void encode(Version version, const Publish& packet, std::string& out);
/// Version 5 leaves reason and properties out where the standard allows it (success without properties).
void encode(Version version, const Ack& packet, std::string& out);
void encode(Version version, const Subscribe& packet, std::string& out);
void encode(Version version, const Unsubscribe& packet, std::string& out);
void encode(Version version, const Suback& packet, std::string& out);
void encode(Version version, const Disconnect& packet, std::string& out);
void encode(const Auth& packet, std::string& out);
void encode_pingreq(std::string& out);
void encode_pingresp(std::string& out);

/// Appends one entry to a payload for Subscribe::entries (version 3.1.1 keeps the QoS only).
void append_subscription(Version version, const Subscription& subscription, std::string& entries);
/// Appends one entry to a payload for Unsubscribe::entries.
void append_filter(std::string_view filter, std::string& entries);

}  // namespace millrace::mqtt
