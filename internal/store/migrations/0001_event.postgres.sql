-- +goose Up
-- The audit trail: what happened, the Merkle tree over it, and the signed head.
-- COLLATE "C" where a range is asked for: other orders differ from the bytes.
CREATE TABLE event (
    seq       BIGINT PRIMARY KEY,
    at        BIGINT NOT NULL,
    kind      TEXT   COLLATE "C" NOT NULL,
    agent     TEXT   NOT NULL,
    actor     TEXT   NOT NULL,
    channel   TEXT   NOT NULL,
    address   TEXT   NOT NULL,
    app       TEXT   NOT NULL,
    reference TEXT   NOT NULL,
    reasons   TEXT   NOT NULL,
    detail    TEXT   NOT NULL
);
CREATE INDEX event_agent ON event (agent, seq) WHERE agent <> '';
CREATE INDEX event_kind ON event (kind, seq);
CREATE INDEX event_at ON event (at);
CREATE INDEX event_reference ON event (reference) WHERE reference <> '';

CREATE TABLE audit_hash (
    idx  BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL
);

CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL,
    root BYTEA   NOT NULL,
    note TEXT   NOT NULL
);
INSERT INTO audit_head (id, size, root, note) VALUES (1, 0, ''::bytea, '');

CREATE TABLE migration_checksum (
    version BIGINT PRIMARY KEY,
    name    TEXT NOT NULL,
    sum     TEXT NOT NULL
);
