#pragma once

#include <cstdint>
#include <string>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "ingest/device_types.hpp"
#include "limits/limiter.hpp"

namespace millrace::gateway {

/// What a device has shown, as far as it is needed to ask the registry again whether it is still good.
struct Proof {
  enum class Kind : std::uint8_t {
    kToken,       ///< `digest` is the token's
    kCredential,  ///< a password or a certificate: `name` is the credential's id, `digest` as of Credential
    kAuthority,   ///< a certificate issued under the authority `name`; `digest` as of authority_digest()
  };
  Kind kind = Kind::kToken;
  Sha256 digest{};
  std::string name = {};
  TimeUs ends_us = 0;  ///< when the first of the certificates shown ends; 0: none was
};

/// An authenticated device, made once per connection or request and shared by its messages.
struct Identity {
  registry_view::Device device;
  Proof proof = {};
  std::string key;                    ///< record key, `tenant/device`
  mutable HeldTo held = {};           ///< by the thread that submits its messages
  mutable KnownType known_type = {};  ///< by the same
};

}  // namespace millrace::gateway
