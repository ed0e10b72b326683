package target

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"crisol"
)

// tarball writes an archive of members in order; a header without a type is a file of the text.
func tarball(t *testing.T, file string, members []tar.Header, text string) {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, h := range members {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size, h.Mode = tar.TypeReg, int64(len(text)), 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(file, out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestUnpack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	tarball(t, file, []tar.Header{{Name: "a/b"}, {Name: "a/link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "a/link/passwd"}}, "x")
	dir := t.TempDir()
	if err := unpack(file, dir); err != nil {
		t.Fatal(err)
	}
	// The link isn't there; what was to go through it lies in a directory.
	if info, err := os.Lstat(filepath.Join(dir, "a", "link")); err != nil || !info.IsDir() {
		t.Error(info, err)
	}
	for _, name := range []string{"../x", "/etc/x", "a/../../x"} {
		tarball(t, file, []tar.Header{{Name: name}}, "x")
		wants(t, unpack(file, t.TempDir()), crisol.KindInput, "leaves the archive")
	}
	for name, text := range map[string]string{"empty": "", "cut": "\x1f\x8bxxxx", "not a tar": strings.Repeat("x", 2000), "bzip2": "BZhx"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unpack(file, t.TempDir()); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	wants(t, unpack(filepath.Join(dir, "none.zip"), t.TempDir()), crisol.KindInput, "none.zip")
	wants(t, unpack(filepath.Join(dir, "none.tgz"), t.TempDir()), crisol.KindInput, "none.tgz")
	if err := unpack(file, "/nonexistent"); err == nil {
		t.Error("unpacked to nowhere")
	}
}

func TestUnpackZip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.zip")
	for name, says := range map[string]string{"a/b": "", "../x": "leaves the archive"} {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		_, err := z.Create("dir/")
		w, err2 := z.Create(name)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		_, err = w.Write([]byte("x"))
		if err := errors.Join(err, z.Close(), os.WriteFile(file, out.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		err = unpack(file, t.TempDir())
		if says == "" && err != nil {
			t.Error(err)
		}
		if says != "" {
			wants(t, err, crisol.KindInput, says)
		}
	}
}

func TestUnpackBounds(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := unpacker{root: root, bytes: maxArchiveBytes - 1}
	if err := u.file("a", 0o644, strings.NewReader("xx")); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Error(err)
	}
	u = unpacker{root: root, entries: maxArchiveEntries}
	if err := u.file("b", 0o644, strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "entries") {
		t.Error(err)
	}
}

func wants(t *testing.T, err error, kind crisol.Kind, says string) {
	t.Helper()
	if err == nil || crisol.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want a %s error that says %q", err, kind, says)
	}
}

// TestSource looks for what can be imported in the layouts that projects have.
func TestSource(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string // nil: nothing importable
	}{
		"flat":               {[]string{"thing/__init__.py", "setup.py", "tests/__init__.py"}, []string{"thing/__init__.py"}},
		"src":                {[]string{"src/thing/__init__.py", "src/thing/data.bin", "setup.py"}, []string{"thing/__init__.py", "thing/data.bin"}},
		"module":             {[]string{"thing.py", "conftest.py"}, []string{"thing.py"}},
		"python 3 beside 2":  {[]string{"lib/other/__init__.py", "lib3/other/__init__.py", "lib3/other/three.py", "setup.py"}, []string{"other/__init__.py", "other/three.py"}},
		"another name":       {[]string{"other/__init__.py", "docs/__init__.py", "setup.py", "second.py"}, []string{"other/__init__.py", "second.py"}},
		"as it says":         {[]string{"src/thing.egg-info/top_level.txt=other ../evil _native", "src/other/__init__.py", "thing/__init__.py"}, []string{"other/__init__.py"}},
		"namespace":          {[]string{"thing.egg-info/top_level.txt=space", "space/inner/__init__.py"}, []string{"space/inner/__init__.py"}},
		"egg without a word": {[]string{"thing.egg-info/PKG-INFO", "thing.py"}, []string{"thing.py"}},
		"nothing but C":      {[]string{"setup.py", "thing/thing.c"}, nil},
		"said and not there": {[]string{"thing.egg-info/top_level.txt=other", "thing.py"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, site := t.TempDir(), t.TempDir()
			archive := filepath.Join(dir, "thing-1.0.tar.gz")
			var members []tar.Header
			for _, f := range c.files {
				f, _, _ = strings.Cut(f, "=")
				members = append(members, tar.Header{Name: "thing-1.0/" + f})
			}
			tarball(t, archive, members, "x\n")
			src, err := openSource(archive, "thing", dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range c.files {
				if name, text, ok := strings.Cut(f, "="); ok {
					if err := os.WriteFile(filepath.Join(src.dir, name), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			err = src.install(site, "1.0")
			if c.want == nil {
				wants(t, err, crisol.KindInput, "nothing importable")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for f := range found(t, site) {
				if !strings.HasPrefix(f, "thing-1.0.dist-info/") {
					got = append(got, f)
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	archive := filepath.Join(t.TempDir(), "two.tar.gz")
	tarball(t, archive, []tar.Header{{Name: "a/x"}, {Name: "b/x"}}, "")
	_, err := openSource(archive, "two", t.TempDir())
	wants(t, err, crisol.KindInput, "not a source distribution")
}

func found(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			names[rel] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRequires(t *testing.T) {
	s := source{about: []byte("Metadata-Version: 2.1\nName: x\nRequires-Dist: a (>=1.0)\nRequires-Dist: b[c]>=2; python_version >= '3'\n" +
		"Requires-Dist: d @ https://127.0.0.1/d.zip\nRequires-Dist: --index-url=x\nRequires-Dist: e; extra == 'f'\n\nText\n")}
	want := []string{"a (>=1.0)", "b[c]>=2; python_version >= '3'", "e; extra == 'f'"}
	if got := s.requires(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := (source{}).requires(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestParseList(t *testing.T) {
	got := parseList("\nThe following files have been resolved:\n   g:a:jar:1.0:compile\n\x1b[36m   g:b:jar:tests:2.0:runtime\x1b[m -- module x (auto)\n   g:c:pom:1.0:compile\n   none\n")
	want := []artifact{{"g", "a", "1.0", ""}, {"g", "b", "2.0", "tests"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestLayMaven: a classifier of the target's own lies beside it and doesn't take its name.
func TestLayMaven(t *testing.T) {
	jars, dir := t.TempDir(), t.TempDir()
	p := Package{Name: "g:a", Version: "1.0"}
	sums := map[artifact]string{}
	for _, classifier := range []string{"", "tests"} {
		a := mavenArtifact(p, classifier)
		if err := os.WriteFile(filepath.Join(jars, a.file()), []byte(classifier), 0o644); err != nil {
			t.Fatal(err)
		}
		sum, err := fileSum(filepath.Join(jars, a.file()))
		if err != nil {
			t.Fatal(err)
		}
		sums[a] = sum
	}
	if err := lay(p, sums, jars, dir); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(found(t, dir))); !slices.Equal(got, []string{"lib/target-tests.jar", "lib/target.jar"}) {
		t.Errorf("%v", got)
	}
}

// TestEnviron: clients get what leads to the registry, and nothing else of the user's.
func TestEnviron(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := client{home: "/private", env: []string{"GOPROXY=mine"}}
	env := c.environ([]string{"HOME=" + home, "PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "HTTPS_PROXY=p", "CARGO_REGISTRIES_MY_INDEX=i",
		"CARGO_TARGET_DIR=/t", "npm_config_ignore_scripts=false", "PYTHONPATH=/x", "NODE_OPTIONS=--require=/x", "GOFLAGS=-x", "GOPROXY=theirs"}, "/tmp/x", []string{"A=b"})
	for _, want := range []string{"HOME=/private", "TMPDIR=/tmp/x", "PATH=/bin", "HTTPS_PROXY=p", "CARGO_REGISTRIES_MY_INDEX=i", "A=b",
		"npm_config_userconfig=" + filepath.Join(home, ".npmrc")} {
		if !slices.Contains(env, want) {
			t.Errorf("lacks %s", want)
		}
	}
	for _, kv := range env {
		for _, name := range []string{"AWS_", "CARGO_TARGET_DIR", "npm_config_ignore", "PYTHONPATH", "NODE_OPTIONS", "GOFLAGS", "PIP_CONFIG_FILE"} {
			if strings.HasPrefix(kv, name) {
				t.Errorf("holds %s", kv)
			}
		}
	}
	if env[len(env)-1] != "GOPROXY=mine" {
		t.Error(env)
	}
}

// TestDiagnose reads what clients really print.
func TestDiagnose(t *testing.T) {
	for printed, c := range map[string]struct {
		symptoms []symptom
		kind     crisol.Kind
		says     string
	}{
		"npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device":    {npmSymptoms, crisol.KindInfrastructure, "disk is full"},
		"OSError: [Errno 30] Read-only file system: '/x'":                           {pipSymptoms, crisol.KindInfrastructure, "read-only"},
		"write /x: disk quota exceeded":                                             {goSymptoms, crisol.KindInfrastructure, "quota"},
		"npm error code E500\nnpm error 500 Internal Server Error - GET http://x/a": {npmSymptoms, crisol.KindInfrastructure, "npm error code E500"},
		"npm error code ERESOLVE\nnpm error ERESOLVE unable to resolve":             {npmSymptoms, crisol.KindInput, "don't go together"},
		"npm error code EBADPLATFORM":                                               {npmSymptoms, crisol.KindInput, "not for this platform"},
		"npm error code EUSAGE\nnpm error `npm ci` can only install packages":       {npmSymptoms, crisol.KindInput, "damaged"},
		"Could not fetch URL http://x/simple/a/: 404 Client Error: Not Found for url: http://x - skipping\nERROR: No matching distribution found for a==1 (from versions: none)": {
			pipSymptoms, crisol.KindNotFound, "no such package"},
		"Could not fetch URL http://x/simple/a/: 403 Client Error: Forbidden for url: http://x - skipping\nERROR: No matching distribution found for a==1 (from versions: none)": {
			pipSymptoms, crisol.KindInfrastructure, "doesn't answer"},
		"Could not fetch URL http://x/simple/a/: 503 Server Error: busy - skipping\nERROR: No matching distribution": {pipSymptoms, crisol.KindInfrastructure, "doesn't answer"},
		"ERROR: ResolutionImpossible: for help visit":                                                                {pipSymptoms, crisol.KindInput, "don't go together"},
		"go: x.org/y@v1.0.0: reading http://x/x.org/y/@v/v1.0.0.info: 404 Not Found":                                 {goSymptoms, crisol.KindNotFound, "no such module"},
		"go: x.org/y@v1.0.0: Get \"http://x\": dial tcp 127.0.0.1:9: connect: connection refused":                    {goSymptoms, crisol.KindInfrastructure, "doesn't answer"},
		"go: x.org/y@v1.0.0 requires go >= 9.30.0 (running go 1.26; GOTOOLCHAIN=local)":                              {goSymptoms, crisol.KindInfrastructure, "newer Go"},
		"verifying x.org/y@v1.0.0: checksum mismatch\nSECURITY ERROR":                                                {goSymptoms, crisol.KindInput, "lock names"},
		"[ERROR] Could not transfer artifact g:a:pom:1 from/to central: status code: 500":                            {mavenSymptoms, crisol.KindInfrastructure, "doesn't answer"},
		"[ERROR] Could not find artifact g:a:jar:1 in central":                                                       {mavenSymptoms, crisol.KindNotFound, "no such artifact"},
		"The JAVA_HOME environment variable is not defined correctly":                                                {mavenSymptoms, crisol.KindInfrastructure, "no Java"},
		"error: failed to select a version for `b`.\nversions that meet the requirements `=1` are: 1":                {cargoSymptoms, crisol.KindInput, "don't go together"},
		"warning: spurious network error (3 tries remaining): [28] Timeout was reached":                              {cargoSymptoms, crisol.KindInfrastructure, "doesn't answer"},
		"Segmentation fault": {cargoSymptoms, crisol.KindInfrastructure, "Segmentation fault"},
	} {
		err := diagnose(job{tool: "client", symptoms: c.symptoms}, errors.New("exit status 1"), printed, printed)
		wants(t, err, c.kind, c.says)
	}
	wants(t, fetchFailure("go", "x: dial tcp: i/o timeout", goSymptoms), crisol.KindInfrastructure, "doesn't answer")
	if err := fetchFailure("go", "build constraints exclude all Go files", goSymptoms); err != nil {
		t.Error(err)
	}
}

func TestStorage(t *testing.T) {
	for cause, hint := range map[error]string{syscall.ENOSPC: "free some space", syscall.EDQUOT: "free some space", syscall.EROFS: "writable",
		os.ErrPermission: "writable", errors.New("x"): ""} {
		err := storage("keep", cause)
		wants(t, err, crisol.KindInfrastructure, "keep: ")
		if !strings.Contains(crisol.HintOf(err), hint) {
			t.Errorf("%v: %q", cause, crisol.HintOf(err))
		}
	}
	if err := storage("keep", crisol.Errorf(crisol.KindInput, "x")); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
}

// TestTranscript: neither an endless client nor endless lines make an error endless.
func TestTranscript(t *testing.T) {
	var out transcript
	line := strings.Repeat("x", 1000) + "\n"
	for range transcriptLimit/len(line) + 10 {
		_, _ = out.Write([]byte(line))
		_, _ = stdoutOf{&out}.Write([]byte("y\n"))
	}
	if n := out.all.Len(); n > transcriptLimit+len(line) {
		t.Error(n)
	}
	if n := len(out.tail(nil)); n > 13*420 {
		t.Error(n)
	}
}

// TestRun: a client that leaves a grandchild behind with its pipes open doesn't hold us up for ever.
func TestRun(t *testing.T) {
	home := t.TempDir()
	c := client{home: home, lock: filepath.Join(home, "lock"), timeout: time.Minute}
	out, err := c.run(context.Background(), job{tool: "sh", dir: home, args: []string{"sh", "-c", "echo out; echo err >&2"}})
	if err != nil || string(out) != "out\n" {
		t.Errorf("%q %v", out, err)
	}
	_, err = c.run(context.Background(), job{tool: "sh", dir: home, args: []string{"sh", "-c", "echo said; exit 3"}})
	wants(t, err, crisol.KindInfrastructure, "sh: exit status 3\nsaid")
	c.home = "/nonexistent"
	_, err = c.run(context.Background(), job{tool: "sh", dir: home, args: []string{"sh"}})
	wants(t, err, crisol.KindInfrastructure, "make a directory for sh")
}

func TestShortVersion(t *testing.T) {
	for long, short := range map[string]string{"3.2.0": "3.2", "1.0.0": "1", "2.10": "2.10", "1.0rc1": "1.0rc1"} {
		if got := shortVersion(long); got != short {
			t.Errorf("%s: %s", long, got)
		}
	}
}

// TestGoVersion: a packaged go whose root has no VERSION is known by what it is.
func TestGoVersion(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := goVersion(); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if v, err := goVersion(); err != nil || !strings.HasPrefix(v, dir) {
		t.Error(v, err)
	}
}

// TestNowhere: a directory that isn't there, or a file in its place, is an error of every step, before any client starts.
func TestNowhere(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	s, err := Open(t.TempDir(), Options{Python: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const nowhere = "/nonexistent/dir"
	ctx, pkgs := context.Background(), []Package{{Name: "g:a", Version: "1.0"}}
	hash := strings.Repeat("0", 64)
	locks := map[string]map[string][]byte{
		"npm":    {"package.json": []byte(`{"dependencies":{"g:a":"1.0"}}`), "package-lock.json": []byte(`{}`)},
		"pypi":   {"requirements.txt": []byte("a==1.0 --hash=sha256:" + hash + "\n")},
		"golang": {"go.mod": []byte("module work\nrequire g.a/a v1.0.0\n"), "go.sum": nil},
		"maven":  {"artifacts.sha256": []byte(hash + "  g:a:1.0\n")},
		"cargo":  {"Cargo.toml": []byte(cargoManifest(pkgs)), "Cargo.lock": nil},
	}
	for name, lock := range locks {
		eco := s.ecosystem(name)
		if _, err := eco.resolve(ctx, pkgs, nowhere); err == nil {
			t.Errorf("%s resolved nowhere", name)
		}
		mine := pkgs
		switch name {
		case "pypi":
			mine = []Package{{Name: "a", Version: "1.0"}}
		case "golang":
			mine = []Package{{Name: "g.a/a", Version: "v1.0.0"}}
		}
		if _, err := eco.install(ctx, mine, lock, nowhere, nowhere); err == nil || crisol.HintOf(err) == hintLock {
			t.Errorf("%s installed nowhere: %v", name, err)
		}
	}
	dir := t.TempDir()
	for what, err := range map[string]error{
		"place a module":    golang{s}.place(nil, pkgs[0], nowhere, dir),
		"place a crate":     cargo{s}.place(ctx, pkgs[0], "", dir),
		"lay jars":          lay(pkgs[0], nil, dir, nowhere),
		"lay a missing jar": lay(pkgs[0], map[artifact]string{{"g", "a", "1.0", ""}: hash}, dir, dir),
		"write a POM":       writePOM(nowhere, pom{}),
		"stub":              source{name: "a"}.stub(nowhere, "1.0"),
		"describe":          source{name: "a"}.describe(nowhere, "1.0"),
		"copy":              copyNowhere(),
		"sync":              syncDisk(nowhere),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := seal(nowhere); err == nil {
		t.Error("sealed nowhere")
	}
	if _, _, err := (pypi{s}).fetchSource(ctx, "a", "1.0", nowhere); err == nil {
		t.Error("fetched to nowhere")
	}
	if _, err := openSource("a.zip", "a", nowhere); err == nil {
		t.Error("unpacked nowhere")
	}
}

func copyNowhere() error {
	_, err := copyDir(Spec{Dir: os.DirFS("."), DirName: "app"}, "/dev/null")
	return err
}

func TestSystemPython(t *testing.T) {
	if got := systemPython(); !filepath.IsAbs(got) {
		t.Error(got)
	}
}

// TestDirBounds: what is too large to be a target of a person's own is refused before it is copied.
func TestDirBounds(t *testing.T) {
	folder := t.TempDir()
	huge := filepath.Join(folder, "huge")
	if err := errors.Join(os.WriteFile(huge, nil, 0o644), os.Truncate(huge, maxDirBytes+1)); err != nil {
		t.Fatal(err)
	}
	_, err := readDir(Spec{Dir: os.DirFS(folder), DirName: "app"})
	wants(t, err, crisol.KindInput, "more than")
}

// brokenFS is a folder in which one file can be listed and not be read.
type brokenFS struct {
	fs.FS
	opens int // how often the file opens before it fails
}

func (f *brokenFS) Open(name string) (fs.File, error) {
	if name == "bad" {
		if f.opens--; f.opens < 0 {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
	}
	return f.FS.Open(name)
}

// TestDirBroken: a file that can't be read, at whichever reading, is an error and no smaller tree.
func TestDirBroken(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "bad"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for opens := range 4 {
		spec := Spec{Dir: &brokenFS{os.DirFS(folder), opens}, DirName: "app"}
		if _, err := s.Prepare(context.Background(), spec); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("after %d readings: %v", opens, err)
		}
	}
	spec := Spec{Dir: &brokenFS{os.DirFS(folder), 4}, DirName: "app"}
	if _, err := s.Prepare(context.Background(), spec); err != nil {
		t.Error(err)
	}
}

// TestCancelledBuild: what was made for one who has gone is not kept.
func TestCancelledBuild(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = s.ensure(ctx, "key", func(context.Context, string, string) (record, error) { cancel(); return record{}, nil })
	if !errors.Is(err, context.Canceled) || s.acquire("key") != nil {
		t.Error(err)
	}
	// A place that is taken by what isn't a cache is an error of the machine.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "trees"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Open(filepath.Join(dir, "trees"), Options{})
	wants(t, err, crisol.KindInfrastructure, "open the target cache")
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	_, err = s.ensure(context.Background(), "key", nil)
	wants(t, err, crisol.KindInfrastructure, "make the cache directory")
}
