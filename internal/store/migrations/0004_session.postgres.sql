-- +goose Up
-- A session is named by the first half of the SHA-256 of its secret: nothing
-- here can be presented as a cookie. "ended" is 0 while it may be used.
CREATE TABLE session (
	id      BYTEA  PRIMARY KEY,
	agent   TEXT   NOT NULL,
	channel TEXT   NOT NULL,
	device  TEXT   NOT NULL,
	browser TEXT   NOT NULL,
	address TEXT   NOT NULL,
	proofs  TEXT   NOT NULL,
	epoch   BIGINT NOT NULL,
	began   BIGINT NOT NULL,
	seen    BIGINT NOT NULL,
	ends    BIGINT NOT NULL,
	ended   BIGINT NOT NULL,
	why     TEXT   NOT NULL
);
CREATE INDEX session_agent ON session (agent, ended);
CREATE INDEX session_ends ON session (ends);

-- A visit is the part of a session that one application host holds, under its
-- own secret. "ticket" is what makes an entry happen once.
CREATE TABLE host_session (
	id      BYTEA  PRIMARY KEY,
	session BYTEA  NOT NULL,
	app     TEXT   NOT NULL,
	host    TEXT   NOT NULL,
	ticket  BYTEA  NOT NULL UNIQUE,
	began   BIGINT NOT NULL
);
CREATE INDEX host_session_session ON host_session (session);
