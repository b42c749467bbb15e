// Who is let in with what, against a registry that the test writes.
#include "identity/authenticator.hpp"

#include <algorithm>
#include <condition_variable>
#include <future>
#include <map>

#include <gtest/gtest.h>

#include <millrace/credentials/password.hpp>

#include "eventually.hpp"
#include "identity/validity.hpp"
#include "test_certificates.hpp"

namespace millrace::gateway {
namespace {

using credentials::Certificate;
using credentials::NameSource;
using registry_view::Authority;
using registry_view::Credential;
using registry_view::CredentialKind;
using registry_view::Device;
using registry_view::DeviceGrants;
using std::chrono::seconds;

constexpr TimeUs kHour = 3600 * kUsPerSecond;

/// A registry in two maps.
class FakeCredentials final : public CredentialSource {
 public:
  struct Entry {
    Device device;
    std::vector<Sha256> tokens;
    std::shared_ptr<DeviceGrants> grants;
  };

  Entry& add(const std::string& tenant, const std::string& device) {
    Entry& entry = entries[tenant + "/" + device];
    entry.device = {tenant, device, static_cast<std::int32_t>(entries.size()), true};
    return entry;
  }
  Credential& add_credential(Entry& entry, CredentialKind kind, const Sha256& digest) {
    if (!entry.grants) entry.grants = std::make_shared<DeviceGrants>();
    entry.grants->credentials.push_back(
        {"c" + std::to_string(entry.grants->credentials.size() + 1), kind, {}, digest, {}});
    return entry.grants->credentials.back();
  }
  Credential& add_password(Entry& entry, const std::string& phc) {
    Credential& made = add_credential(entry, CredentialKind::kPassword, sha256(phc));
    made.phc = phc;
    return made;
  }
  Authority& add_authority(const std::string& tenant, const std::string& der, const std::string& pattern,
                           NameSource source = NameSource::kCommonName) {
    known.push_back(std::make_shared<Authority>(
        Authority{tenant, "factory", *Certificate::from_der(der), {}, source, pattern, false, true}));
    return *known.back();
  }

  [[nodiscard]] bool ready() const override { return is_ready; }
  [[nodiscard]] std::optional<Device> find(std::string_view tenant, std::string_view device) const override {
    const auto found = entries.find(std::string(tenant) + "/" + std::string(device));
    return found == entries.end() ? std::nullopt : std::optional(found->second.device);
  }
  [[nodiscard]] std::optional<Device> find_with_token(std::string_view tenant, std::string_view device,
                                                      const Sha256& token) const override {
    for (const auto& [key, entry] : entries) {
      const bool named = tenant.empty() || (entry.device.tenant == tenant && entry.device.device == device);
      if (named && std::ranges::find(entry.tokens, token) != entry.tokens.end()) return entry.device;
    }
    return std::nullopt;
  }
  [[nodiscard]] registry_view::DeviceGrantsPtr grants(std::string_view tenant, std::string_view device) const override {
    const auto found = entries.find(std::string(tenant) + "/" + std::string(device));
    return found == entries.end() ? nullptr : found->second.grants;
  }
  [[nodiscard]] std::vector<registry_view::Holder> holders(const Sha256& digest, CredentialKind kind) const override {
    std::vector<registry_view::Holder> found;
    for (const auto& [key, entry] : entries) {
      if (!entry.grants) continue;
      for (const Credential& credential : entry.grants->credentials) {
        if (credential.kind == kind && credential.digest == digest)
          found.push_back({entry.device.tenant, entry.device.device, credential});
      }
    }
    found.resize(std::min(found.size(), kMostHolders));
    return found;
  }
  [[nodiscard]] registry_view::AuthorityPtr authority(std::string_view tenant, std::string_view name) const override {
    for (const auto& authority : known) {
      if (authority->tenant == tenant && authority->name == name) return authority;
    }
    return nullptr;
  }
  [[nodiscard]] std::vector<registry_view::AuthorityPtr> authorities(std::string_view tenant,
                                                                     std::string_view subject) const override {
    std::vector<registry_view::AuthorityPtr> found;
    for (const auto& authority : known) {
      if ((tenant.empty() || authority->tenant == tenant) && authority->certificate.subject() == subject)
        found.push_back(authority);
    }
    return found;
  }

  static constexpr std::size_t kMostHolders = 8;
  bool is_ready = true;
  std::map<std::string, Entry> entries;
  std::vector<std::shared_ptr<Authority>> known;
};

class AuthenticatorTest : public ::testing::Test {
 protected:
  static constexpr const char* kPassword = "correct horse";
  static const std::string& phc() {
    static const std::string made = *credentials::hash_password(kPassword);
    return made;
  }
  void SetUp() override {
    m1_ = &source_.add("acme", "m-1");
    m1_->tokens = {sha256("mt_plain")};
  }
  void begin(Provisioner* provisioner = nullptr) {
    options_.guard.pair = {0.001, 3};
    authenticator_ = std::make_unique<Authenticator>(options_, source_, metrics_, provisioner);
  }
  static Shown with_secret(const std::string& secret, const std::string& device = "m-1") {
    return {device.empty() ? "" : "acme", device, secret, {}, {"192.0.2.1", 1}};
  }
  static Shown with_chain(const test::TestCertificate& leaf, const std::string& device = "",
                          const std::string& secret = "") {
    return {device.empty() ? "" : "acme", device, secret, {leaf.der()}, {"192.0.2.1", 1}};
  }
  Authenticator::Admitted now(const Shown& shown) {
    auto admitted = authenticator_->admit(shown);
    return admitted ? *admitted : Error{ErrorKind::kInternal, "it takes longer"};
  }
  Authenticator::Admitted later(const Shown& shown) {
    std::promise<Authenticator::Admitted> promise;
    authenticator_->admit_later(shown,
                                [&](Authenticator::Admitted admitted) { promise.set_value(std::move(admitted)); });
    return promise.get_future().get();
  }
  static ErrorKind kind_of(const Authenticator::Admitted& admitted) {
    return admitted.ok() ? ErrorKind::kInternal : admitted.error().kind;
  }

  observability::Metrics registry_;
  AdmissionMetrics metrics_{registry_};
  FakeCredentials source_;
  FakeCredentials::Entry* m1_ = nullptr;
  Authenticator::Options options_;
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AuthenticatorTest, APlainTokenIsGoodWithAndWithoutAName) {
  begin();
  EXPECT_EQ(now(with_secret("mt_plain")).value()->key, "acme/m-1");
  EXPECT_EQ(now(with_secret("mt_plain", "")).value()->device.device, "m-1");
  EXPECT_EQ(authenticator_->admit_token("acme", "m-1", sha256("mt_plain")).value()->key, "acme/m-1");
}

TEST_F(AuthenticatorTest, AWrongTokenAndAnUnknownDeviceHearTheSame) {
  begin();
  const auto wrong = now(with_secret("mt_wrong"));
  const auto unknown = now(with_secret("mt_wrong", "nobody"));
  EXPECT_EQ(kind_of(wrong), ErrorKind::kUnauthenticated);
  EXPECT_EQ(kind_of(unknown), ErrorKind::kUnauthenticated);
  EXPECT_EQ(wrong.error().message, unknown.error().message);
  source_.is_ready = false;
  EXPECT_EQ(kind_of(now(with_secret("mt_wrong"))), ErrorKind::kUnavailable);
  EXPECT_TRUE(now(with_secret("mt_plain")).ok()) << "who is known is let in before the copy is complete";
}

TEST_F(AuthenticatorTest, ATimedTokenIsGoodInItsWindow) {
  begin();
  Credential& timed = source_.add_credential(*m1_, CredentialKind::kToken, sha256("mt_timed"));
  timed.window = {now_us() - kHour, now_us() + kHour};
  const auto identity = now(with_secret("mt_timed"));
  ASSERT_TRUE(identity.ok());
  EXPECT_TRUE(now(with_secret("mt_timed", "")).ok());
  EXPECT_EQ(authenticator_->valid_until(**identity), timed.window.not_after_us);
  timed.window = {0, now_us() - 1};
  EXPECT_EQ(kind_of(now(with_secret("mt_timed"))), ErrorKind::kUnauthenticated);
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt);
  timed.window = {now_us() + kHour, 0};
  EXPECT_FALSE(now(with_secret("mt_timed")).ok()) << "not yet";
}

TEST_F(AuthenticatorTest, ADisabledOrRemadeDeviceIsOutAtOnce) {
  begin();
  const auto identity = now(with_secret("mt_plain"));
  EXPECT_EQ(authenticator_->valid_until(**identity), kForEver);
  m1_->device.enabled = false;
  EXPECT_FALSE(now(with_secret("mt_plain")).ok());
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt);
  m1_->device.enabled = true;
  m1_->device.device_key = 99;
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt) << "another device of the same name";
}

TEST_F(AuthenticatorTest, APasswordIsCheckedOnceAndThenRemembered) {
  source_.add_password(*m1_, phc());
  begin();
  EXPECT_EQ(authenticator_->admit(with_secret(kPassword)), std::nullopt) << "it takes longer";
  const auto identity = later(with_secret(kPassword));
  ASSERT_TRUE(identity.ok()) << identity.error().message;
  EXPECT_EQ((*identity)->proof.kind, Proof::Kind::kCredential);
  EXPECT_EQ(now(with_secret(kPassword)).value()->key, "acme/m-1");
  EXPECT_EQ(authenticator_->admit(with_secret("another password")), std::nullopt);
  m1_->grants->credentials.clear();
  EXPECT_EQ(kind_of(now(with_secret(kPassword))), ErrorKind::kUnauthenticated) << "the memory ends with the credential";
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt);
}

TEST_F(AuthenticatorTest, APasswordMayBeOneOfSeveralAndHasItsWindow) {
  source_.add_password(*m1_, *credentials::hash_password("the other password"));
  source_.add_password(*m1_, phc()).window = {0, now_us() + kHour};
  begin();
  const auto identity = later(with_secret(kPassword));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ((*identity)->proof.name, "c2");
  m1_->grants->credentials[1].window.not_after_us = now_us() - 1;
  EXPECT_EQ(authenticator_->admit(with_secret(kPassword)), std::nullopt)
      << "not remembered, but it may be the first one";
  EXPECT_EQ(kind_of(later(with_secret(kPassword))), ErrorKind::kUnauthenticated);
}

// Whoever guesses from elsewhere does not shut the device out.
TEST_F(AuthenticatorTest, AGuesserIsHeldUpAtItsOwnAddressAndTheDeviceIsNot) {
  source_.add_password(*m1_, phc());
  begin();
  Shown guess = with_secret("wrong password");
  guess.peer.host = "198.51.100.7";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kind_of(later(guess)), ErrorKind::kUnauthenticated);
  EXPECT_EQ(kind_of(later(guess)), ErrorKind::kThrottled);
  EXPECT_TRUE(later(with_secret(kPassword)).ok()) << "the device, from its own address, for the first time";
}

// From very many addresses a device can be held up, but not with a password that was right before.
TEST_F(AuthenticatorTest, ARememberedPasswordIsLetInWhateverAllOthersGuess) {
  options_.guard.device = {0.001, 6};
  source_.add_password(*m1_, phc());
  begin();
  ASSERT_TRUE(later(with_secret(kPassword)).ok());
  ErrorKind last = ErrorKind::kInternal;
  int looked_at = 0;
  for (int i = 0; i < 20; ++i) {
    Shown guess = with_secret("wrong password");
    guess.peer.host = "198.51.100." + std::to_string(i);
    last = kind_of(later(guess));
    if (last == ErrorKind::kUnauthenticated) ++looked_at;
  }
  EXPECT_EQ(last, ErrorKind::kThrottled) << "each of them came from an address of its own";
  EXPECT_EQ(looked_at, 6);
  Shown device = with_secret(kPassword);
  device.peer.host = "203.0.113.9";
  EXPECT_TRUE(now(device).ok());
  EXPECT_TRUE(later(device).ok());
}

TEST_F(AuthenticatorTest, WrongPasswordsAreLimitedByDeviceAndRightOnesAreNot) {
  source_.add_password(*m1_, phc());
  begin();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(kind_of(later(with_secret("wrong password"))), ErrorKind::kUnauthenticated);
  const auto over = later(with_secret("wrong password"));
  EXPECT_EQ(kind_of(over), ErrorKind::kThrottled);
  EXPECT_GT(authenticator_->retry_after_s(), 0);
  EXPECT_EQ(kind_of(later(with_secret(kPassword))), ErrorKind::kThrottled) << "nothing is hashed any more";
  FakeCredentials::Entry& m2 = source_.add("acme", "m-2");
  source_.add_password(m2, phc());
  for (int i = 0; i < 5; ++i) {
    source_.entries["acme/m-2"].grants->credentials[0].id = "c" + std::to_string(10 + i);  // forgets what was right
    EXPECT_TRUE(later(with_secret(kPassword, "m-2")).ok()) << i;
  }
}

TEST_F(AuthenticatorTest, WrongPasswordsAreLimitedByAddress) {
  options_.guard.address = {0.001, 2};
  for (const char* device : {"a", "b", "c"}) source_.add_password(source_.add("acme", device), phc());
  begin();
  EXPECT_EQ(kind_of(later(with_secret("wrong password", "a"))), ErrorKind::kUnauthenticated);
  EXPECT_EQ(kind_of(later(with_secret("wrong password", "b"))), ErrorKind::kUnauthenticated);
  EXPECT_EQ(kind_of(later(with_secret("wrong password", "c"))), ErrorKind::kThrottled);
  Shown elsewhere = with_secret("wrong password", "c");
  elsewhere.peer.host = "192.0.2.2";
  EXPECT_EQ(kind_of(later(elsewhere)), ErrorKind::kUnauthenticated);
}

TEST_F(AuthenticatorTest, PasswordsThatFindNoRoomAreToldToComeAgain) {
  source_.add_password(*m1_, phc());
  options_.threads = 1;
  options_.queue = 1;
  options_.guard.pair = {1, 100};
  authenticator_ = std::make_unique<Authenticator>(options_, source_, metrics_, nullptr);
  std::mutex mutex;
  std::vector<ErrorKind> answers;
  for (int i = 0; i < 10; ++i) {
    authenticator_->admit_later(with_secret("wrong password"), [&](const Authenticator::Admitted& admitted) {
      const std::lock_guard lock(mutex);
      answers.push_back(kind_of(admitted));
    });
  }
  ASSERT_TRUE(testing::eventually([&] {
    const std::lock_guard lock(mutex);
    return answers.size() == 10;
  }));
  EXPECT_GE(std::ranges::count(answers, ErrorKind::kUnavailable), 7);
  EXPECT_GE(std::ranges::count(answers, ErrorKind::kUnauthenticated), 1);
}

TEST_F(AuthenticatorTest, APinnedCertificateIsItsDevice) {
  const auto leaf = test::make_certificate({.common_name = "whatever"});
  source_.add_credential(*m1_, CredentialKind::kCertificate, sha256(leaf.der()));
  begin();
  EXPECT_EQ(now(with_chain(leaf)).value()->key, "acme/m-1");
  EXPECT_EQ(now(with_chain(leaf, "m-1")).value()->key, "acme/m-1");
  source_.add("acme", "m-2");
  EXPECT_EQ(kind_of(now(with_chain(leaf, "m-2"))), ErrorKind::kForbidden) << "another device's name";
  const auto stranger = test::make_certificate({.common_name = "whatever"});
  EXPECT_EQ(kind_of(now(with_chain(stranger))), ErrorKind::kForbidden);
  EXPECT_TRUE(now(with_chain(stranger, "m-1", "mt_plain")).ok()) << "then the token decides";
  EXPECT_EQ(kind_of(now(with_chain(stranger, "m-1", "mt_wrong"))), ErrorKind::kUnauthenticated);
}

TEST_F(AuthenticatorTest, APinnedCertificateHasItsOwnDates) {
  const auto over = test::make_certificate({.common_name = "over", .from_s = -7200, .to_s = -3600});
  const auto early = test::make_certificate({.common_name = "early", .from_s = 3600, .to_s = 7200});
  const auto good = test::make_certificate({.common_name = "good"});
  for (const auto& leaf : {over, early, good})
    source_.add_credential(*m1_, CredentialKind::kCertificate, sha256(leaf.der()));
  begin();
  EXPECT_FALSE(now(with_chain(over)).ok());
  EXPECT_FALSE(now(with_chain(early)).ok());
  const auto identity = now(with_chain(good));
  ASSERT_TRUE(identity.ok());
  EXPECT_LE(authenticator_->valid_until(**identity).value(), now_us() + kHour);
  Shown broken = with_chain(good);
  broken.chain.push_back("no certificate");
  EXPECT_FALSE(now(broken).ok());
}

TEST_F(AuthenticatorTest, ACertificateOfTwoDevicesNeedsAName) {
  const auto leaf = test::make_certificate({.common_name = "whatever"});
  FakeCredentials::Entry& m2 = source_.add("acme", "m-2");
  source_.add_credential(*m1_, CredentialKind::kCertificate, sha256(leaf.der()));
  source_.add_credential(m2, CredentialKind::kCertificate, sha256(leaf.der()));
  begin();
  const auto ambiguous = now(with_chain(leaf));
  ASSERT_FALSE(ambiguous.ok());
  EXPECT_NE(ambiguous.error().message.find("give device@tenant as user name"), std::string::npos);
  EXPECT_EQ(now(with_chain(leaf, "m-2")).value()->key, "acme/m-2");
}

TEST_F(AuthenticatorTest, AnAuthoritysLeafIsTheDeviceThatItNames) {
  const auto root = test::make_authority("Factory");
  const auto leaf = test::make_leaf("meter:m-1", root);
  Authority& authority = source_.add_authority("acme", root.der(), "meter:{device}");
  begin();
  const auto identity = now(with_chain(leaf));
  ASSERT_TRUE(identity.ok()) << identity.error().message;
  EXPECT_EQ((*identity)->proof.kind, Proof::Kind::kAuthority);
  const auto ends = authenticator_->valid_until(**identity);
  ASSERT_TRUE(ends.has_value());
  EXPECT_LE(*ends, now_us() + kHour) << "the leaf's own end";
  EXPECT_TRUE(now(with_chain(leaf)).ok()) << "also when the chain is remembered";
  EXPECT_FALSE(now(with_chain(test::make_leaf("meter:unknown", root))).ok());
  EXPECT_FALSE(now(with_chain(test::make_leaf("m-1", root))).ok()) << "the pattern does not fit";
  EXPECT_FALSE(now(with_chain(test::make_leaf("meter:m-1", test::make_authority("Factory")))).ok()) << "forged";

  authority.window.not_after_us = now_us() + 1000 * kUsPerSecond;
  EXPECT_EQ(authenticator_->valid_until(**identity), authority.window.not_after_us);
  authority.window.not_after_us = now_us() - 1;
  EXPECT_FALSE(now(with_chain(leaf)).ok());
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt);
  authority.window = {};
  authority.pattern = "other:{device}";
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt) << "it would not be let in now";
  authority.pattern = "meter:{device}";
  authority.enabled = false;
  EXPECT_FALSE(now(with_chain(leaf)).ok());
  EXPECT_EQ(authenticator_->valid_until(**identity), std::nullopt);
}

TEST_F(AuthenticatorTest, AnIntermediateIsFollowedToTheAuthority) {
  const auto root = test::make_authority("Factory");
  const auto line = test::make_authority("Line 3", &root);
  const auto leaf = test::make_leaf("m-1", line);
  source_.add_authority("acme", root.der(), "{device}");
  begin();
  Shown shown = with_chain(leaf);
  EXPECT_FALSE(now(shown).ok()) << "nothing leads to the root";
  shown.chain.push_back(line.der());
  EXPECT_TRUE(now(shown).ok());
}

TEST_F(AuthenticatorTest, ALeafOfTwoTenantsNeedsAName) {
  const auto root = test::make_authority("Factory");
  source_.add("globex", "m-1");
  source_.add_authority("acme", root.der(), "{device}");
  source_.add_authority("globex", root.der(), "{device}");
  begin();
  const auto leaf = test::make_leaf("m-1", root);
  const auto ambiguous = now(with_chain(leaf));
  ASSERT_FALSE(ambiguous.ok());
  EXPECT_NE(ambiguous.error().message.find("user name"), std::string::npos);
  EXPECT_EQ(now(with_chain(leaf, "m-1")).value()->key, "acme/m-1");
}

TEST_F(AuthenticatorTest, APinnedCertificateGoesBeforeTheAuthoritiesOfItsOwnTenantOnly) {
  const auto root = test::make_authority("Factory");
  source_.add_authority("acme", root.der(), "{device}");
  const auto leaf = test::make_leaf("m-1", root);
  FakeCredentials::Entry& taker = source_.add("globex", "m-1");
  Credential& taken = source_.add_credential(taker, CredentialKind::kCertificate, sha256(leaf.der()));
  begin();
  const auto ambiguous = now(with_chain(leaf));
  ASSERT_FALSE(ambiguous.ok()) << "let in as " << (*ambiguous)->key;
  EXPECT_NE(ambiguous.error().message.find("user name"), std::string::npos);
  EXPECT_EQ(now(with_chain(leaf, "m-1")).value()->key, "acme/m-1");

  taken.digest = {};
  FakeCredentials::Entry& m2 = source_.add("acme", "m-2");
  source_.add_credential(m2, CredentialKind::kCertificate, sha256(leaf.der()));
  EXPECT_EQ(now(with_chain(leaf)).value()->key, "acme/m-2");
}

TEST_F(AuthenticatorTest, WhatOthersPinLeavesADeviceItsOwn) {
  const auto leaf = test::make_certificate({.common_name = "whatever"});
  source_.add_credential(*m1_, CredentialKind::kCertificate, sha256(leaf.der()));
  for (std::size_t i = 0; i < FakeCredentials::kMostHolders; ++i) {
    FakeCredentials::Entry& other = source_.add("aardvark", "x-" + std::to_string(i));
    source_.add_credential(other, CredentialKind::kCertificate, sha256(leaf.der()));
  }
  begin();
  EXPECT_FALSE(now(with_chain(leaf)).ok());
  const auto named = now(with_chain(leaf, "m-1"));
  ASSERT_TRUE(named.ok()) << named.error().message;
  EXPECT_EQ((*named)->key, "acme/m-1");
}

TEST_F(AuthenticatorTest, AuthoritiesOfOneTenantLeaveRoomForThoseOfAnother) {
  const auto root = test::make_authority("Factory");
  for (int i = 0; i < 40; ++i) source_.add_authority("globex", test::make_authority("Factory").der(), "{device}");
  source_.add_authority("acme", root.der(), "{device}");
  begin();
  const auto found = now(with_chain(test::make_leaf("m-1", root)));
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ((*found)->key, "acme/m-1");
}

/// Makes the device at once, or refuses.
class FakeProvisioner final : public Provisioner {
 public:
  explicit FakeProvisioner(FakeCredentials& source) : source_(source) {}
  void provision(const std::string& tenant, const std::string& device, const std::vector<std::string>& chain,
                 std::function<void(Status)> done) override {
    ++asked;
    if (chain.empty() || !answer.ok()) return done(answer);
    source_.add(tenant, device);
    done({});
  }
  int asked = 0;
  Status answer;

 private:
  FakeCredentials& source_;
};

TEST_F(AuthenticatorTest, AnAuthorityThatProvisionsMakesItsDevices) {
  const auto root = test::make_authority("Factory");
  source_.add_authority("acme", root.der(), "{device}").provisions = true;
  const auto leaf = test::make_leaf("fresh-1", root);
  begin();
  const auto refused = now(with_chain(leaf));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("this gateway makes none"), std::string::npos);

  FakeProvisioner provisioner(source_);
  begin(&provisioner);
  EXPECT_EQ(authenticator_->admit(with_chain(leaf)), std::nullopt);
  EXPECT_EQ(later(with_chain(leaf)).value()->key, "acme/fresh-1");
  EXPECT_EQ(provisioner.asked, 1);
  EXPECT_EQ(now(with_chain(leaf)).value()->key, "acme/fresh-1");
  provisioner.answer = Error{ErrorKind::kForbidden, "no more devices"};
  EXPECT_EQ(kind_of(later(with_chain(test::make_leaf("fresh-2", root)))), ErrorKind::kForbidden);
  authenticator_.reset();
}

TEST(PasswordGuard, TriesComeBackWithTime) {
  PasswordGuard guard({.pair = {0.1, 2}, .address = {1, 100}, .device = {1, 100}, .most = 2});
  PasswordGuard::Clock::time_point now{seconds(1000)};
  EXPECT_EQ(guard.begin("d", "a", now).count(), 0);
  EXPECT_EQ(guard.begin("d", "a", now).count(), 0);
  EXPECT_EQ(guard.begin("d", "a", now), seconds(10));
  EXPECT_EQ(guard.begin("d", "b", now).count(), 0) << "another address";
  EXPECT_EQ(guard.begin("d", "a", now + seconds(10)).count(), 0);
  guard.give_back("d", "a");
  EXPECT_EQ(guard.begin("d", "a", now + seconds(10)).count(), 0);
}

// A refusal takes nothing of the limits that would have allowed the try.
TEST(PasswordGuard, WhatIsRefusedIsNotCounted) {
  PasswordGuard guard({.pair = {0.1, 1}, .address = {0.1, 3}, .device = {0.1, 4}, .most = 10});
  const PasswordGuard::Clock::time_point now{seconds(1000)};
  EXPECT_EQ(guard.begin("d", "a", now).count(), 0);
  for (int i = 0; i < 10; ++i) EXPECT_GT(guard.begin("d", "a", now).count(), 0);
  EXPECT_EQ(guard.begin("e", "a", now).count(), 0);
  EXPECT_EQ(guard.begin("f", "a", now).count(), 0);
  EXPECT_GT(guard.begin("g", "a", now).count(), 0) << "the address has had its three";
  for (const char* address : {"b", "c", "d"}) EXPECT_EQ(guard.begin("d", address, now).count(), 0) << address;
  EXPECT_GT(guard.begin("d", "e", now).count(), 0) << "the device has had its four";
}

// Who is over the limit of its address cannot make room for itself by naming other devices.
TEST(PasswordGuard, AnAddressOverItsLimitPushesNobodyOut) {
  PasswordGuard guard({.pair = {0.1, 1}, .address = {0.1, 2}, .device = {0.1, 100}, .most = 4});
  const PasswordGuard::Clock::time_point now{seconds(1000)};
  EXPECT_EQ(guard.begin("victim", "a", now).count(), 0);
  for (int i = 0; i < 100; ++i) static_cast<void>(guard.begin("d" + std::to_string(i), "b", now));
  EXPECT_GT(guard.begin("victim", "a", now).count(), 0) << "its one try is still known to be spent";
}

TEST(Recent, TheOneNotAskedForMakesRoom) {
  Recent<int> recent(2);
  recent.put(sha256("a"), 1);
  recent.put(sha256("b"), 2);
  EXPECT_EQ(recent.find(sha256("a")), 1);
  recent.put(sha256("c"), 3);
  EXPECT_EQ(recent.find(sha256("b")), std::nullopt);
  EXPECT_EQ(recent.find(sha256("a")), 1);
  recent.remove(sha256("a"));
  EXPECT_EQ(recent.size(), 1U);
}

}  // namespace
}  // namespace millrace::gateway
