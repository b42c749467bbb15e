#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <netinet/in.h>

struct coap_context_t;
struct coap_session_t;

namespace millrace::fleet {

struct CoapResponse {
  int status = 0;  ///< 204 for 2.04
  std::int64_t max_age_s = 0;
  std::uint32_t token = 0;
  std::string_view payload;
};

/// What a session tells its owner.
class CoapListener {
 public:
  virtual ~CoapListener() = default;
  virtual void on_response(const CoapResponse& response) = 0;
  virtual void on_secured() = 0;
  /// The request got no acknowledgement in MAX_TRANSMIT_WAIT, or DTLS failed.
  virtual void on_failed() = 0;
};

/// A POST over a session; `query` items as `name=value`.
struct CoapPost {
  std::uint32_t token = 0;
  std::string path[2];
  std::string query[3];
  std::string payload;
};

/// libcoap as a client: retransmission, block-wise bodies and DTLS are its. One context for all devices of a run; one
/// thread.
class CoapClient {
 public:
  CoapClient();  ///< throws std::runtime_error without a context
  ~CoapClient();
  CoapClient(const CoapClient&) = delete;
  CoapClient& operator=(const CoapClient&) = delete;

  /// Becomes readable when process() has something to do.
  [[nodiscard]] int descriptor() const;
  void process();

  class Session {
   public:
    Session(coap_session_t* session, CoapListener& listener);
    ~Session();  ///< what is still on its way is nobody's any more
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    /// False: the message could not be sent.
    [[nodiscard]] bool post(const CoapPost& post);

   private:
    coap_session_t* session_;
  };
  /// Null if there is no socket. With `identity` over DTLS.
  [[nodiscard]] std::unique_ptr<Session> connect(const sockaddr_in& server, CoapListener& listener);
  [[nodiscard]] std::unique_ptr<Session> connect(const sockaddr_in& server, CoapListener& listener,
                                                 const std::string& identity, const std::string& key);

 private:
  coap_context_t* context_;
};

}  // namespace millrace::fleet
