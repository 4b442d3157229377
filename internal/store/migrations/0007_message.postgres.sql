-- +goose Up
CREATE TABLE message (
    id         TEXT PRIMARY KEY,
    agent      TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    template   TEXT NOT NULL,
    body       BYTEA,                     -- sealed; erased once it is settled
    state      TEXT NOT NULL,             -- queued, deferred, accepted, refused, expired
    attempts   BIGINT NOT NULL DEFAULT 0,
    reply      TEXT NOT NULL DEFAULT '',  -- what the server said last
    created_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX message_due ON message (due_at) WHERE body IS NOT NULL;
CREATE INDEX message_agent ON message (agent, template, created_at);
CREATE INDEX message_changed ON message (changed_at);
