//go:build !race

package main

import "os"

// leave ends the referee.
func leave(code int) { os.Exit(code) }
