// Package trial is what an exploit, a benign input and Crisol have to say to each other. Crisol writes one line of JSON
// to standard input: {"token": secret of this run, "size": n, "hostile": true|false, "payload": any value, if there is one}.
//
//	func main() { trial.Exploit(func(t *trial.T) bool { t.Attack(func() { ... }); return effect }) }
//	func main() { trial.Benign(func(t *trial.T) error { ... }) }
//	func main() { trial.Slow(func(t *trial.T) { t.Attack(func() { ... }) }) }
package trial

import (
	"encoding/json"
	"fmt"
	"os"
)

var order struct {
	Token   string `json:"token"`
	Size    int    `json:"size"`
	Hostile *bool  `json:"hostile"`
	Payload any    `json:"payload"`
}

// T is one run: its input size, whether it is to be hostile, and what the manifest gives it to hand to the call, or a
// variant derived from that: a JSON value.
type T struct {
	Size    int
	Hostile bool
	Payload any
	reached bool
}

func begin() *T {
	_ = json.NewDecoder(os.Stdin).Decode(&order)
	return &T{Size: order.Size, Hostile: order.Hostile == nil || *order.Hostile, Payload: order.Payload}
}

// Text is the payload, or "" where it is no text.
func (t *T) Text() string {
	s, _ := t.Payload.(string)
	return s
}

// Attack makes the call under attack. A panic is returned: a fix may well refuse by panicking.
func (t *T) Attack(call func()) (panicked any) {
	t.reached = true
	defer func() { panicked = recover() }()
	call()
	return nil
}

// Exploit runs an attack, which succeeded when body returns true.
func Exploit(body func(*T) bool) {
	t := begin()
	effect := body(t)
	if t.reached {
		say("reached")
	}
	if effect {
		os.Exit(0)
	}
	os.Exit(1)
}

// Benign runs a benign input, which is healthy when body returns nil.
func Benign(body func(*T) error) {
	if err := body(begin()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	say("healthy")
	os.Exit(0)
}

// Slow runs body for its CPU time.
func Slow(body func(*T)) {
	t := begin()
	body(t)
	if t.reached {
		say("reached")
	}
	os.Exit(0)
}

func say(word string) { fmt.Printf("\ncrisol %s %s\n", word, order.Token) }
