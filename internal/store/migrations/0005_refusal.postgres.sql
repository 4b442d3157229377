-- +goose Up
-- A refusal is kept as it was told: what was known, what was decided, and
-- under which rules, frozen at that moment.
CREATE TABLE refusal (
	reference  TEXT   PRIMARY KEY,
	at         BIGINT NOT NULL,
	agent      TEXT   NOT NULL,
	session    BYTEA  NOT NULL,
	channel    TEXT   NOT NULL,
	address    TEXT   NOT NULL,
	app        TEXT   NOT NULL,
	path       TEXT   NOT NULL,
	facts      TEXT   NOT NULL,
	decision   TEXT   NOT NULL,
	generation BIGINT NOT NULL
);
CREATE INDEX refusal_agent ON refusal (agent, at);
