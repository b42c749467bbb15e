#include "identity/authenticator.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include <millrace/base/ids.hpp>
#include <millrace/credentials/password.hpp>

#include "identity/validity.hpp"

namespace millrace::gateway {
namespace {

using registry_view::Credential;
using registry_view::CredentialKind;
using registry_view::Device;
using Shows = AdmissionMetrics::Shows;
using Outcome = AdmissionMetrics::Outcome;

constexpr std::size_t kMemoryKeyBytes = 32;
constexpr std::chrono::seconds kDrain{60};  // the longest that passwords being checked may take

std::size_t thread_count(std::size_t asked) {
  return asked != 0 ? asked : std::max<std::size_t>(1, std::thread::hardware_concurrency() / 2);
}

std::shared_ptr<const Identity> identity_of(Device device, Proof proof) {
  std::string key = record_key(device.tenant, device.device);
  return std::make_shared<const Identity>(Identity{std::move(device), std::move(proof), std::move(key)});
}

}  // namespace

/// A password that is to be checked.
struct Authenticator::Try {
  Device device;
  std::string key;
  std::string address;
  std::string password;
  Sha256 memory{};  // of device and password under the key of this process
  std::vector<Credential> candidates;
  std::chrono::steady_clock::time_point begun;
};

Authenticator::Authenticator(const Options& options, const CredentialSource& source, const AdmissionMetrics& metrics,
                             Provisioner* provisioner)
    : options_(options),
      source_(source),
      metrics_(metrics),
      provisioner_(provisioner),
      certificates_(source),
      guard_(options.guard),
      memory_key_(random_bytes(kMemoryKeyBytes)),
      memory_(options.most_remembered),
      pool_(std::make_unique<rpc::WorkerPool>(rpc::WorkerPool::Options{thread_count(options.threads), options.queue})) {
}

Authenticator::~Authenticator() { stop(); }

void Authenticator::stop() {
  stopping_.store(true);
  static_cast<void>(pool_->drain(std::chrono::steady_clock::now() + kDrain));
}

int Authenticator::retry_after_s() const { return static_cast<int>(1 / options_.guard.pair.per_second); }

std::optional<TimeUs> Authenticator::valid_until(const Identity& identity) const {
  return gateway::valid_until(source_, identity, now_us());
}

void Authenticator::report() const { metrics_.password_queue.set(static_cast<double>(pool_->waiting())); }

std::optional<Authenticator::Admitted> Authenticator::admit(const Shown& shown) {
  return shown.chain.empty() ? by_secret(shown) : by_certificate(shown);
}

void Authenticator::admit_later(Shown shown, Later later) {
  if (!shown.chain.empty() && provisioner_ != nullptr) {
    const auto found = certificates_.check(shown.chain, shown.tenant, shown.device, now_us());
    if (found.provisions) return provision(std::move(shown), *found.provisions, found.new_device, std::move(later));
  }
  if (const auto attempt = password_try(shown)) {
    // It may have been right for somebody else since; what is remembered is let in whatever others have guessed.
    if (auto identity = remembered(*attempt)) {
      metrics_.count(Shows::kPassword, Outcome::kAccepted);
      return later(std::move(identity));
    }
    return check_later(attempt, later);
  }
  // The registry has moved since.
  auto admitted = admit(shown);
  later(admitted ? std::move(*admitted) : Error{ErrorKind::kUnavailable, "the registry is changing; try again"});
}

Authenticator::Admitted Authenticator::admit_token(const std::string& tenant, const std::string& device,
                                                   const Sha256& token) {
  auto identity = by_token(tenant, device, token);
  if (!identity) return refused(Shows::kToken, kNotKnown);
  metrics_.count(Shows::kToken, Outcome::kAccepted);
  return identity;
}

/// Before the copy is complete, who is not in it may still come: that is no refusal.
Authenticator::Admitted Authenticator::refused(Shows shows, std::string_view why) const {
  if (!source_.ready()) {
    metrics_.count(shows, Outcome::kBusy);
    return Error{ErrorKind::kUnavailable, "devices are not known yet: the registry has not been read"};
  }
  metrics_.count(shows, Outcome::kRefused);
  return Error{shows == Shows::kCertificate ? ErrorKind::kForbidden : ErrorKind::kUnauthenticated, std::string(why)};
}

std::shared_ptr<const Identity> Authenticator::by_token(const std::string& tenant, const std::string& device,
                                                        const Sha256& token) const {
  auto known = source_.find_with_token(tenant, device, token);
  if (known && known->enabled) return identity_of(std::move(*known), {Proof::Kind::kToken, token});
  const TimeUs now = now_us();
  for (const auto& holder : source_.holders(token, CredentialKind::kToken)) {
    if (!tenant.empty() && (holder.tenant != tenant || holder.device != device)) continue;
    if (!holder.credential.window.contains(now)) continue;
    known = source_.find(holder.tenant, holder.device);
    if (known && known->enabled) return identity_of(std::move(*known), {Proof::Kind::kToken, token});
  }
  return nullptr;
}

std::optional<Authenticator::Admitted> Authenticator::by_certificate(const Shown& shown) {
  auto found = certificates_.check(shown.chain, shown.tenant, shown.device, now_us());
  if (found.identity) {
    metrics_.count(Shows::kCertificate, Outcome::kAccepted);
    return Admitted(std::move(found.identity));
  }
  if (found.provisions && source_.ready()) {
    if (provisioner_ != nullptr) return std::nullopt;
    return refused(Shows::kCertificate, "the device is not known, and this gateway makes none: it has no registry");
  }
  // Somebody's certificate, of no meaning here: a token or a password decides.
  if (!shown.secret.empty()) return by_secret(shown);
  return refused(Shows::kCertificate, found.why);
}

void Authenticator::provision(Shown shown, const registry_view::Authority& authority, const std::string& device,
                              Later later) {
  const auto chain = std::make_shared<const std::vector<std::string>>(std::move(shown.chain));
  const auto then = [this, chain, tenant = authority.tenant, device, later = std::move(later)](const Status& made) {
    if (!made.ok()) {
      const bool refusal = made.error().kind == ErrorKind::kForbidden;
      metrics_.count(Shows::kCertificate, refusal ? Outcome::kRefused : Outcome::kBusy);
      return later(made.error());
    }
    auto found = certificates_.check(*chain, tenant, device, now_us());
    if (!found.identity) return later(refused(Shows::kCertificate, found.why));
    metrics_.count(Shows::kCertificate, Outcome::kAccepted);
    later(std::move(found.identity));
  };
  provisioner_->provision(authority.tenant, device, *chain, then);
}

std::optional<Authenticator::Admitted> Authenticator::by_secret(const Shown& shown) {
  if (auto identity = by_token(shown.tenant, shown.device, sha256(shown.secret))) {
    metrics_.count(Shows::kToken, Outcome::kAccepted);
    return Admitted(std::move(identity));
  }
  const auto attempt = password_try(shown);
  if (!attempt) return refused(Shows::kToken, kNotKnown);
  auto identity = remembered(*attempt);
  if (!identity) return std::nullopt;
  metrics_.count(Shows::kPassword, Outcome::kAccepted);
  return Admitted(std::move(identity));
}

void Authenticator::check_later(const std::shared_ptr<Try>& attempt, const Later& later) {
  if (guard_.begin(attempt->key, attempt->address, attempt->begun).count() > 0) {
    metrics_.count(Shows::kPassword, Outcome::kThrottled);
    return later(
        Error{ErrorKind::kThrottled, "too many wrong passwords for this device, or from this address; try again in " +
                                         std::to_string(retry_after_s()) + " s"});
  }
  if (pool_->try_submit([this, attempt, later] { check(*attempt, later); })) return;
  guard_.give_back(attempt->key, attempt->address);
  metrics_.count(Shows::kPassword, Outcome::kBusy);
  later(Error{ErrorKind::kUnavailable, "too many passwords are waiting to be checked; try again later"});
}

/// None where there is no password that it could be.
std::shared_ptr<Authenticator::Try> Authenticator::password_try(const Shown& shown) const {
  const auto grants = source_.grants(shown.tenant, shown.device);
  if (!grants || shown.secret.size() < credentials::kLeastPasswordBytes ||
      shown.secret.size() > credentials::kMostPasswordBytes) {
    return nullptr;
  }
  auto device = source_.find(shown.tenant, shown.device);
  if (!device || !device->enabled) return nullptr;
  auto attempt = std::make_shared<Try>();
  const TimeUs now = now_us();
  for (const Credential& credential : grants->credentials) {
    if (credential.kind == CredentialKind::kPassword && credential.window.contains(now))
      attempt->candidates.push_back(credential);
  }
  if (attempt->candidates.empty()) return nullptr;
  attempt->device = std::move(*device);
  attempt->key = record_key(shown.tenant, shown.device);
  attempt->address = owner_of_address(shown.peer.host);
  attempt->password = shown.secret;
  // Keys of records have no NUL.
  attempt->memory = hmac_sha256(memory_key_, attempt->key + '\0' + attempt->password);
  attempt->begun = std::chrono::steady_clock::now();
  return attempt;
}

std::shared_ptr<const Identity> Authenticator::remembered(const Try& attempt) {
  const auto proof = memory_.find(attempt.memory);
  if (!proof) return nullptr;
  auto identity = identity_of(attempt.device, *proof);
  if (valid_until(*identity)) return identity;
  memory_.remove(attempt.memory);
  return nullptr;
}

void Authenticator::check(const Try& attempt, const Later& later) {
  const auto waited = std::chrono::steady_clock::now() - attempt.begun;
  if (stopping_.load() || waited > options_.patience) {
    guard_.give_back(attempt.key, attempt.address);
    metrics_.count(Shows::kPassword, Outcome::kBusy);
    return later(Error{ErrorKind::kUnavailable, "the password was not checked in time; try again later"});
  }
  Admitted admitted = Error{ErrorKind::kUnauthenticated, std::string(kNotKnown)};
  for (const Credential& candidate : attempt.candidates) {
    const auto right = credentials::verify_password(candidate.phc, attempt.password);
    if (!right.ok()) admitted = Error{ErrorKind::kUnavailable, right.error().message};
    if (!right.ok() || !*right) continue;
    auto identity = identity_of(attempt.device, {Proof::Kind::kCredential, candidate.digest, candidate.id});
    if (!valid_until(*identity)) continue;  // it was taken away meanwhile
    memory_.put(attempt.memory, identity->proof);
    admitted = std::shared_ptr<const Identity>(std::move(identity));
    break;
  }
  const bool wrong = !admitted.ok() && admitted.error().kind == ErrorKind::kUnauthenticated;
  if (!wrong) guard_.give_back(attempt.key, attempt.address);
  metrics_.count(Shows::kPassword, admitted.ok() ? Outcome::kAccepted : wrong ? Outcome::kRefused : Outcome::kBusy);
  metrics_.password_seconds.observe(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - attempt.begun).count());
  later(std::move(admitted));
}

}  // namespace millrace::gateway
