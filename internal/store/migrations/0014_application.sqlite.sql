-- +goose Up
-- The applications that are kept here, besides those of the configuration. A
-- row that is removed stays with an empty app: its version goes on, so that
-- nobody who looked at it before can write over one that was made since.
CREATE TABLE application (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    app     TEXT NOT NULL,                 -- JSON of parvis.App; empty once removed
    by_whom TEXT NOT NULL,
    at      BIGINT NOT NULL
);
