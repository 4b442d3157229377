-- +goose Up
-- The present password of an agent: a PHC string and nothing older.
CREATE TABLE password (
    agent   TEXT PRIMARY KEY,
    phc     TEXT NOT NULL,
    passes  BIGINT NOT NULL,           -- t of the PHC string, for the cost of dummies
    since   BIGINT NOT NULL,
    expires BIGINT NOT NULL DEFAULT 0, -- 0: it does not
    leaked  BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX password_passes ON password (passes);

-- How often one may try. A row for an identifier that nobody has is like any
-- other, but for an empty agent.
CREATE TABLE budget (
    id         BYTEA PRIMARY KEY, -- keyed hash of identifier, class and device
    agent      TEXT NOT NULL,
    class      TEXT NOT NULL,    -- proven, known, elsewhere
    failures   BIGINT NOT NULL,  -- in this episode
    in_a_row   BIGINT NOT NULL,  -- since the last success of the account
    wait_until BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    noted      BIGINT NOT NULL,  -- the wait of which a refused try was recorded
    recent     BYTEA NOT NULL,    -- keyed marks of the last wrong passwords
    disabled   BOOLEAN NOT NULL
);
CREATE INDEX budget_agent ON budget (agent, last_at);

-- A browser from which an agent proved themselves, or a machine validated for the VPN.
CREATE TABLE device (
    id         TEXT PRIMARY KEY,
    agent      TEXT NOT NULL,
    name       TEXT NOT NULL,
    secret     BYTEA,             -- SHA-256 of the cookie; NULL when it proves nothing
    validated  BOOLEAN NOT NULL,
    pending    BOOLEAN NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL
);
CREATE INDEX device_agent ON device (agent, last_seen);
CREATE UNIQUE INDEX device_secret ON device (secret) WHERE secret IS NOT NULL;

-- That an agent holds a kind of proof, and since when.
CREATE TABLE enrolled_proof (
    agent TEXT NOT NULL,
    kind  TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (agent, kind)
);

-- The tie to the outside account: issuer and subject, nothing else.
CREATE TABLE verifier_link (
    agent   TEXT PRIMARY KEY,
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      BIGINT NOT NULL,
    UNIQUE (issuer, subject)
);
