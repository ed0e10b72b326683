package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// HostUID and HostGID are the unprivileged ids that sandboxed processes have on the host when Crisol runs as root.
// They belong to no account. Inside the sandbox they appear as UID and GID.
const (
	HostUID = 29026
	HostGID = 29026
)

// UID and GID are the ids that a process sees inside the sandbox.
const (
	UID = 1000
	GID = 1000
)

// Own makes a directory that will be a Layer writable, in the view, for the sandboxed user: it gives every entry to
// HostUID and HostGID, following no symlink. It does nothing when Crisol isn't root, because then the sandboxed user
// is Crisol's own.
func Own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, HostUID, HostGID)
	})
	if err != nil {
		return fmt.Errorf("give %s to the sandboxed user: %w", dir, err)
	}
	return nil
}
