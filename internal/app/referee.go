package app

import (
	"fmt"
	"os"

	"crisol/internal/referee"
	"crisol/internal/wargame"
)

// Referee is what every program that opens an App calls first: the program's own executable is also what sits inside a
// sandbox when a run needs a service, a listener or requests beside it. There it does that work and doesn't return.
func Referee() {
	if len(os.Args) != 2 || os.Args[1] != wargame.RefereeCommand {
		return
	}
	if err := referee.Main(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "referee:", err)
		leave(1)
	}
	leave(0)
}
