-- query-api reads the store and nothing else; device-registry looks up what it replays. Run as superuser after the
-- schemas were migrated; safe to repeat.
GRANT USAGE ON SCHEMA storage TO query_api;
GRANT SELECT ON ALL TABLES IN SCHEMA storage TO query_api;
ALTER DEFAULT PRIVILEGES FOR ROLE storage_writer IN SCHEMA storage GRANT SELECT ON TABLES TO query_api;
GRANT USAGE ON SCHEMA storage TO device_registry;
GRANT SELECT ON storage.dead_letter, storage.ingest_offset TO device_registry;
