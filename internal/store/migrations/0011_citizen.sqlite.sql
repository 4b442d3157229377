-- +goose Up
-- The embedded verifier (package moncompte): its own accounts, apart from the
-- agents'. Nothing here names an agent, and nothing of an agent points here.
CREATE TABLE citizen (
    id           TEXT PRIMARY KEY,         -- random: the subject that clients are told
    email_key    BLOB NOT NULL UNIQUE,     -- keyed MAC of the address
    card         BLOB NOT NULL,        -- sealed: the address, the name
    phc          TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL DEFAULT 0,
    changed_at   BIGINT NOT NULL           -- the password
);
CREATE INDEX citizen_unconfirmed ON citizen (created_at) WHERE confirmed_at = 0;

CREATE TABLE citizen_session (
    id        BLOB PRIMARY KEY,            -- SHA-256 of the secret in the cookie
    citizen   TEXT NOT NULL,
    proved_at BIGINT NOT NULL,             -- when the password was last right
    ends_at   BIGINT NOT NULL
);
CREATE INDEX citizen_session_citizen ON citizen_session (citizen);
CREATE INDEX citizen_session_ends ON citizen_session (ends_at);

CREATE TABLE citizen_try (
    key        BLOB PRIMARY KEY,           -- keyed MAC of an address, somebody's or nobody's
    failures   BIGINT NOT NULL,
    wait_until BIGINT NOT NULL,
    last_at    BIGINT NOT NULL
);
CREATE INDEX citizen_try_last ON citizen_try (last_at);

CREATE TABLE citizen_code (
    id         TEXT PRIMARY KEY,
    purpose    TEXT NOT NULL,              -- confirm, recover
    citizen    TEXT NOT NULL,              -- empty: nobody was written to, and no code fits
    email_key  BLOB NOT NULL,
    link       BLOB NOT NULL UNIQUE,       -- SHA-256 of the token in the link
    code       BLOB NOT NULL,              -- keyed MAC of the signs to type
    browser    BLOB NOT NULL,              -- SHA-256 of the secret of the browser that asked
    carried    TEXT NOT NULL,              -- sealed: the address typed, the sign-in to go on with
    tries      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX citizen_code_expires ON citizen_code (expires_at);

CREATE TABLE citizen_document (
    kind       TEXT NOT NULL,              -- grant, finished, key
    id         TEXT NOT NULL,
    version    BIGINT NOT NULL,
    citizen    TEXT NOT NULL,              -- whose, if anybody's
    finder     BLOB,                       -- SHA-256 of the secret that finds it
    body       BLOB NOT NULL,              -- sealed
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX citizen_document_finder ON citizen_document (finder) WHERE finder IS NOT NULL;
CREATE INDEX citizen_document_citizen ON citizen_document (citizen);
CREATE INDEX citizen_document_expires ON citizen_document (expires_at);
