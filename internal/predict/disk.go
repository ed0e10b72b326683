package predict

import (
	"os"
	"sync"
	"time"

	"crisol"
)

// patience is how long one waits for the disk. Predictions are asked for by requests, and the directory may lie on a network.
const patience = time.Second

// disk reads files without waiting for ever. A read that hangs goes on by itself: it can't be called off, and until it ends
// nobody else waits for the same. The zero value is ready.
type disk struct {
	mu      sync.Mutex // guards reading
	reading map[string]*reading
}

// reading is a read that is under way, or was.
type reading struct {
	begun time.Time
	done  chan struct{} // closed once what follows is set
	value any
	err   error
}

func (d *disk) file(path string) ([]byte, error) {
	return within(d, path, func() ([]byte, error) { return os.ReadFile(path) })
}

// within reads by a name: those who ask while a read is under way share it.
func within[T any](d *disk, name string, read func() (T, error)) (T, error) {
	r := d.begin(name, func() (any, error) { return read() })
	timer := time.NewTimer(time.Until(r.begun.Add(patience)))
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		var none T
		return none, crisol.Errorf(crisol.KindInfrastructure, "read %s: the disk doesn't answer within %s", name, patience)
	}
	value, _ := r.value.(T)
	return value, r.err
}

func (d *disk) begin(name string, read func() (any, error)) *reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.reading[name]; r != nil {
		return r
	}
	if d.reading == nil {
		d.reading = map[string]*reading{}
	}
	r := &reading{begun: time.Now(), done: make(chan struct{})}
	d.reading[name] = r
	go func() {
		r.value, r.err = read()
		d.mu.Lock()
		delete(d.reading, name)
		d.mu.Unlock()
		close(r.done)
	}()
	return r
}
