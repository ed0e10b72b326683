package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is what the build calls itself; the Makefile sets it.
var Version = "dev"

// BuildFacts says which build this is.
func BuildFacts() string {
	facts := fmt.Sprintf("crisol %s %s %s/%s", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return facts
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" || setting.Key == "vcs.modified" {
			facts += fmt.Sprintf(" %s=%s", setting.Key, setting.Value)
		}
	}
	return facts
}
