-- +goose Up
CREATE TABLE flow (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,             -- sign_in, activation
    agent      TEXT NOT NULL,
    browser    BLOB NOT NULL,            -- SHA-256 of the secret in the cookie
    channel    TEXT NOT NULL,             -- the entrance through which it began
    proofs     TEXT NOT NULL,             -- JSON: what was proven, and when
    reason     TEXT NOT NULL DEFAULT '',  -- why something must be done first
    device     TEXT NOT NULL DEFAULT '',  -- the proven device it began on
    code       TEXT NOT NULL DEFAULT '',  -- the activation code that opened it
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX flow_expires ON flow (expires_at);
CREATE INDEX flow_agent ON flow (agent) WHERE used_at = 0;

CREATE TABLE activation_code (
    id          TEXT PRIMARY KEY,
    agent       TEXT NOT NULL,
    kind        TEXT NOT NULL,            -- hand_over, mail
    code        BLOB NOT NULL UNIQUE,    -- keyed MAC of the signs to type
    link        BLOB UNIQUE,             -- keyed MAC of the token in the link; none when handed over
    issued_by   TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    replaced_at BIGINT NOT NULL DEFAULT 0,
    used_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX activation_code_agent ON activation_code (agent);

CREATE TABLE activation (
    agent        TEXT PRIMARY KEY,
    confirmed_at BIGINT NOT NULL DEFAULT 0,
    reported_at  BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE allowance (
    key     BLOB PRIMARY KEY,            -- keyed MAC of what is counted
    used    BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX allowance_ends ON allowance (ends_at);
