-- +goose Up

-- The same tables, columns and rules as in store/sqlite: queries are written once, for both. Times are microseconds
-- since 1970, 0 for none; truths are 0 and 1. JSON is kept as text, because jsonb refuses a NUL that a patch may hold.

-- One row a validation, narrow so that lists and filters read little.
CREATE TABLE validations (
    id                text COLLATE "C" NOT NULL PRIMARY KEY,
    state             text   NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'finished')),
    apv_id            text   NOT NULL,
    cve_id            text   NOT NULL,
    patch_id          text   NOT NULL,
    scenario_id       text   NOT NULL,
    scenario_digest   text   NOT NULL,
    patch_digest      text   NOT NULL,
    attempts          bigint NOT NULL DEFAULT 0,
    last_error        text   NOT NULL DEFAULT '',
    created_at        bigint NOT NULL,
    started_at        bigint NOT NULL DEFAULT 0,
    finished_at       bigint NOT NULL DEFAULT 0,
    verdict           text   NOT NULL DEFAULT '' CHECK (verdict IN ('', 'fixed', 'not_fixed', 'broken', 'inconclusive')),
    patch_validated   bigint NOT NULL DEFAULT 0 CHECK (patch_validated IN (0, 1)),
    method            text   NOT NULL DEFAULT '',
    cached            bigint NOT NULL DEFAULT 0 CHECK (cached IN (0, 1)),
    assurance         bigint NOT NULL DEFAULT 0,
    confidence        double precision NOT NULL DEFAULT 0,
    residual_risk     double precision NOT NULL DEFAULT 0,
    execution_seconds double precision NOT NULL DEFAULT 0,
    reason            text   NOT NULL DEFAULT '',
    mode              text   NOT NULL DEFAULT 'validate' CHECK (mode IN ('validate', 'ml-first')),
    client            text   NOT NULL DEFAULT '',
    priority          bigint NOT NULL DEFAULT 0,
    webhook           text   NOT NULL DEFAULT '',
    -- Who is at it, until when, and how often anybody began: a worker shows by its fence that nobody came after it.
    worker            text   NOT NULL DEFAULT '',
    lease_until       bigint NOT NULL DEFAULT 0,
    fence             bigint NOT NULL DEFAULT 0,
    superseded_by     text   NOT NULL DEFAULT '',
    revoked           bigint NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    revoked_reason    text   NOT NULL DEFAULT '',
    revoked_at        bigint NOT NULL DEFAULT 0,
    -- What may never be seen, whatever the code does: an end without a verdict, a verdict before the end, a patch that
    -- counts as validated without being fixed, a revocation of what was never decided.
    CHECK ((state = 'finished') = (verdict <> '')),
    CHECK (patch_validated = 0 OR verdict = 'fixed'),
    CHECK (revoked = 0 OR verdict <> '')
);

CREATE INDEX validations_by_apv ON validations (apv_id, id);
CREATE INDEX validations_by_cve ON validations (cve_id, id);
CREATE INDEX validations_by_patch ON validations (patch_id, id);
CREATE INDEX validations_by_scenario ON validations (scenario_id, id);
CREATE INDEX validations_by_verdict ON validations (verdict, id);
CREATE INDEX validations_unfinished ON validations (state, id) WHERE state <> 'finished';
CREATE INDEX validations_finished_at ON validations (finished_at) WHERE finished_at > 0;

-- The normalised request: all that a later process needs to run the trial.
CREATE TABLE requests (
    validation_id text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES validations (id) ON DELETE CASCADE,
    body          text NOT NULL
);

-- The whole answer. The primary key is what makes a second verdict impossible.
CREATE TABLE verdicts (
    validation_id text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES validations (id) ON DELETE CASCADE,
    body          text NOT NULL
);

-- One row a prediction that is compared with a wargame. No reference to validations: the two are kept for different times.
CREATE TABLE ml_ab_tests (
    id                          text COLLATE "C" NOT NULL PRIMARY KEY,
    validation_id               text   NOT NULL,
    apv_id                      text   NOT NULL,
    cve_id                      text   NOT NULL,
    patch_id                    text   NOT NULL,
    scenario_id                 text   NOT NULL,
    scenario_digest             text   NOT NULL,
    patch_digest                text   NOT NULL,
    model_version               text COLLATE "C" NOT NULL,
    features_version            text   NOT NULL,
    ab_test_version             bigint NOT NULL,
    ml_prediction               text   NOT NULL CHECK (ml_prediction IN ('fixed', 'not_fixed')),
    ml_probability              double precision NOT NULL CHECK (ml_probability BETWEEN 0 AND 1),
    ml_confidence               double precision NOT NULL CHECK (ml_confidence BETWEEN 0 AND 1),
    ml_execution_time_ms        double precision NOT NULL,
    threshold                   double precision NOT NULL,
    stratum                     text   NOT NULL CHECK (stratum IN ('confident', 'unconfident')),
    decided                     bigint NOT NULL CHECK (decided IN (0, 1)),
    propensity                  double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    challengers                 text   NOT NULL, -- JSON
    features                    text   NOT NULL, -- JSON, '' where not kept
    shap_values                 text   NOT NULL, -- JSON
    state                       text   NOT NULL CHECK (state IN ('pending', 'judged')),
    wargaming_result            text   NOT NULL CHECK (wargaming_result IN ('', 'fixed', 'not_fixed', 'broken', 'inconclusive')),
    wargaming_execution_time_ms double precision NOT NULL,
    ml_correct                  bigint CHECK (ml_correct IN (0, 1)), -- NULL while pending or inconclusive
    disagreement_reason         text   NOT NULL,
    judged_seq                  bigint NOT NULL,
    created_at                  bigint NOT NULL,
    judged_at                   bigint NOT NULL,
    CHECK ((state = 'judged') = (wargaming_result <> '')),
    CHECK ((state = 'judged') = (judged_seq > 0)),
    CHECK ((ml_correct IS NOT NULL) = (wargaming_result IN ('fixed', 'not_fixed', 'broken'))),
    UNIQUE (validation_id, model_version)
);

CREATE UNIQUE INDEX ml_ab_tests_by_seq ON ml_ab_tests (judged_seq) WHERE judged_seq > 0;
CREATE INDEX ml_ab_tests_pending ON ml_ab_tests (id) WHERE judged_seq = 0;
CREATE INDEX ml_ab_tests_created_at ON ml_ab_tests (created_at);

-- Judged tests of an hour (of the prediction), in rows and weighted by 1/propensity.
CREATE TABLE ml_ab_rollups (
    hour                  bigint NOT NULL,
    model_version         text COLLATE "C" NOT NULL,
    side                  text COLLATE "C" NOT NULL,
    stratum               text COLLATE "C" NOT NULL,
    correct               bigint NOT NULL,
    wrong                 bigint NOT NULL,
    inconclusive          bigint NOT NULL,
    correct_weight        double precision NOT NULL,
    wrong_weight          double precision NOT NULL,
    inconclusive_weight   double precision NOT NULL,
    PRIMARY KEY (hour, model_version, side, stratum)
);

-- Predictions of an hour that no wargame will judge.
CREATE TABLE ml_unaudited (
    hour          bigint NOT NULL,
    model_version text COLLATE "C" NOT NULL,
    side          text COLLATE "C" NOT NULL,
    stratum       text COLLATE "C" NOT NULL,
    method        text COLLATE "C" NOT NULL,
    n             bigint NOT NULL,
    PRIMARY KEY (hour, model_version, side, stratum, method)
);

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
    key     text   NOT NULL PRIMARY KEY,
    value   text   NOT NULL, -- JSON
    version bigint NOT NULL
);

CREATE TABLE events (
    id      bigint NOT NULL PRIMARY KEY,
    at      bigint NOT NULL,
    kind    text   NOT NULL,
    subject text   NOT NULL,
    key     text   UNIQUE, -- NULL for one that may come again
    body    text   NOT NULL -- JSON, '' for none
);

CREATE TABLE webhook_deliveries (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    validation_id text   NOT NULL,
    kind          text   NOT NULL,
    url           text   NOT NULL,
    body          bytea  NOT NULL,
    created_at    bigint NOT NULL,
    next_at       bigint NOT NULL, -- of an attempt that runs: when others may take it over
    attempts      bigint NOT NULL DEFAULT 0,
    last_error    text   NOT NULL DEFAULT '',
    ended_at      bigint NOT NULL DEFAULT 0,
    given_up      bigint NOT NULL DEFAULT 0 CHECK (given_up IN (0, 1))
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE ended_at = 0;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at > 0;

-- Numbers that are given in the order of commits: whoever takes one holds its row until the end of the transaction.
CREATE TABLE sequences (
    name  text   NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO sequences (name, value) VALUES ('judged', 0), ('events', 0);

-- +goose Down
DROP VIEW ml_accuracy_stats;
DROP TABLE sequences, webhook_deliveries, events, settings, ml_unaudited, ml_ab_rollups, ml_ab_tests, verdicts, requests, validations;
