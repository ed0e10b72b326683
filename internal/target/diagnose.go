package target

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"crisol"
)

// symptom is what a client prints when something known goes wrong, and what that means.
type symptom struct {
	prints *regexp.Regexp
	kind   crisol.Kind
	says   string
	hint   string
}

// Hints that several clients share.
const (
	hintRetry   = "the registry can't be reached or doesn't work: look at the network, the proxy and the client's configuration, then try again"
	hintSpace   = "free some space, or put the data directory elsewhere with --data"
	hintWrite   = "the data directory must be writable: choose another with --data"
	hintVersion = "look up the name and the version in the registry"
	hintLock    = "write the lock anew with crisol scenario lock"
)

// local are symptoms of this machine, whichever client prints them. They come first: a full disk looks like anything.
var local = []symptom{
	{regexp.MustCompile(`ENOSPC|[Nn]o space left on device|[Nn]ot enough space`), crisol.KindInfrastructure, "the disk is full", hintSpace},
	{regexp.MustCompile(`EROFS|[Rr]ead-only file system`), crisol.KindInfrastructure, "the data directory is read-only", hintWrite},
	{regexp.MustCompile(`EDQUOT|[Dd]isk quota exceeded`), crisol.KindInfrastructure, "the disk quota is used up", hintSpace},
}

// diagnose turns a client's failure into an error of a kind. What no symptom explains is infrastructure's fault: never
// the caller's, who might then believe that the package doesn't exist.
func diagnose(j job, failure error, all, tail string) error {
	for _, s := range append(local[:len(local):len(local)], j.symptoms...) {
		if s.prints.MatchString(all) {
			return crisol.WithHint(crisol.Errorf(s.kind, "%s: %s: %w\n%s", j.tool, s.says, failure, tail), "%s", s.hint)
		}
	}
	return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s: %w\n%s", j.tool, failure, tail), "%s", hintRetry)
}

// fetchFailure looks for what the registry or this machine did wrong in the output of a client that ended well.
func fetchFailure(tool, out string, symptoms []symptom) error {
	for _, s := range append(local[:len(local):len(local)], symptoms...) {
		if (s.kind == crisol.KindInfrastructure || s.hint == hintLock) && s.prints.MatchString(out) {
			return crisol.WithHint(crisol.Errorf(s.kind, "%s: %s\n%s", tool, s.says, strings.TrimSpace(out)), "%s", s.hint)
		}
	}
	return nil
}

var errNoAnswer = errors.New("no answer in time")

// stopped says why a client was killed: nobody waits for it any more, or the registry doesn't answer.
func (c client) stopped(ctx context.Context, tool, tail string) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, errNoAnswer) {
		return crisol.Errorf(crisol.KindInfrastructure, "%s: %w", tool, cause)
	}
	err := crisol.Errorf(crisol.KindInfrastructure, "%s: %w (%s)\n%s", tool, cause, c.timeout, tail)
	return crisol.WithHint(err, "%s", hintRetry)
}

var install = map[string]string{
	"npm": "nodejs and npm", "python3": "python3 and python3-pip", "go": "golang", "mvn": "maven and a JDK",
	"cargo": "cargo", "pip": "python3-pip",
}

func missing(program string, err error) error {
	err = crisol.Errorf(crisol.KindInfrastructure, "start %s: %w", program, err)
	what, ok := install[program]
	if !ok {
		what = program
	}
	return crisol.WithHint(err, "install %s; crisol doctor shows what is missing", what)
}

// storage wraps an error of the cache directory, with the next step where it is known.
func storage(act string, err error) error {
	if crisol.KindOf(err) != crisol.KindInternal || errors.Is(err, context.Canceled) {
		return err
	}
	wrapped := crisol.Errorf(crisol.KindInfrastructure, "%s: %w", act, err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return crisol.WithHint(wrapped, "%s", hintSpace)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return crisol.WithHint(wrapped, "%s", hintWrite)
	}
	return wrapped
}
