#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/rpc/worker_pool.hpp>

#include "identity/admission_metrics.hpp"
#include "identity/certificate_check.hpp"
#include "identity/credential_source.hpp"
#include "identity/identity.hpp"
#include "identity/password_guard.hpp"
#include "identity/recent.hpp"

namespace millrace::gateway {

/// The same words for everybody who is not let in by a token or a password.
inline constexpr std::string_view kNotKnown = "unknown device, wrong token or password, or the device is disabled";

/// What somebody shows who wants to be a device.
struct Shown {
  std::string tenant;  ///< empty with `device`: nobody is named
  std::string device;
  std::string secret;              ///< token or password; empty: none
  std::vector<std::string> chain;  ///< as of tls::Session::peer_chain()
  Address peer;
};

/// Port: makes devices at the registry.
class Provisioner {
 public:
  virtual ~Provisioner() = default;
  /// `done` is called once, perhaps before it returns, by whatever thread: without an error the device is in the
  /// registry's copy. kForbidden: it will not be, kUnavailable: it may be tried again.
  virtual void provision(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain,
                         std::function<void(Status)> done) = 0;
};

/// Lets devices in, the same for all protocols: by token, password or certificate. Thread-safe.
///
/// Tokens and certificates are answered at once. A password costs tens of milliseconds of a core, on threads of its
/// own; one that was right is remembered under a key that dies with the process, as long as the credential is in the
/// registry.
class Authenticator {
 public:
  struct Options {
    std::size_t threads = 0;                     ///< for passwords; 0: one for two cores
    std::size_t queue = 256;                     ///< passwords waiting
    std::chrono::milliseconds patience{10'000};  ///< who waited longer is told to come again, unheard
    std::size_t most_remembered = 100'000;
    PasswordGuard::Options guard = {};
  };
  using Admitted = Result<std::shared_ptr<const Identity>>;
  using Later = std::function<void(Admitted)>;

  /// `source`, `metrics` and `provisioner` (null: no devices are made) must outlive it.
  Authenticator(const Options& options, const CredentialSource& source, const AdmissionMetrics& metrics,
                Provisioner* provisioner);
  ~Authenticator();  ///< stop()
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// The answer, or none: it takes longer, ask admit_later(). kUnauthenticated in words that do not tell an unknown
  /// device from a wrong secret, kForbidden for a certificate; kUnavailable where nothing can be said now.
  [[nodiscard]] std::optional<Admitted> admit(const Shown& shown);

  /// Calls `later` once, perhaps before it returns, else on another thread. Also kThrottled after too many wrong
  /// passwords (try again after retry_after_s()), unless the password is remembered, and kUnavailable where too many
  /// are waiting.
  void admit_later(Shown shown, Later later);

  /// For those who show the digest of a token and nothing else.
  [[nodiscard]] Admitted admit_token(const std::string& tenant, const std::string& device, const Sha256& token);

  /// As of valid_until() now.
  [[nodiscard]] std::optional<TimeUs> valid_until(const Identity& identity) const;

  /// Whether there is a device of this name. Not to be told to anybody.
  [[nodiscard]] bool knows(std::string_view tenant, std::string_view device) const {
    return source_.find(tenant, device).has_value();
  }

  /// What to tell whoever was throttled, seconds.
  [[nodiscard]] int retry_after_s() const;

  /// Brings the metrics up to date.
  void report() const;

  /// Takes no more passwords, and waits for those that are being checked. No `later` is called after it.
  void stop();

 private:
  struct Try;

  [[nodiscard]] Admitted refused(AdmissionMetrics::Shows shows, std::string_view why) const;
  [[nodiscard]] std::shared_ptr<const Identity> by_token(const std::string& tenant, const std::string& device,
                                                         const Sha256& token) const;
  [[nodiscard]] std::optional<Admitted> by_certificate(const Shown& shown);
  [[nodiscard]] std::optional<Admitted> by_secret(const Shown& shown);
  void provision(Shown shown, const registry_view::Authority& authority, const std::string& device, Later later);
  void check_later(const std::shared_ptr<Try>& attempt, const Later& later);
  [[nodiscard]] std::shared_ptr<Try> password_try(const Shown& shown) const;
  [[nodiscard]] std::shared_ptr<const Identity> remembered(const Try& attempt);
  void check(const Try& attempt, const Later& later);

  const Options options_;
  const CredentialSource& source_;
  const AdmissionMetrics& metrics_;
  Provisioner* provisioner_;
  CertificateCheck certificates_;
  PasswordGuard guard_;
  const std::string memory_key_;
  Recent<Proof> memory_;  // of right passwords
  std::atomic<bool> stopping_{false};
  std::unique_ptr<rpc::WorkerPool> pool_;  // last: its threads use all of the above
};

}  // namespace millrace::gateway
