-- +goose Up

ALTER TABLE validations ADD COLUMN mode TEXT NOT NULL DEFAULT 'validate' CHECK (mode IN ('validate', 'ml-first'));
ALTER TABLE validations ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE validations ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE validations ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
-- Who is at it, until when, and how often anybody began: a worker shows by its fence that nobody came after it.
ALTER TABLE validations ADD COLUMN worker TEXT NOT NULL DEFAULT '';
ALTER TABLE validations ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE validations ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE validations ADD COLUMN superseded_by TEXT NOT NULL DEFAULT '';
ALTER TABLE validations ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1));
ALTER TABLE validations ADD COLUMN revoked_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE validations ADD COLUMN revoked_at INTEGER NOT NULL DEFAULT 0 CHECK (revoked = 0 OR verdict <> '');

CREATE INDEX validations_finished_at ON validations (finished_at) WHERE finished_at > 0;

-- One row a prediction that is compared with a wargame. No reference to validations: the two are kept for different times.
CREATE TABLE ml_ab_tests (
    id                          TEXT NOT NULL PRIMARY KEY,
    validation_id               TEXT   NOT NULL,
    apv_id                      TEXT   NOT NULL,
    cve_id                      TEXT   NOT NULL,
    patch_id                    TEXT   NOT NULL,
    scenario_id                 TEXT   NOT NULL,
    scenario_digest             TEXT   NOT NULL,
    patch_digest                TEXT   NOT NULL,
    model_version               TEXT NOT NULL,
    features_version            TEXT   NOT NULL,
    ab_test_version             INTEGER NOT NULL,
    ml_prediction               TEXT   NOT NULL CHECK (ml_prediction IN ('fixed', 'not_fixed')),
    ml_probability              REAL NOT NULL CHECK (ml_probability BETWEEN 0 AND 1),
    ml_confidence               REAL NOT NULL CHECK (ml_confidence BETWEEN 0 AND 1),
    ml_execution_time_ms        REAL NOT NULL,
    threshold                   REAL NOT NULL,
    stratum                     TEXT   NOT NULL CHECK (stratum IN ('confident', 'unconfident')),
    decided                     INTEGER NOT NULL CHECK (decided IN (0, 1)),
    propensity                  REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    challengers                 TEXT   NOT NULL, -- JSON
    features                    TEXT   NOT NULL, -- JSON, '' where not kept
    shap_values                 TEXT   NOT NULL, -- JSON
    state                       TEXT   NOT NULL CHECK (state IN ('pending', 'judged')),
    wargaming_result            TEXT   NOT NULL CHECK (wargaming_result IN ('', 'fixed', 'not_fixed', 'broken', 'inconclusive')),
    wargaming_execution_time_ms REAL NOT NULL,
    ml_correct                  INTEGER CHECK (ml_correct IN (0, 1)), -- NULL while pending or inconclusive
    disagreement_reason         TEXT   NOT NULL,
    judged_seq                  INTEGER NOT NULL,
    created_at                  INTEGER NOT NULL,
    judged_at                   INTEGER NOT NULL,
    CHECK ((state = 'judged') = (wargaming_result <> '')),
    CHECK ((state = 'judged') = (judged_seq > 0)),
    CHECK ((ml_correct IS NOT NULL) = (wargaming_result IN ('fixed', 'not_fixed', 'broken'))),
    UNIQUE (validation_id, model_version)
) STRICT;

CREATE UNIQUE INDEX ml_ab_tests_by_seq ON ml_ab_tests (judged_seq) WHERE judged_seq > 0;
CREATE INDEX ml_ab_tests_pending ON ml_ab_tests (id) WHERE judged_seq = 0;
CREATE INDEX ml_ab_tests_created_at ON ml_ab_tests (created_at);

-- Judged tests of an hour (of the prediction), in rows and weighted by 1/propensity.
CREATE TABLE ml_ab_rollups (
    hour                  INTEGER NOT NULL,
    model_version         TEXT NOT NULL,
    side                  TEXT NOT NULL,
    stratum               TEXT NOT NULL,
    correct               INTEGER NOT NULL,
    wrong                 INTEGER NOT NULL,
    inconclusive          INTEGER NOT NULL,
    correct_weight        REAL NOT NULL,
    wrong_weight          REAL NOT NULL,
    inconclusive_weight   REAL NOT NULL,
    PRIMARY KEY (hour, model_version, side, stratum)
) STRICT;

-- Predictions of an hour that no wargame will judge.
CREATE TABLE ml_unaudited (
    hour          INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    side          TEXT NOT NULL,
    stratum       TEXT NOT NULL,
    method        TEXT NOT NULL,
    n             INTEGER NOT NULL,
    PRIMARY KEY (hour, model_version, side, stratum, method)
) STRICT;

-- A metric is NULL where nothing is known of it: never a division by zero, never a guess.
CREATE VIEW ml_accuracy_stats AS
SELECT
    c.*,
    CAST(c.true_positive + c.true_negative AS double precision)
        / nullif(c.true_positive + c.false_positive + c.true_negative + c.false_negative, 0) AS accuracy,
    CAST(c.true_positive AS double precision) / nullif(c.true_positive + c.false_positive, 0) AS precision,
    CAST(c.true_positive AS double precision) / nullif(c.true_positive + c.false_negative, 0) AS recall,
    CAST(2 * c.true_positive AS double precision)
        / nullif(2 * c.true_positive + c.false_positive + c.false_negative, 0) AS f1,
    (c.true_positive_weight + c.true_negative_weight) / nullif(c.true_positive_weight + c.false_positive_weight
        + c.true_negative_weight + c.false_negative_weight, 0) AS weighted_accuracy,
    c.true_positive_weight / nullif(c.true_positive_weight + c.false_positive_weight, 0) AS weighted_precision,
    c.true_positive_weight / nullif(c.true_positive_weight + c.false_negative_weight, 0) AS weighted_recall,
    2 * c.true_positive_weight / nullif(2 * c.true_positive_weight + c.false_positive_weight
        + c.false_negative_weight, 0) AS weighted_f1
FROM (
    SELECT
        model_version,
        count(*) FILTER (WHERE state = 'pending') AS pending,
        count(*) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 1) AS true_positive,
        count(*) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 0) AS false_positive,
        count(*) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 1) AS true_negative,
        count(*) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 0) AS false_negative,
        count(*) FILTER (WHERE wargaming_result = 'inconclusive') AS inconclusive,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 1), 0.0) AS true_positive_weight,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 0), 0.0) AS false_positive_weight,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 1), 0.0) AS true_negative_weight,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 0), 0.0) AS false_negative_weight,
        coalesce(sum(1 / propensity) FILTER (WHERE wargaming_result = 'inconclusive'), 0.0) AS inconclusive_weight
    FROM ml_ab_tests
    GROUP BY model_version
) AS c;

CREATE TABLE settings (
    key     TEXT   NOT NULL PRIMARY KEY,
    value   TEXT   NOT NULL, -- JSON
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    id      INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    kind    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    key     TEXT   UNIQUE, -- NULL for one that may come again
    body    TEXT   NOT NULL -- JSON, '' for none
) STRICT;

CREATE TABLE webhook_deliveries (
    id            TEXT NOT NULL PRIMARY KEY,
    validation_id TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    url           TEXT   NOT NULL,
    body          BLOB  NOT NULL,
    created_at    INTEGER NOT NULL,
    next_at       INTEGER NOT NULL, -- of an attempt that runs: when others may take it over
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_error    TEXT   NOT NULL DEFAULT '',
    ended_at      INTEGER NOT NULL DEFAULT 0,
    given_up      INTEGER NOT NULL DEFAULT 0 CHECK (given_up IN (0, 1))
) STRICT;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE ended_at = 0;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at > 0;

-- Numbers that are given in the order of commits: whoever takes one holds its row until the end of the transaction.
CREATE TABLE sequences (
    name  TEXT   NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO sequences (name, value) VALUES ('judged', 0), ('events', 0);

-- +goose Down
DROP VIEW ml_accuracy_stats;
DROP TABLE sequences;
DROP TABLE webhook_deliveries;
DROP TABLE events;
DROP TABLE settings;
DROP TABLE ml_unaudited;
DROP TABLE ml_ab_rollups;
DROP TABLE ml_ab_tests;
DROP INDEX validations_finished_at;
ALTER TABLE validations DROP COLUMN revoked_at;
ALTER TABLE validations DROP COLUMN revoked_reason;
ALTER TABLE validations DROP COLUMN revoked;
ALTER TABLE validations DROP COLUMN superseded_by;
ALTER TABLE validations DROP COLUMN fence;
ALTER TABLE validations DROP COLUMN lease_until;
ALTER TABLE validations DROP COLUMN worker;
ALTER TABLE validations DROP COLUMN webhook;
ALTER TABLE validations DROP COLUMN priority;
ALTER TABLE validations DROP COLUMN client;
ALTER TABLE validations DROP COLUMN mode;
