package scenario

import (
	"io/fs"

	"crisol"
	"crisol/internal/target"
)

// Spec says what the vulnerable side is prepared from.
func (s *Scenario) Spec() (target.Spec, error) {
	if s.Target.Package != "" {
		return target.Spec{Package: s.Target.Package, With: s.Target.With, Lock: s.LockFS("target")}, nil
	}
	dir, err := fs.Sub(s.Files, s.Target.Dir)
	if err != nil {
		return target.Spec{}, crisol.Errorf(crisol.KindInput, "open the target's directory: %w", err)
	}
	return target.Spec{Dir: dir, DirName: s.Target.Dir}, nil
}
