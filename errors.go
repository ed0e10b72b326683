package crisol

import (
	"errors"
	"fmt"
)

// Kind answers "whose fault is it?". The CLI turns it into an exit code, HTTP into a status.
type Kind int

// The kinds of an error.
const (
	KindInternal       Kind = iota // ours
	KindInput                      // the caller's: bad usage, a patch that doesn't apply, a manifest with a typo
	KindNotFound                   // the caller named something that doesn't exist
	KindTarget                     // the target under trial: doesn't build, doesn't start
	KindInfrastructure             // sandbox, registry, disk, database: may succeed when tried again
)

// String names the kind as logs and problem documents show it.
func (k Kind) String() string {
	switch k {
	case KindInput:
		return "input"
	case KindNotFound:
		return "not_found"
	case KindTarget:
		return "target"
	case KindInfrastructure:
		return "infrastructure"
	default:
		return "internal"
	}
}

// Error is an error whose kind is known, with an optional hint that tells the next step.
type Error struct {
	Kind Kind
	Hint string
	Err  error
}

// Error returns the message of the wrapped error; the hint is rendered at the edge.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of a kind; %w wraps.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// WithHint adds the next step to an error, keeping its kind.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Hint: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the outermost kind in err's chain, KindInternal where none is given.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
