-- The integrations of each workspace, with their sealed credentials. Postgres itself
-- refuses a credential that is not sealed under a key the keyset has.

-- +goose Up
SET LOCAL lock_timeout = '5s';

-- fillfactor and the absence of an index on key_id let re-sealing be a heap-only update.
-- No trigger here: Citus distributes this table by id.
CREATE TABLE integrations (
    id                text        NOT NULL CONSTRAINT integrations_id_size CHECK (char_length(id) BETWEEN 1 AND 64),
    workspace_id      text        NOT NULL,
    platform          text        NOT NULL CONSTRAINT integrations_platform_known CHECK (platform IN ('slack', 'pylon')),
    name              text        NOT NULL CONSTRAINT integrations_name_filled CHECK (name <> ''),
    webhook_secret    bytea,
    access_token      bytea,
    refresh_token     bytea,
    key_id            bigint,
    token_expires_at  timestamptz,
    slack_team_id     text,
    slack_team_name   text,
    slack_bot_user_id text,
    pylon_account_id  text,
    is_active         boolean     NOT NULL DEFAULT true,
    config            jsonb       CONSTRAINT integrations_config_object CHECK (jsonb_typeof(config) = 'object'),
    last_used_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    created_by        text,

    CONSTRAINT integrations_pkey PRIMARY KEY (id),
    CONSTRAINT integrations_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    CONSTRAINT integrations_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    -- A key that a row still uses cannot be destroyed. Not deferrable: the write itself fails.
    CONSTRAINT integrations_key_id_fkey FOREIGN KEY (key_id) REFERENCES vault_keys (key_id) NOT DEFERRABLE,

    -- A sealed value begins with 0x01 and the row's key id in four bytes, big-endian, and
    -- is at least 33 bytes long: prefix 5, nonce 12, tag 16.
    CONSTRAINT integrations_webhook_secret_sealed CHECK (webhook_secret IS NULL OR (key_id IS NOT NULL
        AND octet_length(webhook_secret) >= 33
        AND substring(webhook_secret from 1 for 5) = '\x01'::bytea || substring(int8send(key_id) from 5 for 4))),
    CONSTRAINT integrations_access_token_sealed CHECK (access_token IS NULL OR (key_id IS NOT NULL
        AND octet_length(access_token) >= 33
        AND substring(access_token from 1 for 5) = '\x01'::bytea || substring(int8send(key_id) from 5 for 4))),
    CONSTRAINT integrations_refresh_token_sealed CHECK (refresh_token IS NULL OR (key_id IS NOT NULL
        AND octet_length(refresh_token) >= 33
        AND substring(refresh_token from 1 for 5) = '\x01'::bytea || substring(int8send(key_id) from 5 for 4))),

    CONSTRAINT integrations_webhook_secret_size CHECK (octet_length(webhook_secret) <= 131072),
    CONSTRAINT integrations_access_token_size CHECK (octet_length(access_token) <= 131072),
    CONSTRAINT integrations_refresh_token_size CHECK (octet_length(refresh_token) <= 131072),

    -- "Does not expire" is NULL. infinity would not fit the time types of other languages.
    CONSTRAINT integrations_times_finite CHECK (isfinite(token_expires_at) AND isfinite(last_used_at)
        AND isfinite(created_at) AND isfinite(updated_at)),

    -- A row without credentials holds no key back from being destroyed.
    CONSTRAINT integrations_key_id_used CHECK (key_id IS NULL
        OR coalesce(webhook_secret, access_token, refresh_token) IS NOT NULL)
) WITH (fillfactor = 50);

CREATE INDEX integrations_workspace_id_idx ON integrations (workspace_id);
CREATE INDEX integrations_slack_team_id_idx ON integrations (slack_team_id) WHERE is_active;
CREATE INDEX integrations_pylon_account_id_idx ON integrations (pylon_account_id) WHERE is_active;
CREATE INDEX integrations_created_by_idx ON integrations (created_by);
COMMENT ON TABLE integrations IS 'Strongroom: third-party integrations of a workspace; credentials are sealed';

-- One row for each installation of a provider in a workspace. An install writes it first, so
-- that two OAuth callbacks at once wait for one another and make one integration.
CREATE TABLE integration_installs (
    workspace_id text        NOT NULL,
    platform     text        NOT NULL,
    installation text        NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integration_installs_pkey PRIMARY KEY (workspace_id, platform, installation),
    CONSTRAINT integration_installs_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
COMMENT ON TABLE integration_installs IS 'Strongroom: what installs of one installation lock; holds no credential';

CREATE OR REPLACE FUNCTION strongroom_schema(OUT version int, OUT supports int)
    LANGUAGE sql STABLE AS 'SELECT 2, 2';

-- +goose Down
SET LOCAL lock_timeout = '5s';
-- A policy must raise an error here, not hide rows from the count.
SET LOCAL row_security = off;
LOCK TABLE integrations IN ACCESS EXCLUSIVE MODE;

-- +goose StatementBegin
DO $$
DECLARE
    held bigint;
BEGIN
    SELECT count(*) INTO held FROM integrations;
    IF held > 0 THEN
        RAISE EXCEPTION 'table integrations is not dropped: the credentials of % integration(s) would be lost', held
            USING HINT = 'Back them up if they matter, then run DELETE FROM integrations and migrate down again.';
    END IF;
END
$$;
-- +goose StatementEnd

DROP TABLE integration_installs;
DROP TABLE integrations;
CREATE OR REPLACE FUNCTION strongroom_schema(OUT version int, OUT supports int)
    LANGUAGE sql STABLE AS 'SELECT 1, 1';
