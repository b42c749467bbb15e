-- The database millrace and a login role for each service that uses it. Run by a superuser; safe to repeat: it then sets
-- the passwords again. The passwords come from the environment and are never part of a command line.
\getenv device_registry_password DEVICE_REGISTRY_PASSWORD
\getenv storage_writer_password STORAGE_WRITER_PASSWORD
\getenv query_api_password QUERY_API_PASSWORD

SELECT 'CREATE DATABASE millrace' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'millrace') \gexec

SELECT format('CREATE ROLE %I %s', wanted.name, wanted.kind)
  FROM (VALUES ('device_registry', 'LOGIN'), ('storage_writer', 'LOGIN'), ('query_api', 'LOGIN'),
               ('millrace_reader', 'NOLOGIN'), ('millrace_replay', 'NOLOGIN')) AS wanted (name, kind)
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) \gexec

ALTER ROLE device_registry PASSWORD :'device_registry_password';
ALTER ROLE storage_writer PASSWORD :'storage_writer_password';
ALTER ROLE query_api PASSWORD :'query_api_password';

-- These two own a schema each and make it by `migrate`.
GRANT CREATE, CONNECT ON DATABASE millrace TO device_registry, storage_writer;
-- `storage-writer migrate` grants these what they stand for: reading the store, and looking up what is replayed.
GRANT millrace_reader TO query_api;
GRANT millrace_replay TO device_registry;
