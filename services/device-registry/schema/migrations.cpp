#include "schema/migrations.hpp"

#include <array>

namespace millrace::registry {
namespace {

constexpr std::string_view kFirst = R"sql(
CREATE TABLE registry.tenant (
  tenant     text PRIMARY KEY,
  tenant_key int4 GENERATED ALWAYS AS IDENTITY UNIQUE,
  enabled    boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Device keys are never given twice: at start the sequence is moved beyond the greatest key that the topic has named.
CREATE SEQUENCE registry.device_key_seq AS int4;
CREATE TABLE registry.device (
  device_key int4 PRIMARY KEY,
  tenant     text NOT NULL REFERENCES registry.tenant,
  device     text NOT NULL,
  enabled    boolean NOT NULL DEFAULT true,
  attributes jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (tenant, device)
);
CREATE TABLE registry.device_token (
  device_key int4 NOT NULL REFERENCES registry.device ON DELETE CASCADE,
  sha256     bytea NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (device_key, sha256)
);
CREATE TABLE registry.api_key (
  key_id      text PRIMARY KEY,
  tenant      text REFERENCES registry.tenant ON DELETE CASCADE,  -- NULL: of the platform
  role        int2 NOT NULL,
  sha256      bytea NOT NULL UNIQUE,
  enabled     boolean NOT NULL DEFAULT true,
  description text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz  -- NULL: never
);
CREATE INDEX api_key_tenant ON registry.api_key (tenant, key_id);

-- Changes on their way to the topic. Ids are drawn under a lock that is held until the commit: their order is the order of the
-- commits.
CREATE SEQUENCE registry.outbox_seq;
CREATE TABLE registry.outbox (
  id    int8 PRIMARY KEY,
  key   text NOT NULL,
  value bytea  -- NULL: a tombstone
);
)sql";

constexpr std::string_view kRules = R"sql(
-- Versions are never given twice, also after a rule was deleted and made again.
CREATE SEQUENCE registry.rule_version_seq;
CREATE TABLE registry.rule (
  tenant        text    NOT NULL REFERENCES registry.tenant,
  rule          text    NOT NULL,
  version       int8    NOT NULL,
  metric        text    NOT NULL,
  device_prefix text    NOT NULL,
  raise         text    NOT NULL,
  clear         text    NOT NULL,
  severity      int2    NOT NULL,  -- as rules.v1.Severity
  description   text    NOT NULL,
  enabled       boolean NOT NULL,
  PRIMARY KEY (tenant, rule)
);
CREATE TABLE registry.webhook (
  tenant     text PRIMARY KEY REFERENCES registry.tenant,
  url        text NOT NULL,
  secret     text NOT NULL,  -- it signs, so it cannot be kept as a hash
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE registry.outbox ADD COLUMN topic int2 NOT NULL DEFAULT 0;  -- 0 registry, 1 rules
)sql";

constexpr std::string_view kNeverTwice = R"sql(
-- What is stored of a tenant names it: whoever got the id again would read it.
CREATE TABLE registry.former_tenant (
  tenant     text PRIMARY KEY,
  deleted_at timestamptz NOT NULL DEFAULT now()
);
-- 0: of a rule that was made before this was kept.
ALTER TABLE registry.rule ADD COLUMN created_version int8 NOT NULL DEFAULT 0;
)sql";

constexpr std::string_view kLimits = R"sql(
-- Serialised registry.v1.LimitsEntry: nothing in here is asked for by its parts.
CREATE TABLE registry.tenant_limits (
  tenant text PRIMARY KEY REFERENCES registry.tenant ON DELETE CASCADE,
  entry  bytea NOT NULL
);
CREATE TABLE registry.device_limits (
  device_key int4 PRIMARY KEY REFERENCES registry.device ON DELETE CASCADE,
  entry      bytea NOT NULL
);
)sql";

constexpr std::string_view kCredentials = R"sql(
-- Numbers of credentials are never given twice within a device.
ALTER TABLE registry.device ADD COLUMN last_credential int4 NOT NULL DEFAULT 0;
-- `c<number>`. Its proof: the token in device_token that names it, the password's hash, or the certificate.
CREATE TABLE registry.credential (
  device_key         int4 NOT NULL REFERENCES registry.device ON DELETE CASCADE,
  number             int4 NOT NULL,
  password_phc       text,
  certificate_sha256 bytea,
  not_before_us      int8 NOT NULL,  -- 0: none
  not_after_us       int8 NOT NULL,
  PRIMARY KEY (device_key, number),
  UNIQUE (device_key, certificate_sha256)
);
-- NULL: a plain token, which is in the device's own entry of the topic.
ALTER TABLE registry.device_token ADD COLUMN credential int4,
  ADD FOREIGN KEY (device_key, credential) REFERENCES registry.credential ON DELETE CASCADE;
-- Serialised registry.v1.CredentialsEntry with children and topics alone.
CREATE TABLE registry.device_access (
  device_key int4 PRIMARY KEY REFERENCES registry.device ON DELETE CASCADE,
  entry      bytea NOT NULL
);
)sql";

constexpr std::string_view kAuthorities = R"sql(
-- Serialised registry.v1.AuthorityEntry, and how many devices there are that it has made.
CREATE TABLE registry.authority (
  tenant      text NOT NULL REFERENCES registry.tenant ON DELETE CASCADE,
  authority   text NOT NULL,
  entry       bytea NOT NULL,
  provisioned int8 NOT NULL,
  PRIMARY KEY (tenant, authority)
);
-- The name of the authority whose leaf made the device; NULL: somebody with an API key did.
ALTER TABLE registry.device ADD COLUMN provisioned_by text;
CREATE INDEX device_provisioned_by ON registry.device (tenant, provisioned_by) WHERE provisioned_by IS NOT NULL;
-- Serialised registry.v1.PolicyEntry.
CREATE TABLE registry.tenant_policy (
  tenant text PRIMARY KEY REFERENCES registry.tenant ON DELETE CASCADE,
  entry  bytea NOT NULL
);
)sql";

constexpr std::string_view kTypes = R"sql(
-- Serialised registry.v1.DeviceTypeEntry.
CREATE TABLE registry.device_type (
  tenant text NOT NULL REFERENCES registry.tenant ON DELETE CASCADE,
  type   text NOT NULL,
  entry  bytea NOT NULL,
  PRIMARY KEY (tenant, type)
);
ALTER TABLE registry.device ADD COLUMN type text,
  ADD FOREIGN KEY (tenant, type) REFERENCES registry.device_type;
CREATE INDEX device_type_of ON registry.device (tenant, type) WHERE type IS NOT NULL;
)sql";

constexpr std::string_view kRetention = R"sql(
-- Serialised registry.v1.RetentionEntry.
CREATE TABLE registry.tenant_retention (
  tenant text PRIMARY KEY REFERENCES registry.tenant ON DELETE CASCADE,
  entry  bytea NOT NULL
);
)sql";

constexpr std::array kMigrations{postgres::Migration{1, "tenants, devices, tokens, API keys, outbox", kFirst},
                                 postgres::Migration{2, "rules, webhooks", kRules},
                                 postgres::Migration{3, "ids that are never given twice", kNeverTwice},
                                 postgres::Migration{4, "limits", kLimits},
                                 postgres::Migration{5, "credentials, children, topics", kCredentials},
                                 postgres::Migration{6, "authorities, policies", kAuthorities},
                                 postgres::Migration{7, "types of devices", kTypes},
                                 postgres::Migration{8, "for how long points are kept", kRetention}};

}  // namespace

std::span<const postgres::Migration> migrations() { return kMigrations; }

}  // namespace millrace::registry
