-- +goose Up
-- The second proofs that agents hold. Nothing here opens anything by itself:
-- what is secret is sealed, codes are kept as keyed hashes.
CREATE TABLE held_proof (
    id         TEXT PRIMARY KEY,
    agent      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,             -- given by the agent
    site       TEXT NOT NULL,             -- of a passkey: the RP ID it belongs to
    hint       TEXT NOT NULL,             -- of a telephone: its number, masked
    hardware   BOOLEAN NOT NULL,
    synced     BOOLEAN NOT NULL,
    credential BLOB UNIQUE,               -- of a passkey: SHA-256 of its credential id
    secret     BLOB,                      -- sealed
    public     BLOB,                      -- sealed too
    since      BIGINT NOT NULL,
    last_used  BIGINT NOT NULL DEFAULT 0,
    last_step  BIGINT NOT NULL DEFAULT 0, -- of an authenticator: the step used last
    counter    BIGINT NOT NULL DEFAULT 0  -- of a passkey: its signature counter
);
CREATE INDEX held_proof_agent ON held_proof (agent, since);

-- What was said of proofs before any was kept: nothing could be checked with it.
DROP TABLE enrolled_proof;

CREATE TABLE recovery_code (
    hash    BLOB PRIMARY KEY,             -- keyed MAC of the code
    agent   TEXT NOT NULL,
    batch   TEXT NOT NULL,                -- held_proof.id of the sheet
    used_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX recovery_code_agent ON recovery_code (agent, batch);

-- One for each agent: a new code replaces the one before.
CREATE TABLE temporary_code (
    agent      TEXT PRIMARY KEY,
    hash       BLOB NOT NULL,             -- keyed MAC of the code
    issued_by  TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE sent_code (
    id         TEXT PRIMARY KEY,
    agent      TEXT NOT NULL,
    purpose    TEXT NOT NULL,             -- prove, enrol
    browser    BLOB NOT NULL,             -- SHA-256 of the secret in the cookie
    target     BLOB NOT NULL,             -- keyed MAC of the number it went to
    code       BLOB NOT NULL,             -- sealed
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    tries      BIGINT NOT NULL,
    sends      BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX sent_code_agent ON sent_code (agent, created_at);
CREATE INDEX sent_code_expires ON sent_code (expires_at);

-- A proven browser on which a second proof is not asked again for a time.
ALTER TABLE device ADD COLUMN remembered_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN remembered_hardware BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE device ADD COLUMN remembered_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN remembered_until BIGINT NOT NULL DEFAULT 0;

-- What the flow's own kind keeps, in JSON.
ALTER TABLE flow ADD COLUMN data TEXT NOT NULL DEFAULT '';
