-- The keys: the wrapped keyset (one, in the usual case), its wraps, an index of its
-- keys for SQL, and their history. The wrapped keyset is the authority: the rows
-- of vault_keys are compared with it, never believed.

-- +goose Up
SET LOCAL lock_timeout = '5s';

-- The host's tables are checked first, so that nothing is half made.
-- +goose StatementBegin
DO $$
DECLARE
    home     text := current_schema();
    paths    text := current_setting('search_path');
    host     text;
    relation regclass;
    id_type  text;
BEGIN
    IF home IS NULL THEN
        RAISE EXCEPTION 'no schema to make the tables in: search_path (%) names none that exists', paths
            USING HINT = 'Create the schema, or correct search_path.';
    END IF;

    IF to_regprocedure(format('%I.strongroom_schema()', home)) IS NOT NULL THEN
        RAISE EXCEPTION 'schema % holds Strongroom''s tables already, but not the record of this migration', home
            USING HINT = 'Another tool made them: go on with that tool.';
    END IF;

    IF to_regclass(format('%I.integrations', home)) IS NOT NULL THEN
        RAISE EXCEPTION 'schema % holds a relation named integrations, which is not Strongroom''s', home
            USING HINT = 'Rename it, or give Strongroom a schema of its own: create one and name it first in the search_path of Strongroom''s connections.';
    END IF;

    FOREACH host IN ARRAY ARRAY['workspaces', 'users'] LOOP
        relation := to_regclass(host);
        IF relation IS NULL THEN
            RAISE EXCEPTION 'no table % in search_path (%): Strongroom''s tables refer to it', host, paths
                USING HINT = format('Create %s(id text primary key, ...), or, for development, run: rotate-keys migrate up --create-host-tables', host);
        END IF;

        IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation AND relkind IN ('r', 'p')) THEN
            RAISE EXCEPTION '% is not a table: Strongroom''s tables refer to it by foreign key', relation
                USING HINT = format('Name a schema that holds the table %s earlier in search_path.', host);
        END IF;

        SELECT format_type(atttypid, atttypmod) INTO id_type
        FROM pg_attribute
        WHERE attrelid = relation AND attname = 'id' AND NOT attisdropped;
        IF id_type IS DISTINCT FROM 'text' THEN
            RAISE EXCEPTION 'table % has %: Strongroom needs a column id of type text', relation,
                    coalesce('a column id of type ' || id_type, 'no column id')
                USING HINT = format('Change it, or keep a table %s(id text primary key) for Strongroom in a schema that search_path names earlier.', host);
        END IF;

        IF NOT EXISTS (
            SELECT FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'id'
            WHERE i.indrelid = relation AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
              AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        ) THEN
            RAISE EXCEPTION 'column id of table % is not unique: Strongroom''s tables refer to it by foreign key', relation
                USING HINT = format('Run: ALTER TABLE %s ADD PRIMARY KEY (id)', relation);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

CREATE TABLE vault_keysets (
    name       text        NOT NULL CONSTRAINT vault_keysets_name_filled CHECK (name <> ''),
    generation bigint      NOT NULL CONSTRAINT vault_keysets_generation_positive CHECK (generation >= 1),
    revision   text        NOT NULL CONSTRAINT vault_keysets_revision_nanoid CHECK (char_length(revision) = 21),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_keysets_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE vault_keysets IS 'Strongroom: the version of each keyset; changed by compare-and-swap only';

-- +goose StatementBegin
CREATE FUNCTION vault_keysets_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'keyset % cannot be deleted: every credential sealed under it would be lost', OLD.name
            USING HINT = 'To remove Strongroom and all that it holds, run: rotate-keys migrate down';
    ELSIF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'vault_keysets cannot be truncated: every stored credential would be lost'
            USING HINT = 'To remove Strongroom and all that it holds, run: rotate-keys migrate down';
    ELSIF NEW.name <> OLD.name THEN
        RAISE EXCEPTION 'keyset % cannot be renamed: its wraps are bound to its name', OLD.name
            USING HINT = 'Keep the name; a keyset that is to have another is made with: rotate-keys init';
    ELSIF NEW.generation < OLD.generation THEN
        RAISE EXCEPTION 'keyset %: generation % cannot be lowered to %', OLD.name, OLD.generation, NEW.generation
            USING HINT = 'After restoring a backup, run: rotate-keys recover';
    ELSIF NEW.generation = OLD.generation AND NEW.revision <> OLD.revision THEN
        RAISE EXCEPTION 'keyset %: the revision cannot change within generation %', OLD.name, OLD.generation
            USING HINT = 'Raise the generation in the same statement.';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER vault_keysets_guard_row BEFORE UPDATE OR DELETE ON vault_keysets
    FOR EACH ROW EXECUTE FUNCTION vault_keysets_guard();
CREATE TRIGGER vault_keysets_guard_truncate BEFORE TRUNCATE ON vault_keysets
    FOR EACH STATEMENT EXECUTE FUNCTION vault_keysets_guard();

CREATE TABLE vault_keyset_wraps (
    keyset  text  NOT NULL,
    kek_uri text  NOT NULL CONSTRAINT vault_keyset_wraps_kek_uri_filled CHECK (kek_uri <> ''),
    wrapped bytea NOT NULL CONSTRAINT vault_keyset_wraps_wrapped_size
        CHECK (octet_length(wrapped) BETWEEN 1 AND 65536),
    CONSTRAINT vault_keyset_wraps_pkey PRIMARY KEY (keyset, kek_uri),
    CONSTRAINT vault_keyset_wraps_keyset_fkey FOREIGN KEY (keyset) REFERENCES vault_keysets (name)
);
COMMENT ON TABLE vault_keyset_wraps IS 'Strongroom: each keyset''s present generation, encrypted under each of its KEKs';

-- Without a wrap a keyset is lost. Checked at commit, since a change replaces all of them.
-- +goose StatementBegin
CREATE FUNCTION vault_keyset_wraps_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_over bool;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'vault_keyset_wraps cannot be truncated: every stored credential would be lost'
            USING HINT = 'To remove Strongroom and all that it holds, run: rotate-keys migrate down';
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE keyset = $1)', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        INTO left_over USING OLD.keyset;
    IF NOT left_over THEN
        RAISE EXCEPTION 'keyset % would have no wrap left: every credential sealed under it would be lost', OLD.keyset
            USING HINT = 'Add a wrap under another KEK in the same transaction.';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER vault_keyset_wraps_guard_row AFTER UPDATE OR DELETE ON vault_keyset_wraps
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vault_keyset_wraps_guard();
CREATE TRIGGER vault_keyset_wraps_guard_truncate BEFORE TRUNCATE ON vault_keyset_wraps
    FOR EACH STATEMENT EXECUTE FUNCTION vault_keyset_wraps_guard();

-- No trigger and no foreign key to vault_keysets here: this is a reference table on
-- Citus, and vault_keysets stays local to the coordinator.
CREATE TABLE vault_keys (
    key_id      bigint      NOT NULL CONSTRAINT vault_keys_key_id_uint32 CHECK (key_id BETWEEN 1 AND 4294967295),
    keyset      text        NOT NULL CONSTRAINT vault_keys_keyset_filled CHECK (keyset <> ''),
    status      text        NOT NULL CONSTRAINT vault_keys_status_known
        CHECK (status IN ('staged', 'primary', 'retired')),
    template    text        NOT NULL CONSTRAINT vault_keys_template_known
        CHECK (template IN ('AES256_GCM', 'XAES_256_GCM_192_BIT_NONCE')),
    binding     smallint    NOT NULL DEFAULT 1 CONSTRAINT vault_keys_binding_positive CHECK (binding >= 1),
    created_at  timestamptz NOT NULL DEFAULT now(),
    promoted_at timestamptz,
    retired_at  timestamptz,
    drained_at  timestamptz,
    CONSTRAINT vault_keys_pkey PRIMARY KEY (key_id)
);
CREATE UNIQUE INDEX vault_keys_one_primary ON vault_keys (keyset) WHERE status = 'primary';
CREATE UNIQUE INDEX vault_keys_one_staged ON vault_keys (keyset) WHERE status = 'staged';
COMMENT ON TABLE vault_keys IS 'Strongroom: the keys of the keysets by id, without key material';

CREATE TABLE vault_key_events (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    keyset      text        NOT NULL CONSTRAINT vault_key_events_keyset_filled CHECK (keyset <> ''),
    event       text        NOT NULL CONSTRAINT vault_key_events_event_filled CHECK (event <> ''),
    key_id      bigint      CONSTRAINT vault_key_events_key_id_uint32 CHECK (key_id BETWEEN 1 AND 4294967295),
    generation  bigint      NOT NULL,
    revision    text        NOT NULL,
    actor       text        NOT NULL,
    db_user     text        NOT NULL DEFAULT session_user,
    fingerprint text,
    CONSTRAINT vault_key_events_pkey PRIMARY KEY (id)
);
-- A key id is never used twice, not even after its key was destroyed.
CREATE UNIQUE INDEX vault_key_events_key_id_once ON vault_key_events (key_id) WHERE event IN ('init', 'stage');
COMMENT ON TABLE vault_key_events IS 'Strongroom: what was done to which key, when and by whom; append-only';

-- +goose StatementBegin
CREATE FUNCTION vault_key_events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'vault_key_events is append-only: % is refused', TG_OP
        USING HINT = 'The history of the keys is kept for good; add a row instead.';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER vault_key_events_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON vault_key_events
    FOR EACH STATEMENT EXECUTE FUNCTION vault_key_events_guard();

-- What a library needs to know of this schema, whichever tool made it: the newest
-- migration, and the oldest library schema number that may still run on it. Each
-- migration replaces it.
CREATE FUNCTION strongroom_schema(OUT version int, OUT supports int)
    LANGUAGE sql STABLE AS 'SELECT 1, 1';

-- +goose Down
SET LOCAL lock_timeout = '5s';

-- +goose StatementBegin
DO $$
DECLARE
    users_of_keys text;
BEGIN
    SELECT string_agg(conrelid::regclass::text, ', ' ORDER BY conrelid::regclass::text) INTO users_of_keys
    FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'vault_keys'::regclass;
    IF users_of_keys IS NOT NULL THEN
        RAISE EXCEPTION 'table vault_keys is not dropped: % refers to it, and what is sealed there would be lost', users_of_keys
            USING HINT = 'Back it up if it matters, then drop that table or its foreign key and migrate down again.';
    END IF;
END
$$;
-- +goose StatementEnd

DROP FUNCTION strongroom_schema();
DROP TABLE vault_key_events;
DROP TABLE vault_keys;
DROP TABLE vault_keyset_wraps;
DROP TABLE vault_keysets;
DROP FUNCTION vault_key_events_guard();
DROP FUNCTION vault_keyset_wraps_guard();
DROP FUNCTION vault_keysets_guard();
