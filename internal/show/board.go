package show

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"crisol/internal/round"
)

// Board tells how a round of self-tests goes: on a terminal a bar with a line for each scenario that runs, elsewhere a
// line for each scenario that is done. A nil Board is silent.
type Board struct {
	out     io.Writer
	now     func() time.Time
	started time.Time
	total   int
	bars    *mpb.Progress // nil where out is no terminal
	bar     *mpb.Bar

	mu                                   sync.Mutex // guards what follows
	done, resumed, hold, fails, untested int
	lanes                                []lane
	note                                 string
	closed                               bool
}

// lane is where a scenario that runs is shown.
type lane struct {
	id, doing string
	since     time.Time
}

// NewBoard shows a round over so many scenarios, of which lanes run at once.
func NewBoard(out io.Writer, total, lanes int) *Board {
	b := &Board{out: out, now: time.Now, started: time.Now(), total: total, lanes: make([]lane, max(1, min(lanes, total)))}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		b.raise()
	}
	return b
}

// raise puts the bar on the terminal.
func (b *Board) raise() {
	b.bars = mpb.New(mpb.WithOutput(b.out), mpb.WithWidth(40), mpb.WithAutoRefresh(), mpb.WithRefreshRate(400*time.Millisecond))
	rows := make([]mpb.BarFiller, 0, len(b.lanes)+1)
	for i := range b.lanes {
		rows = append(rows, b.row(func() string { return b.lanes[i].text(b.now()) }))
	}
	rows = append(rows, b.row(func() string { return b.note }))
	b.bar = b.bars.New(int64(b.total), mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.PrependDecorators(decor.CountersNoUnit("%d of %d ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { b.mu.Lock(); defer b.mu.Unlock(); return " " + b.clock() })),
		mpb.BarBtmExtender(rows...), mpb.BarRemoveOnComplete())
}

// row is one line below the bar; an empty one says nothing.
func (b *Board) row(text func() string) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		b.mu.Lock()
		line := "  " + Clean(text())
		b.mu.Unlock()
		if r := []rune(line); s.AvailableWidth > 1 && len(r) > s.AvailableWidth-1 {
			line = string(r[:s.AvailableWidth-1])
		}
		_, err := fmt.Fprintln(w, line)
		return err
	})
}

func (l lane) text(now time.Time) string {
	if l.id == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s (%s)", l.id, l.doing, rough(now.Sub(l.since)))
}

// clock says how the round stands. What remains is told once enough is known to guess it.
func (b *Board) clock() string {
	elapsed := b.now().Sub(b.started)
	text := rough(elapsed)
	if fresh := b.done - b.resumed; fresh > len(b.lanes) && b.done < b.total {
		text += ", about " + rough(elapsed/time.Duration(fresh)*time.Duration(b.total-b.done)) + " left"
	}
	if b.resumed > 0 {
		text += fmt.Sprintf(", %d from before", b.resumed)
	}
	if b.fails > 0 {
		text += fmt.Sprintf(", %d fail", b.fails)
	}
	if b.untested > 0 {
		text += fmt.Sprintf(", %d untested", b.untested)
	}
	return text
}

// rough is a duration as a person says it.
func rough(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// Watch hears of a round's events.
func (b *Board) Watch(e round.Event) {
	if b == nil {
		return
	}
	b.mu.Lock()
	line := b.take(e)
	b.mu.Unlock()
	switch {
	case b.bars != nil && e.Result != nil:
		b.bar.Increment()
	case b.bars == nil && line != "":
		b.line(line)
	}
}

// take notes an event and returns the line that tells of it, if there is one.
func (b *Board) take(e round.Event) string {
	id := e.Scenario.ID
	if e.Result == nil {
		b.enter(id, e.Case)
		return ""
	}
	b.leave(id)
	if e.Result.Resumed {
		b.resumed++
	}
	switch e.Result.Outcome {
	case round.Holds:
		b.hold++
	case round.Fails:
		b.fails++
	case round.Untested:
		b.untested++
	}
	return fmt.Sprintf("%d of %d: %s %s; %s", b.done, b.total, id, e.Result.Outcome, b.clock())
}

// enter shows what a scenario is at, in its lane or the first that is free.
func (b *Board) enter(id, doing string) {
	free := -1
	for i, l := range b.lanes {
		if l.id == id {
			b.lanes[i].doing = doing
			return
		}
		if l.id == "" && free < 0 {
			free = i
		}
	}
	if free >= 0 {
		if doing == "" {
			doing = "begins"
		}
		b.lanes[free] = lane{id, doing, b.now()}
	}
}

// Enter hears what an item is at, of something else than a round of self-tests.
func (b *Board) Enter(id, doing string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(id, doing)
}

// Leave hears that an item is done, and what came of it in words.
func (b *Board) Leave(id, words string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.leave(id)
	line := fmt.Sprintf("%d of %d: %s %s; %s", b.done, b.total, id, words, b.clock())
	b.mu.Unlock()
	if b.bars != nil {
		b.bar.Increment()
		return
	}
	b.line(line)
}

// leave clears an item's lane and counts it.
func (b *Board) leave(id string) {
	for i := range b.lanes {
		if b.lanes[i].id == id {
			b.lanes[i] = lane{}
		}
	}
	b.done++
}

// Say hears of anything else, such as a package that is being fetched.
func (b *Board) Say(text string) {
	switch {
	case b == nil:
	case b.bars == nil:
		b.line(text)
	default:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.note = text
	}
}

func (b *Board) line(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		_, _ = fmt.Fprintln(b.out, Clean(text))
	}
}

// Writer is where results go while the board is up: above the bar if w is a terminal like the board's, else to w.
func (b *Board) Writer(w io.Writer) io.Writer {
	file, ok := w.(*os.File)
	if b == nil || b.bars == nil || !ok || !term.IsTerminal(int(file.Fd())) {
		return w
	}
	return above{b.bars}
}

// above writes above the bar, in whole lines.
type above struct{ bars *mpb.Progress }

func (a above) Write(p []byte) (int, error) { return a.bars.Write(p) }

// Close takes the bar away.
func (b *Board) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	if b.bars != nil {
		b.bar.Abort(true)
		b.bars.Wait()
	}
}
