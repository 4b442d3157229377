-- +goose Up
-- What HR says of an agent, and what IT set. Dates are the instants of
-- midnights in the organisation's time zone; 0 is unset. No row is deleted:
-- a number is taken for ever. No illness and no birth date is kept.
CREATE TABLE agent (
    number          TEXT   PRIMARY KEY,
    family_name     TEXT   NOT NULL,
    usage_name      TEXT   NOT NULL,
    given_names     TEXT   NOT NULL,
    unit            TEXT   NOT NULL,
    employer        TEXT   NOT NULL,
    category        TEXT   NOT NULL,
    position        TEXT   NOT NULL,
    absence         TEXT   NOT NULL,
    absence_from    BIGINT NOT NULL,
    absence_until   BIGINT NOT NULL,
    contract_from   BIGINT NOT NULL,
    contract_until  BIGINT NOT NULL,
    deceased_on     BIGINT NOT NULL,
    job_code        TEXT   NOT NULL,
    job_label       TEXT   NOT NULL,
    manager         TEXT   NOT NULL,
    hr_unit         TEXT   NOT NULL,
    email           TEXT   NOT NULL,
    personal_email  TEXT   NOT NULL,
    personal_mobile TEXT   NOT NULL,
    badge           TEXT   NOT NULL,
    missing_since   BIGINT NOT NULL,
    email_key       TEXT   NOT NULL,  -- email in lower case
    search          TEXT   NOT NULL,  -- number, names and email, without case or accents
    off_since       BIGINT NOT NULL DEFAULT 0,
    new_unit        TEXT   NOT NULL DEFAULT ''
);
-- Not unique: two agents may exchange a mailbox inside one import. Who looks
-- up an address that two agents hold finds nobody.
CREATE INDEX agent_email ON agent (email_key) WHERE email_key <> '';
CREATE INDEX agent_unit_now ON agent (unit, number);

-- Where an agent worked, and when; "until" is 0 for where they work now.
CREATE TABLE agent_unit (
    agent TEXT   NOT NULL,
    unit  TEXT   NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (agent, since)
);

-- What an agent was given by hand: kind is role, profile or entitlement.
CREATE TABLE agent_grant (
    agent TEXT   NOT NULL,
    kind  TEXT   NOT NULL,
    name  TEXT   NOT NULL,
    units TEXT   NOT NULL,             -- JSON: the units a role is limited to
    since BIGINT NOT NULL,
    actor TEXT   NOT NULL,
    PRIMARY KEY (agent, kind, name)
);
CREATE INDEX agent_grant_name ON agent_grant (kind, name);

-- The runs of the HR file; "ended" is 0 for one that was interrupted or goes on.
CREATE TABLE hr_import (
    id         BIGINT PRIMARY KEY,
    digest     TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    overridden TEXT   NOT NULL,        -- who let it pass the limits
    began      BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    lines      BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    unchanged  BIGINT NOT NULL,
    rejected   BIGINT NOT NULL,
    missing    BIGINT NOT NULL,
    reappeared BIGINT NOT NULL,
    closing    BIGINT NOT NULL
);
