-- +goose Up
-- What the protocols keep besides grants: a pushed request, a device that
-- waits, a consent, a signing key. "body" is sealed.
CREATE TABLE protocol_document (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    version BIGINT NOT NULL,
    agent   TEXT NOT NULL,                 -- whose, if anybody's
    app     TEXT NOT NULL,                 -- for which application, if any
    finder  BLOB,                          -- SHA-256 of the secret that finds it
    body    BLOB NOT NULL,
    expires BIGINT NOT NULL,               -- 0: until it is dropped
    PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX protocol_document_finder ON protocol_document (kind, finder) WHERE finder IS NOT NULL;
CREATE INDEX protocol_document_agent ON protocol_document (agent, kind) WHERE agent <> '';
CREATE INDEX protocol_document_expires ON protocol_document (expires) WHERE expires <> 0;
CREATE INDEX protocol_document_app ON protocol_document (app) WHERE app <> '';

-- What may be shown once, by whatever process: the jti of a proof, the
-- identifier of a request. Only its hash.
CREATE TABLE spent_once (
    hash    BLOB PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX spent_once_expires ON spent_once ((expires / 3600000000));
