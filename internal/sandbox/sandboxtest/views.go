package sandboxtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

func whiteout(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mknod(path, unix.S_IFCHR, 0); err != nil {
		t.Fatalf("make a whiteout: %v", err)
	}
}

// tree lists the view of layers as the sandbox sees it, without the kit.
func (s *suite) tree(t *testing.T, layers ...string) string {
	t.Helper()
	r := s.shell(t, "find . -mindepth 1 ! -name hostile | sort | while read f; do test -f $f && printf '%s=%s ' $f \"$(cat $f)\" || printf '%s ' $f; done",
		func(c *sandbox.Command) { c.Layers = layers })
	return strings.TrimSpace(string(r.Stdout.Head))
}

func (s *suite) testLayers(t *testing.T) {
	base := layer(t, map[string]string{"both": "base", "base": "b", "dir/base": "b", "gone": "x", "gonedir/x": "x", "hidden/x": "x", "file": "f", "d/x": "x"})
	middle := layer(t, map[string]string{"both": "middle", "dir/middle": "m", "d": "now a file"})
	top := layer(t, map[string]string{"both": "top", "dir/top": "t", "hidden/y": "y", "file/in": "a directory now"})
	whiteout(t, filepath.Join(top, "gone"))
	whiteout(t, filepath.Join(top, "gonedir"))
	whiteout(t, filepath.Join(top, "hidden/x"))
	whiteout(t, filepath.Join(middle, "dir/base"))
	got := s.tree(t, top, middle, base)
	want := "./base=b ./both=top ./d=now a file ./dir ./dir/middle=m ./dir/top=t ./file ./file/in=a directory now ./hidden ./hidden/y=y"
	if got != want {
		t.Errorf("view:\n%s\nwant:\n%s", got, want)
	}
}

// fingerprint tells whether anything in a directory was changed.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(raw)
		}
		fmt.Fprintf(&b, "%s %v %d %v %q\n", path, info.Mode(), info.Size(), info.ModTime(), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (s *suite) testLayersStay(t *testing.T) {
	top := layer(t, map[string]string{"a": "a", "dir/b": "b"})
	below := layer(t, map[string]string{"c": "c", "dir/d": "d"})
	before := fingerprint(t, top) + fingerprint(t, below)
	s.shell(t, "echo x >> a; echo y > c; chmod 700 dir; rm dir/b; mv dir/d e; ln c f; truncate -s 0 c; touch -d 2001-01-01 dir a; rm -rf dir; mkdir dir; "+
		"chmod -R 777 . 2>/dev/null; rm -rf a c", func(c *sandbox.Command) { c.Layers = []string{top, below} })
	if now := fingerprint(t, top) + fingerprint(t, below); now != before {
		t.Errorf("layers changed:\n%s\nbefore:\n%s", now, before)
	}
}

func (s *suite) testKeep(t *testing.T) {
	base := layer(t, map[string]string{"same": "same", "changed": "old", "removed": "x", "dir/kept": "k", "dir/removed": "x",
		"whole/x": "x", "redone/old": "o", "turned": "file"})
	keep := filepath.Join(t.TempDir(), "keep")
	s.shell(t, "echo -n new > changed; rm removed dir/removed; rm -r whole redone; mkdir redone; echo -n n > redone/new; "+
		"rm turned; mkdir turned; echo -n in > turned/in; echo -n made > made; ln -s made link; chmod 755 made",
		func(c *sandbox.Command) { c.Layers = []string{base}; c.Keep = keep })
	if _, err := os.Lstat(filepath.Join(keep, "same")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unchanged file was kept: %v", err)
	}
	for _, name := range []string{"removed", "dir/removed"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(keep, name), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
			t.Errorf("no whiteout at %s: %v", name, err)
		}
	}
	if info, err := os.Stat(filepath.Join(keep, "made")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("made: %v %v", info, err)
	}
	want := "./changed=new ./dir ./dir/kept=k ./link=made ./made=made ./redone ./redone/new=n ./same=same ./turned ./turned/in=in"
	if got := s.tree(t, keep, base); got != want {
		t.Errorf("view with the kept layer:\n%s\nwant:\n%s", got, want)
	}
	// A kept layer is writable again, and can be kept on.
	again := filepath.Join(t.TempDir(), "again")
	s.shell(t, "echo -n more >> changed; echo -n x > redone/x; rm turned/in",
		func(c *sandbox.Command) { c.Layers = []string{keep, base}; c.Keep = again })
	want = "./changed=newmore ./dir ./dir/kept=k ./link=made ./made=made ./redone ./redone/new=n ./redone/x=x ./same=same ./turned"
	if got := s.tree(t, again, keep, base); got != want {
		t.Errorf("view with two kept layers:\n%s\nwant:\n%s", got, want)
	}
	if _, err := s.try(t.Context(), sandbox.Command{Args: []string{"true"}, Keep: keep}); err == nil {
		t.Error("kept a layer in a directory that isn't empty")
	}
}

// A named pipe is kept as such and holds nobody up. gVisor's live in its memory only.
func (s *suite) testKeepPipe(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep")
	s.shell(t, "mkfifo pipe", func(c *sandbox.Command) { c.Keep = keep })
	info, err := os.Lstat(filepath.Join(keep, "pipe"))
	if s.rt.Name() == "runsc" {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(strings.Join(s.report.Notes, " "), "pipes") {
			t.Errorf("a pipe: %v %v, notes: %v", info, err, s.report.Notes)
		}
		return
	}
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("a pipe: %v %v", info, err)
	}
}

func (s *suite) testKeepOnlyAfterEnd(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep")
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "stubborn"}, Keep: keep, Limits: sandbox.Limits{Wall: 500 * time.Millisecond}})
	if _, err := os.Stat(keep); r.Stopped != "wall" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stopped %q, and kept what it wrote: %v", r.Stopped, err)
	}
	// A failure is an end.
	s.run(t, sandbox.Command{Args: []string{"sh", "-c", "echo x > x; exit 3"}, Keep: keep})
	if _, err := os.Stat(filepath.Join(keep, "x")); err != nil {
		t.Error(err)
	}
}

func (s *suite) testManyLayers(t *testing.T) {
	var layers []string
	for i := range 40 {
		layers = append(layers, layer(t, map[string]string{fmt.Sprintf("f%d", i): "x", "who": fmt.Sprint(i)}))
	}
	odd := filepath.Join(t.TempDir(), `odd:name,with\all "of" it`)
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(odd, "odd"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	layers = append(layers, odd)
	r := s.shell(t, "ls f* odd | wc -l; cat who", func(c *sandbox.Command) { c.Layers = layers })
	if string(r.Stdout.Head) != "41\n0" {
		t.Errorf("saw %q", r.Stdout.Head)
	}
}

func (s *suite) testBadLayers(t *testing.T) {
	file := filepath.Join(layer(t, map[string]string{"file": "x"}), "file")
	for _, bad := range []string{"/no/such/layer", file} {
		if _, err := s.try(t.Context(), sandbox.Command{Args: []string{"true"}, Layers: []string{bad}}); err == nil {
			t.Errorf("ran on the layer %s", bad)
		}
	}
	if _, err := s.try(t.Context(), sandbox.Command{Args: []string{"true"}, Mounts: []sandbox.Mount{{Source: "/no/such/source", Target: "/opt/x"}}}); err == nil {
		t.Error("ran with a mount of nothing")
	}
	s.shell(t, "true") // and nothing is broken by that
}

func (s *suite) testAfter(t *testing.T) {
	base := layer(t, map[string]string{"below": "b", "removed": "r"})
	var made, below string
	var removed error
	look := func(root *os.Root) error {
		a, err := root.ReadFile("dir/made")
		if err != nil {
			return err
		}
		b, err := root.ReadFile("below")
		made, below = string(a), string(b)
		_, removed = root.Stat("removed")
		return err
	}
	s.shell(t, "mkdir dir; echo -n m > dir/made; rm removed", func(c *sandbox.Command) { c.Layers = []string{base}; c.After = look })
	if made != "m" || below != "b" || !errors.Is(removed, fs.ErrNotExist) {
		t.Errorf("After saw %q, %q, %v", made, below, removed)
	}
	wrong := errors.New("something is wrong")
	_, err := s.try(t.Context(), sandbox.Command{Args: []string{"true"}, After: func(*os.Root) error { return wrong }})
	if !errors.Is(err, wrong) {
		t.Errorf("err = %v, want After's", err)
	}
	// It looks after a run that was stopped, too: one that had time enough to write its file, which a busy machine may not
	// give it at first.
	for wall := 700 * time.Millisecond; ; wall *= 2 {
		ready := false
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "stubborn"}, Limits: sandbox.Limits{Wall: wall},
			After: func(root *os.Root) error { _, err := root.Stat("ready"); ready = err == nil; return nil }})
		if r.Stopped != "wall" {
			t.Errorf("stopped %q", r.Stopped)
		}
		if ready {
			return
		}
		if wall > 15*time.Second {
			t.Fatal("After never saw the file")
		}
	}
}

func (s *suite) testAfterSymlinks(t *testing.T) {
	look := func(root *os.Root) error {
		for _, name := range []string{"absolute", "up", "dir/shadow", "proc/self/environ"} {
			if content, err := root.ReadFile(name); err == nil {
				t.Errorf("After read %s: %.20q", name, content)
			}
		}
		return nil
	}
	s.shell(t, "ln -s /etc/passwd absolute; ln -s ../../../../../../../../etc/passwd up; ln -s /etc dir; ln -s /proc proc",
		func(c *sandbox.Command) { c.After = look })
}

func (s *suite) testMounts(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private") // that the sandboxed user couldn't walk to
	if err := os.MkdirAll(filepath.Join(private, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(private, "dir/file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	r := s.shell(t, "cat /opt/kit/file /opt/one /work/sub/kit/file; for f in /opt/kit/file /opt/one /opt/kit/new /work/sub/kit/file; do "+
		"(echo x > $f) 2>/dev/null && echo wrote $f; done; rm -f /opt/kit/file; true",
		func(c *sandbox.Command) {
			c.Mounts = []sandbox.Mount{{Source: filepath.Join(private, "dir"), Target: "/opt/kit"},
				{Source: filepath.Join(private, "dir/file"), Target: "/opt/one"}, {Source: filepath.Join(private, "dir"), Target: "/work/sub/kit"}}
		})
	if string(r.Stdout.Head) != "contentcontentcontent" {
		t.Errorf("saw %q %s", r.Stdout.Head, r.Stderr.Head)
	}
	if got := readFile(t, filepath.Join(private, "dir/file")); got != "content" {
		t.Errorf("a mount was written to: %q", got)
	}
}

// A layer is hostile too: a symlink in it must not make Crisol mount, or make anything, outside the sandbox.
func (s *suite) testMountSymlinks(t *testing.T) {
	host := t.TempDir()
	if err := os.Chmod(host, 0o777); err != nil {
		t.Fatal(err)
	}
	trap := layer(t, nil)
	for name, target := range map[string]string{"trap": host, "up": "../../../../../.." + host} {
		if err := os.Symlink(target, filepath.Join(trap, name)); err != nil {
			t.Fatal(err)
		}
		c := sandbox.Command{Args: []string{"true"}, Layers: []string{trap},
			Mounts: []sandbox.Mount{{Source: s.kit, Target: "/work/" + name + "/kit"}}}
		_, _ = s.try(t.Context(), c) // it may refuse
		entries, err := os.ReadDir(host)
		if err != nil || len(entries) > 0 {
			t.Errorf("%s led Crisol to the host's directory: %v %v", name, entries, err)
		}
	}
}
