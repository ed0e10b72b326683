package diff

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a path; beyond them no file system that we run on could hold it.
const (
	maxPath      = 4000
	maxComponent = 255
	maxDepth     = 64
)

// jail says why a path must not be touched, or nil. It looks at the path alone; symlinks are found by Apply.
func jail(path string) error {
	switch {
	case path == "":
		return errors.New("the path is empty")
	case len(path) > maxPath:
		return fmt.Errorf("the path has more than %d bytes", maxPath)
	case !utf8.ValidString(path):
		return errors.New("the path is not valid UTF-8")
	case path[0] == '/':
		return errors.New("the path is absolute")
	case len(path) >= 2 && path[1] == ':' && unicode.IsLetter(rune(path[0])):
		return errors.New("the path begins with a drive letter")
	case strings.ContainsRune(path, '\\'):
		return errors.New("the path holds a backslash")
	}
	// Format characters are invisible, and some file systems ignore them: .g<U+200C>it is .git there.
	if i := strings.IndexFunc(path, func(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }); i >= 0 {
		return errors.New("the path holds a control or an invisible character")
	}
	parts := strings.Split(path, "/")
	if len(parts) > maxDepth {
		return fmt.Errorf("the path is deeper than %d directories", maxDepth)
	}
	for _, part := range parts {
		if err := jailComponent(part); err != nil {
			return err
		}
	}
	return nil
}

func jailComponent(part string) error {
	switch {
	case part == "":
		return errors.New("the path holds an empty component")
	case part == ".":
		return errors.New(`the path holds a "." component`)
	case part == "..":
		return errors.New(`the path holds a ".." component`)
	case len(part) > maxComponent:
		return fmt.Errorf("a component of the path has more than %d bytes", maxComponent)
	case strings.HasPrefix(part, ".wh."):
		return errors.New("the path holds a layer's whiteout name (.wh.)")
	case isDotGit(part):
		return errors.New("the path lies in .git")
	}
	return nil
}

// isDotGit recognises .git as any file system may spell it: in either case, with trailing dots and spaces, with an NTFS
// stream behind it, or by its short name.
func isDotGit(part string) bool {
	name, _, _ := strings.Cut(part, ":")
	name = strings.TrimRight(name, " .")
	return strings.EqualFold(name, ".git") || strings.EqualFold(name, "git~1")
}
