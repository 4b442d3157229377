-- +goose Up
-- The audit trail: what happened, the Merkle tree over it, and the signed head.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    kind      TEXT   NOT NULL,
    agent     TEXT   NOT NULL,
    actor     TEXT   NOT NULL,
    channel   TEXT   NOT NULL,
    address   TEXT   NOT NULL,
    app       TEXT   NOT NULL,
    reference TEXT   NOT NULL,
    reasons   TEXT   NOT NULL,
    detail    TEXT   NOT NULL
) STRICT;
CREATE INDEX event_agent ON event (agent, seq) WHERE agent <> '';
CREATE INDEX event_kind ON event (kind, seq);
CREATE INDEX event_at ON event (at);
CREATE INDEX event_reference ON event (reference) WHERE reference <> '';

CREATE TABLE audit_hash (
    idx  INTEGER PRIMARY KEY,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    root BLOB   NOT NULL,
    note TEXT   NOT NULL
) STRICT;
INSERT INTO audit_head (id, size, root, note) VALUES (1, 0, x'', '');

CREATE TABLE migration_checksum (
    version INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    sum     TEXT NOT NULL
) STRICT;
