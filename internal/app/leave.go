//go:build !race

package app

import "os"

// leave ends the referee.
func leave(code int) { os.Exit(code) }
