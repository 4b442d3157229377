-- +goose Up
-- What an application was told of an agent by a protocol, while it lasts.
-- "body" is sealed; "finder" is a hash: nothing here can be presented.
--
-- A million of them live at once, and each sign-in adds one: so new rows go to
-- the end of their tables, and ends are looked up by the hour. An index on the
-- very moment would be written all over by every renewal.
CREATE TABLE app_grant (
    id       TEXT PRIMARY KEY,
    version  BIGINT NOT NULL,
    protocol TEXT NOT NULL,
    app      TEXT NOT NULL,
    agent    TEXT NOT NULL,
    session  BYTEA NOT NULL,
    channel  TEXT NOT NULL,
    sid      TEXT NOT NULL,
    finder   BYTEA,                        -- what finds it now; NULL: its identifier alone
    body     BYTEA NOT NULL,
    offline  BOOLEAN NOT NULL,
    tells    BOOLEAN NOT NULL,
    began    BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    ended    BIGINT NOT NULL,
    why      TEXT NOT NULL
);
CREATE INDEX app_grant_session ON app_grant (session) WHERE ended = 0;
CREATE INDEX app_grant_offline ON app_grant (agent) WHERE offline AND ended = 0;
CREATE INDEX app_grant_expires ON app_grant ((expires / 3600000000), ended, app);
CREATE INDEX app_grant_use ON app_grant (app, began, agent);

-- Every finder that a grant has had: the one that is not in app_grant any more
-- is spent, and whoever shows it is not the only one to have had it.
CREATE TABLE grant_finder (
    finder   BYTEA PRIMARY KEY,
    grant_id TEXT NOT NULL,
    expires  BIGINT NOT NULL
);
CREATE INDEX grant_finder_expires ON grant_finder ((expires / 3600000000));

-- An application to tell that a grant ended, and how that went.
CREATE TABLE notice (
    id       TEXT PRIMARY KEY,
    version  BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    protocol TEXT NOT NULL,
    app      TEXT NOT NULL,
    agent    TEXT NOT NULL,
    channel  TEXT NOT NULL,
    sid      TEXT NOT NULL,
    body     BYTEA NOT NULL,               -- sealed: the grant's
    tries    BIGINT NOT NULL,
    next     BIGINT NOT NULL,
    state    TEXT NOT NULL,                -- waiting, delivered, given_up
    answer   TEXT NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX notice_due ON notice (next) WHERE state = 'waiting';
CREATE INDEX notice_app ON notice (app, at);
CREATE INDEX notice_at ON notice (at);
