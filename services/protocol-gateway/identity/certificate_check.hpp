#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "identity/credential_source.hpp"
#include "identity/identity.hpp"
#include "identity/recent.hpp"

namespace millrace::gateway {

/// Whom a client certificate stands for. Thread-safe.
class CertificateCheck {
 public:
  struct Found {
    std::shared_ptr<const Identity> identity = {};  ///< null: nobody
    /// A leaf of an authority that makes devices, of one that is not known. With it nobody is.
    registry_view::AuthorityPtr provisions = {};
    std::string new_device = {};
    std::string why = {};  ///< nobody is: a sentence for whoever showed it, which tells nothing of who exists
  };

  /// `source` must outlive it.
  explicit CertificateCheck(const CredentialSource& source);

  /// `chain` as of tls::Session::peer_chain(), not empty. `tenant` and `device`: whom the client named; both empty:
  /// nobody. Takes some signature checks for a chain that was not seen lately, no time worth speaking of for others.
  [[nodiscard]] Found check(const std::vector<std::string>& chain, const std::string& tenant, const std::string& device,
                            TimeUs now);

 private:
  struct Search;

  void find_pinned(Search& search) const;
  void find_issued(Search& search);
  void find_named(Search& search, const registry_view::AuthorityPtr& authority, TimeUs ends) const;
  /// When the first of the certificates ends; none: it is not issued under this authority.
  [[nodiscard]] std::optional<TimeUs> verify(const Search& search, const registry_view::Authority& authority);
  void add(Search& search, const std::string& tenant, const std::string& device, Proof proof) const;

  const CredentialSource& source_;
  Recent<TimeUs> verified_;  // by chain and authority: when the first of them ends
};

}  // namespace millrace::gateway
