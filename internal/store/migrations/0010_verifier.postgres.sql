-- +goose Up
-- The ties to outside accounts: one for each issuer, and one agent for each
-- account. Issuer, subject, level and dates; "label" is chosen by us and says
-- nothing of the person.
ALTER TABLE verifier_link RENAME TO verifier_link_before;
CREATE TABLE verifier_link (
    agent     TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    level     TEXT NOT NULL,
    label     TEXT NOT NULL,
    at        BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    PRIMARY KEY (agent, issuer),
    UNIQUE (issuer, subject)
);
INSERT INTO verifier_link (agent, issuer, subject, level, label, at, last_used)
    SELECT agent, issuer, subject, '', '', at, 0 FROM verifier_link_before;
DROP TABLE verifier_link_before;
