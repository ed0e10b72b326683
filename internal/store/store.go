// Package store holds the contract for what Crisol remembers, and the row types that cross it.
//
// In go a request that was accepted, the start and the end of its trial; out come rows, newest first, and one record
// with its request and all its evidence. A request is accepted once Accept has returned: from then on it survives the
// death of the process, and ends with exactly one verdict. Beside validations there are predictions with what wargames
// say of them (ABTests, Accuracy, Counters), a stream of events, webhooks' deliveries and settings; what must not come
// apart is kept in one transaction (Ending, Entry).
//
// The package refuses to know which database keeps the rows (see store/sqlite and store/postgres) and who works on
// them (see jobs). The suite in storetest says what every adapter owes. Text that a database can't hold as it is, with
// a NUL or broken UTF-8, is kept with U+FFFD in its place, except in requests, verdicts and bodies, which are kept
// exactly.
package store

import (
	"context"
	"time"

	"crisol"
)

// State says how far a validation has come.
type State string

// The states of a validation. Only a finished one has a verdict, and it never changes again.
const (
	Queued   State = "queued"
	Running  State = "running"
	Finished State = "finished"
)

// What an adapter answers when a row is not as the caller supposed; errors.Is finds them in what it returns.
var (
	// ErrNotFound: there is no validation with this id, or no other row (see NotFound).
	ErrNotFound = crisol.Errorf(crisol.KindNotFound, "no such validation")
	// ErrFinished: the validation has its verdict already.
	ErrFinished = crisol.Errorf(crisol.KindInternal, "validation is already finished")
	// ErrLeased: another worker is at the validation, and its lease has not run out.
	ErrLeased = crisol.Errorf(crisol.KindInternal, "another worker is at the validation")
	// ErrFull: as many validations as the bound allows are unfinished.
	ErrFull = crisol.Errorf(crisol.KindInfrastructure, "too many validations are waiting")
)

// NotFound is an ErrNotFound that says what there is none of.
func NotFound(what, id string) error {
	return &crisol.Error{Kind: crisol.KindNotFound, Err: absent{what, id}}
}

type absent struct{ what, id string }

func (a absent) Error() string        { return "no such " + a.what + ": " + a.id }
func (a absent) Is(target error) bool { return target == ErrNotFound }

// Mode is what an accepted request asks for.
type Mode string

// The modes of a submission; "" is taken as ModeValidate.
const (
	ModeValidate Mode = "validate" // always the wargame
	ModeMLFirst  Mode = "ml-first" // the wargame only where neither static checks nor a trusted model decide
)

// Accepted is a request that was checked and found worth a trial.
type Accepted struct {
	ScenarioID     string
	ScenarioDigest string
	PatchDigest    string
	// Normalised is the request as the trial will read it. It is all that a later process needs to run the trial.
	Normalised crisol.Request
}

// Submission is an Accepted request with its identity.
type Submission struct {
	// ID is unique, and greater than the IDs of earlier submissions (a UUIDv7): rows are listed in its order.
	ID        string
	CreatedAt time.Time
	Accepted
	Mode     Mode
	Client   string // who asked, for fairness between clients; "" where nobody is told apart
	Priority int    // as the queue understands it; the store only keeps it
	Webhook  string // the URL that wants to hear of the end; "" for none
}

// Lease is a worker's claim to a validation for a time. Times are those of the callers' clocks, which must agree better
// than a lease is long (jobs asks the database for the time).
type Lease struct {
	// Worker names the claimant. The same one may claim again what it holds: its earlier attempt is over then.
	Worker string
	At     time.Time
	Until  time.Time // after it others may take the validation over
}

// Attempt is what a worker needs to run a trial.
type Attempt struct {
	Submission
	// Number counts from 1 and includes attempts that ended with the death of their process.
	Number int
	// LastError says why the attempt before ended, "" where nothing could say so.
	LastError string
	// Fence is greater than that of any earlier attempt at this validation. It shows that a worker still holds what it
	// began.
	Fence int64
}

// Row is a validation without its request and its evidence.
type Row struct {
	ID             string
	State          State
	APVID          string
	CVEID          string
	PatchID        string
	ScenarioID     string
	ScenarioDigest string
	PatchDigest    string
	Attempts       int
	LastError      string
	CreatedAt      time.Time
	StartedAt      time.Time // of the latest attempt; zero before the first
	FinishedAt     time.Time // zero until finished
	Mode           Mode
	Client         string
	Priority       int
	Webhook        string
	Worker         string    // that began the latest attempt
	LeaseUntil     time.Time // of a running one
	// SupersededBy is the validation that judged the same patch anew, "" for none.
	SupersededBy string
	// Revoked: the verdict that stands here no longer holds.
	Revoked       bool
	RevokedReason string
	RevokedAt     time.Time

	// Outcome is the zero value until finished.
	Outcome
}

// Outcome is the part of a crisol.Validation that lists show and filters select.
type Outcome struct {
	Verdict          crisol.Verdict
	PatchValidated   bool
	Method           crisol.Method
	Cached           bool
	Assurance        crisol.Assurance
	Confidence       float64
	ResidualRisk     float64
	ExecutionSeconds float64
	Reason           string
}

// OutcomeOf takes the summary out of a validation.
func OutcomeOf(v crisol.Validation) Outcome {
	return Outcome{
		Verdict: v.Verdict, PatchValidated: v.PatchValidated, Method: v.Method, Cached: v.Cached,
		Assurance: v.Assurance, Confidence: v.Confidence, ResidualRisk: v.ResidualRisk,
		ExecutionSeconds: v.ExecutionTimeSeconds, Reason: v.Reason,
	}
}

// Record is one validation with all that is known of it.
type Record struct {
	Row
	Request crisol.Request
	// Validation is the answer with its evidence; nil until finished.
	Validation *crisol.Validation
}

// Filter selects rows. A zero field selects all; fields that are set must all hold.
type Filter struct {
	State      State
	Verdict    crisol.Verdict
	APVID      string
	CVEID      string
	PatchID    string
	ScenarioID string
	// ScenarioDigest is that of the version which the verdict rests on, or before it the one at which it was accepted.
	ScenarioDigest string
	PatchDigest    string
	Mode           Mode
	Client         string
	Method         crisol.Method
	Revoked        bool      // only revoked ones
	Since          time.Time // created at or after
	Until          time.Time // created before
	// Before selects rows with a smaller ID: the ID of a page's last row asks for the next page.
	Before string
	// Limit bounds the rows returned; it must be positive.
	Limit int
}

// Revocation says that a verdict no longer holds.
type Revocation struct {
	ID     string
	By     string // the validation that judged anew
	Reason string
	At     time.Time
	// Events and Deliveries are kept in the same transaction.
	Events     []Event
	Deliveries []Delivery
}

// Validations keeps validations. Every method, of this and of the other interfaces here, is safe for concurrent use. A
// failure of the database is a crisol.KindInfrastructure error; a change has been made durably when its method returns
// nil, and not at all (or, if the outcome of the commit itself could not be learned, possibly) when it returns an error.
type Validations interface {
	// Accept keeps a submission as queued unless bound others are unfinished (ErrFull).
	Accept(ctx context.Context, s Submission, bound int) error
	// Begin marks a validation as running under a lease, counts the attempt and returns what to run. ErrLeased,
	// ErrFinished, ErrNotFound.
	Begin(ctx context.Context, id string, l Lease) (Attempt, error)
	// Extend prolongs the lease of the attempt with this fence. ErrLost, ErrFinished, ErrNotFound.
	Extend(ctx context.Context, id string, fence int64, until time.Time) error
	// Retry puts a validation back into the queue, with the reason for which the attempt with this fence failed.
	// ErrLost, ErrFinished, ErrNotFound.
	Retry(ctx context.Context, id string, fence int64, reason string) error
	// Release puts a validation back into the queue and takes the attempt with this fence back: nothing was wrong with
	// it. ErrLost, ErrFinished, ErrNotFound.
	Release(ctx context.Context, id string, fence int64) error
	// Finish gives a validation its only verdict. ErrFinished if it has one, which then stays; ErrNotFound. A worker
	// that lost its lease may still bring a verdict that decides, since it is of the same request, but no inconclusive
	// one: ErrLost.
	Finish(ctx context.Context, e Ending) error
	// Expired puts up to limit running validations whose lease ran out before now back into the queue, keeping their
	// count of attempts, and returns their ids.
	Expired(ctx context.Context, now time.Time, limit int) ([]string, error)
	// Recover puts every running validation back into the queue, keeping its count of attempts, and returns how many
	// there were. Only the single process that works on the store may call it, before it starts to.
	Recover(ctx context.Context) (int, error)
	// Unfinished returns up to limit ids of unfinished validations greater than after, the oldest first.
	Unfinished(ctx context.Context, after string, limit int) ([]string, error)
	// Loads returns how many validations of each client are unfinished.
	Loads(ctx context.Context) (map[string]int, error)
	// Get returns one validation. ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// State returns how far a validation is. ErrNotFound.
	State(ctx context.Context, id string) (State, error)
	// List returns the rows that f selects, newest first.
	List(ctx context.Context, f Filter) ([]Row, error)
	// BasedOn returns up to limit finished validations with an id greater than after, the oldest first, whose verdict
	// decides and rests on another version of a scenario than this digest, and which were not judged anew yet.
	BasedOn(ctx context.Context, scenarioID, otherThanDigest, after string, limit int) ([]Row, error)
	// Supersede says that a validation was judged anew by another, with the same verdict. ErrNotFound.
	Supersede(ctx context.Context, id, by string) error
	// Revoke says that a validation was judged anew, and that its verdict no longer holds. Revoking a revoked one changes
	// and keeps nothing more. ErrNotFound.
	Revoke(ctx context.Context, r Revocation) error
}

// Pool is how a pool of connections is, and what it has done.
type Pool struct {
	Name            string
	Max, Open, Used int
	// Waits counts those who found no free connection, Waited is the sum of their waits, and GivenUp how many left without
	// one.
	Waits   int64
	Waited  time.Duration
	GivenUp int64
}

// Store is all that an adapter offers.
type Store interface {
	Validations
	Recorder
	Retention
	ABTests() ABTests
	Accuracy() Accuracy
	Counters() Counters
	Events() Events
	Settings() Settings
	Deliveries() Deliveries
	// Pools is how the pools of connections are.
	Pools() []Pool
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Close ends the use of the database. It may be called twice.
	Close() error
}
