-- +goose Up
-- An agent asks the IT contact for a second method. At most one is open.
CREATE TABLE second_request (
    agent       TEXT NOT NULL,
    at          BIGINT NOT NULL,
    note        TEXT NOT NULL,
    answered_at BIGINT NOT NULL DEFAULT 0,
    answered_by TEXT NOT NULL DEFAULT '',
    case_ref    TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (agent, at)
);
CREATE UNIQUE INDEX second_request_open ON second_request (agent) WHERE answered_at = 0;
