package show

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"crisol/internal/wargame"
)

// Progress tells what is under way: on a terminal in one line that is rewritten, elsewhere in a line for each gate that
// is done. The zero value and a nil Progress are silent.
type Progress struct {
	mu      sync.Mutex // guards what follows
	out     io.Writer
	live    bool
	started time.Time
	closed  bool
}

// NewProgress reports to w when wanted.
func NewProgress(w io.Writer, wanted bool) *Progress {
	if !wanted {
		return nil
	}
	file, ok := w.(*os.File)
	return &Progress{out: w, live: ok && term.IsTerminal(int(file.Fd())), started: time.Now()}
}

// Trial hears of a trial's events.
func (p *Progress) Trial(e wargame.Event) {
	switch {
	case p == nil:
	case e.Done && !p.live:
		p.line("%s: %s", titles[e.Gate], e.Outcome)
	case !e.Done && p.live:
		subject := titles[e.Gate]
		if e.Check != "" {
			subject += " (" + e.Check + ")"
		}
		p.status(subject)
	}
}

// SelfTest hears of the cases of a self-test.
func (p *Progress) SelfTest(name string, done bool, c wargame.SelfTestCase) {
	switch {
	case p == nil:
	case p.live:
		p.status("self-test: " + name)
	case done:
		p.line("self-test: %s: %s", name, c.Got)
	}
}

// Say hears of anything else, such as a package that is being fetched.
func (p *Progress) Say(text string) {
	switch {
	case p == nil:
	case p.live:
		p.status(text)
	default:
		p.line("%s", text)
	}
}

// Close clears the status line.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && !p.closed {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.closed = true
}

func (p *Progress) status(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	text = Clean(text)
	if len(text) > 90 {
		text = text[:90]
	}
	_, _ = lipgloss.Fprintf(p.out, "\r\x1b[K%s %s", faint.Render(fmt.Sprintf("%5.1f s", time.Since(p.started).Seconds())), text)
}

func (p *Progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		_, _ = fmt.Fprintf(p.out, "%s\n", Clean(fmt.Sprintf(format, args...)))
	}
}

// Clear empties the status line, so that something else can be printed.
func (p *Progress) Clear() {
	if p == nil || !p.live {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprint(p.out, "\r\x1b[K")
}
