-- The login roles of the services, each with the password that the environment of psql names. Run as superuser in the
-- database of Millrace; safe to repeat, and a changed password is taken over.
\getenv device_registry_password DEVICE_REGISTRY_PASSWORD
\getenv storage_writer_password STORAGE_WRITER_PASSWORD
\getenv query_api_password QUERY_API_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['device_registry', 'storage_writer', 'query_api']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE device_registry PASSWORD :'device_registry_password';
ALTER ROLE storage_writer PASSWORD :'storage_writer_password';
ALTER ROLE query_api PASSWORD :'query_api_password';

-- Each of the two owns a schema, which it makes itself (`migrate`).
GRANT CREATE, CONNECT ON DATABASE :"DBNAME" TO device_registry, storage_writer;
