package stage

import (
	"os"
	"sync"
	"time"

	"crisol/internal/sandbox"
)

// collector keeps the head and the tail of a stream and counts the rest.
type collector struct {
	limit int
	head  []byte
	tail  []byte // a ring once it is full; next is where the oldest byte lies
	next  int
	total int64
}

// Write takes everything and never fails.
func (c *collector) Write(p []byte) (int, error) {
	n := len(p)
	c.total += int64(n)
	half := c.limit - c.limit/2
	if room := half - len(c.head); room > 0 {
		take := min(room, len(p))
		c.head = append(c.head, p[:take]...)
		p = p[take:]
	}
	size := c.limit / 2
	if len(p) > size {
		p = p[len(p)-size:]
	}
	for len(p) > 0 {
		if len(c.tail) < size {
			take := min(size-len(c.tail), len(p))
			c.tail = append(c.tail, p[:take]...)
			p = p[take:]
			continue
		}
		take := copy(c.tail[c.next:], p)
		c.next = (c.next + take) % size
		p = p[take:]
	}
	return n, nil
}

// output returns what was kept: one piece when nothing was dropped.
func (c *collector) output() sandbox.Output {
	tail := append(append([]byte{}, c.tail[c.next:]...), c.tail[:c.next]...)
	if c.total <= int64(c.limit) {
		return sandbox.Output{Head: append(c.head, tail...), Total: c.total}
	}
	return sandbox.Output{Head: c.head, Tail: tail, Total: c.total}
}

// stream is one output of the tree: a pipe and the goroutine that empties it.
type stream struct {
	read, write *os.File
	done        sync.WaitGroup
	collector   collector
}

func openStream(limit int64) (*stream, error) {
	s := &stream{collector: collector{limit: int(limit)}}
	var err error
	s.read, s.write, err = os.Pipe()
	return s, err
}

// start begins to read; Crisol's own writing end is closed, so that the stream ends with the tree.
func (s *stream) start() {
	s.write.Close()
	s.done.Go(func() {
		buffer := make([]byte, 32<<10)
		for {
			n, err := s.read.Read(buffer)
			_, _ = s.collector.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	})
}

// finish returns what was printed, once the tree is dead. A descriptor that leaked out of the tree can't hold it up.
func (s *stream) finish() sandbox.Output {
	_ = s.read.SetReadDeadline(time.Now().Add(time.Second))
	s.done.Wait()
	s.read.Close()
	return s.collector.output()
}

func (s *stream) abandon() {
	s.read.Close()
	s.write.Close()
}
