package target_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// registry is a small registry of every kind on loopback. What it serves is added by the tests; how it misbehaves is set
// by them.
type registry struct {
	url string

	mu     sync.Mutex // guards files and served
	files  map[string][]byte
	served map[string]int

	status  int           // when not 0, the answer to everything
	hang    bool          // never answer
	reached chan struct{} // a request has come, when hang is set
	left    chan struct{} // whoever asked has gone, when hang is set
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{files: map[string][]byte{}, served: map[string]int{}, reached: make(chan struct{}, 64), left: make(chan struct{}, 64)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch {
	case r.hang:
		r.reached <- struct{}{}
		<-q.Context().Done()
		r.left <- struct{}{}
		return
	case r.status != 0:
		http.Error(w, "out of order", r.status)
		return
	}
	r.mu.Lock()
	text, ok := r.files[q.URL.Path]
	r.served[q.URL.Path]++
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, q)
		return
	}
	if strings.HasPrefix(q.URL.Path, "/simple/") && strings.HasSuffix(q.URL.Path, "/") {
		w.Header().Set("Content-Type", "text/html")
	}
	_, _ = w.Write(text)
}

func (r *registry) add(path string, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[path] = text
}

func (r *registry) count(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served[path]
}

// env leads every client to the registry, as fast to give up as the client allows.
func (r *registry) env(t *testing.T) []string {
	return []string{"npm_config_registry=" + r.url + "/npm/", "npm_config_fetch_retries=0",
		"PIP_INDEX_URL=" + r.url + "/simple", "PIP_RETRIES=0", "PIP_FIND_LINKS=",
		"GOPROXY=" + r.url + "/go", "GOSUMDB=off", "CARGO_NET_RETRY=0", "MAVEN_OPTS=-Duser.home=" + r.mavenHome(t)}
}

// mavenHome holds settings that put the registry in the place of Maven's own.
func (r *registry) mavenHome(t *testing.T) string {
	home := t.TempDir()
	write(t, filepath.Join(home, ".m2", "settings.xml"), `<settings><mirrors><mirror><id>central</id><mirrorOf>*</mirrorOf><url>`+
		r.url+`/maven</url></mirror></mirrors></settings>`)
	return home
}

// cargoHome holds a configuration that puts the registry in the place of cargo's own.
func (r *registry) cargoHome(t *testing.T) string {
	home := t.TempDir()
	write(t, filepath.Join(home, "config.toml"), "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+"+r.url+"/cargo/\"\n")
	return home
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// files is the content of an archive by path.
type files map[string]string

func (f files) sorted() []string { return slices.Sorted(maps.Keys(f)) }

func (f files) tgz() []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, name := range f.sorted() {
		must(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(f[name]))}))
		_, err := w.Write([]byte(f[name]))
		must(err)
	}
	must(w.Close())
	must(z.Close())
	return out.Bytes()
}

func (f files) zip() []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range f.sorted() {
		w, err := z.Create(name)
		must(err)
		_, err = w.Write([]byte(f[name]))
		must(err)
	}
	must(z.Close())
	return out.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err) // of an archive in memory
	}
}

func hex256(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// hexSHA1 is the checksum that Maven repositories keep beside a file.
func hexSHA1(text []byte) string {
	sum := sha1.Sum(text)
	return hex.EncodeToString(sum[:])
}

type object = map[string]any

// npm adds versions of a package. Every version's package.json gets extra.
func (r *registry) npm(name string, extra object, versions ...string) {
	all := object{}
	for _, v := range versions {
		about := object{"name": name, "version": v, "main": "index.js"}
		maps.Copy(about, extra)
		text, err := json.Marshal(about)
		must(err)
		tgz := files{"package/package.json": string(text), "package/index.js": "module.exports = '" + v + "'\n", "package/bin.js": "#!/usr/bin/env node\n"}.tgz()
		path := "/npm/" + name + "/-/" + v + ".tgz"
		r.add(path, tgz)
		sum := sha512.Sum512(tgz)
		about["dist"] = object{"tarball": r.url + path, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
		all[v] = about
	}
	text, err := json.Marshal(object{"name": name, "versions": all, "dist-tags": object{"latest": versions[len(versions)-1]}})
	must(err)
	r.add("/npm/"+name, text)
}

// project adds a project of Python with the files of its one page.
func (r *registry) project(name string, archives map[string][]byte) {
	page := "<!DOCTYPE html><html><body>\n"
	for _, file := range slices.Sorted(maps.Keys(archives)) {
		r.add("/files/"+file, archives[file])
		page += fmt.Sprintf("<a href=\"/files/%s#sha256=%s\">%s</a>\n", file, hex256(archives[file]), file)
	}
	r.add("/simple/"+name+"/", []byte(page+"</body></html>"))
}

// wheel is a wheel of one module.
func wheel(name, version, code string, requires ...string) []byte {
	info := name + "-" + version + ".dist-info/"
	meta := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, q := range requires {
		meta += "Requires-Dist: " + q + "\n"
	}
	return files{name + ".py": code, info + "METADATA": meta, info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD": name + ".py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"}.zip()
}

// module adds a version of a Go module.
func (r *registry) module(path, version string, f files) {
	at := "/go/" + path + "/@v/" + version
	archive := files{}
	for name, text := range f {
		archive[path+"@"+version+"/"+name] = text
	}
	mod, ok := f["go.mod"]
	if !ok {
		mod = "module " + path + "\n"
	}
	r.add(at+".info", []byte(`{"Version":"`+version+`","Time":"2020-01-01T00:00:00Z"}`))
	r.add(at+".mod", []byte(mod))
	r.add(at+".zip", archive.zip())
}

// crate adds a version of a crate with a library of one file.
func (r *registry) crate(name, version, manifest string, lib string, deps ...object) {
	prefix := name + "-" + version + "/"
	text := files{prefix + "Cargo.toml": manifest, prefix + "src/lib.rs": lib}.tgz()
	if deps == nil {
		deps = []object{}
	}
	line, err := json.Marshal(object{"name": name, "vers": version, "deps": deps, "cksum": hex256(text), "features": object{}, "yanked": false})
	must(err)
	index := fmt.Sprintf("/cargo/%s/%s/%s", name[:2], name[2:4], name)
	r.add("/cargo/config.json", []byte(`{"dl":"`+r.url+`/crates/{crate}/{version}"}`))
	r.add(index, append(r.files[index], append(line, '\n')...))
	r.add("/crates/"+name+"/"+version, text)
}

// jar adds a release to the Maven repository: its jar, and its sources when there are any.
func (r *registry) jar(group, name, version, pom string, classes, sources files) {
	base := "/maven/" + strings.ReplaceAll(group, ".", "/") + "/" + name + "/" + version + "/" + name + "-" + version
	put := func(suffix string, text []byte) {
		r.add(base+suffix, text)
		r.add(base+suffix+".sha1", []byte(hexSHA1(text)))
	}
	put(".pom", []byte(`<project><modelVersion>4.0.0</modelVersion><groupId>`+group+`</groupId><artifactId>`+name+
		`</artifactId><version>`+version+`</version>`+pom+`</project>`))
	put(".jar", classes.zip())
	if sources != nil {
		put("-sources.jar", sources.zip())
	}
}
