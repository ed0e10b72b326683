package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crisol"
)

// maven lays the released sources in Dir/target, which is Root, and jars in Dir/lib: target.jar, the release itself, and
// everything that it needs at run time under ARTIFACT-VERSION.jar. A build compiles what a patch changed to /work/classes,
// which comes before the jars on the class path: javac -d /work/classes -cp '/work/lib/*' FILES.
type maven struct{ s *Store }

func (maven) version() string          { return "maven/1" }
func (maven) locks() []string          { return []string{"artifacts.sha256"} }
func (maven) layers() ([]layer, error) { return nil, nil }

// The plugin by which artifacts are listed and copied, pinned so that what it prints stays the same.
const mavenPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"

// artifact is one file: group:artifact:version, with a classifier where there is one.
type artifact struct{ group, name, version, classifier string }

func (a artifact) String() string {
	s := a.group + ":" + a.name + ":" + a.version
	if a.classifier != "" {
		s += ":" + a.classifier
	}
	return s
}

// file is the name that no other artifact of the tree has.
func (a artifact) file() string { return strings.ReplaceAll(a.String(), ":", "_") + ".jar" }

func (a artifact) is(p Package) bool { return a.group+":"+a.name == p.Name }

func mavenArtifact(p Package, classifier string) artifact {
	group, name, _ := strings.Cut(p.Name, ":")
	return artifact{group, name, p.Version, classifier}
}

const sources = "sources"

func (m maven) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	arts, err := m.list(ctx, pkgs, scratch)
	if err != nil {
		return nil, err
	}
	arts = append(arts, mavenArtifact(pkgs[0], sources))
	jars := filepath.Join(scratch, "jars")
	if err := m.copy(ctx, arts, scratch, jars); err != nil {
		if crisol.KindOf(err) == crisol.KindNotFound {
			return nil, crisol.WithHint(err, "only a release whose sources are in the registry can be patched")
		}
		return nil, err
	}
	var lines []string
	for _, a := range arts {
		sum, err := fileSum(filepath.Join(jars, a.file()))
		if err != nil {
			return nil, err
		}
		lines = append(lines, sum+"  "+a.String())
	}
	slices.Sort(lines)
	return map[string][]byte{"artifacts.sha256": joinLines(lines)}, nil
}

// list lets Maven choose the versions of everything that the packages need at run time.
func (m maven) list(ctx context.Context, pkgs []Package, scratch string) ([]artifact, error) {
	p := project(pkgs)
	if err := writePOM(filepath.Join(scratch, "pom.xml"), p); err != nil {
		return nil, err
	}
	out := filepath.Join(scratch, "list.txt")
	if err := m.run(ctx, scratch, mavenPlugin+":list", "-DincludeScope=runtime", "-DoutputFile="+out); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("mvn: read its list: %w", err)
	}
	arts := parseList(string(text))
	for _, pkg := range pkgs {
		if !slices.Contains(arts, mavenArtifact(pkg, "")) {
			return nil, crisol.Errorf(crisol.KindInput, "mvn chose no jar of %s", pkg)
		}
	}
	return arts, nil
}

// ansi are the colours that Maven may put around words.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

// parseList reads lines of group:artifact:type[:classifier]:version:scope, with remarks behind them.
func parseList(text string) []artifact {
	var arts []artifact
	for line := range strings.Lines(ansi.ReplaceAllString(text, "")) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		f := strings.Split(words[0], ":")
		switch {
		case len(f) == 5 && f[2] == "jar":
			arts = append(arts, artifact{f[0], f[1], f[3], ""})
		case len(f) == 6 && f[2] == "jar":
			arts = append(arts, artifact{f[0], f[1], f[4], f[3]})
		}
	}
	return arts
}

// lockLine is a line of artifacts.sha256: what sha256sum prints, with coordinates in place of a path.
var lockLine = regexp.MustCompile(`^([0-9a-f]{64})  ([A-Za-z0-9_.-]+):([A-Za-z0-9_.-]+):([A-Za-z0-9_.+-]+)(?::([A-Za-z0-9_.-]+))?$`)

func parseArtifacts(text string) (map[artifact]string, error) {
	sums := map[artifact]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		m := lockLine.FindStringSubmatch(line)
		if m == nil {
			err := crisol.Errorf(crisol.KindInput, "lock: artifacts.sha256: not SHA256  GROUP:ARTIFACT:VERSION: %q", line)
			return nil, crisol.WithHint(err, "%s", hintLock)
		}
		sums[artifact{m[2], m[3], m[4], m[5]}] = m[1]
	}
	return sums, nil
}

func (m maven) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, scratch string) (record, error) {
	sums, err := parseArtifacts(string(lock["artifacts.sha256"]))
	if err != nil {
		return record{}, err
	}
	versions := map[string]string{}
	var arts []artifact
	for a := range sums {
		arts = append(arts, a)
		if a.classifier == "" {
			versions[a.group+":"+a.name] = a.version
		}
	}
	if err := exactly(pkgs, versions, "artifacts.sha256"); err != nil {
		return record{}, err
	}
	jars := filepath.Join(scratch, "jars")
	if err := m.copy(ctx, arts, scratch, jars); err != nil {
		return record{}, err
	}
	return record{Root: "target", Env: []string{"CLASSPATH=/work/classes:/work/lib/*"}}, lay(pkgs[0], sums, jars, dir)
}

// lay checks every jar against the lock and puts it in its place.
func lay(target Package, sums map[artifact]string, jars, dir string) error {
	lib, src := filepath.Join(dir, "lib"), filepath.Join(dir, "target")
	for _, d := range []string{lib, src, filepath.Join(dir, "classes")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	for a, want := range sums {
		jar := filepath.Join(jars, a.file())
		got, err := fileSum(jar)
		if err != nil {
			return err
		}
		if got != want {
			err := crisol.Errorf(crisol.KindInput, "%s has sha256 %s, not the one that the lock names", a, got)
			return crisol.WithHint(err, "%s", hintLock)
		}
		switch {
		case a == mavenArtifact(target, sources):
			err = unpack(jar, src)
		case a == mavenArtifact(target, ""):
			err = os.Rename(jar, filepath.Join(lib, "target.jar"))
		case a.is(target):
			err = os.Rename(jar, filepath.Join(lib, "target-"+a.classifier+".jar"))
		default:
			err = os.Rename(jar, filepath.Join(lib, a.file()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func fileSum(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// copy fetches exactly the artifacts, without what they need, to the directory to.
func (m maven) copy(ctx context.Context, arts []artifact, scratch, to string) error {
	p := project(nil)
	for _, a := range arts {
		p.Plugin.Items = append(p.Plugin.Items, pomItem{a.group, a.name, a.version, "jar", a.classifier, a.file()})
	}
	p.Plugin.Out = to
	file := filepath.Join(scratch, "copy.xml")
	if err := writePOM(file, p); err != nil {
		return err
	}
	return m.run(ctx, scratch, mavenPlugin+":copy", "-f", file)
}

// pom is the part of a POM that is written here.
type pom struct {
	XMLName xml.Name  `xml:"project"`
	Model   string    `xml:"modelVersion"`
	Group   string    `xml:"groupId"`
	Name    string    `xml:"artifactId"`
	Version string    `xml:"version"`
	Type    string    `xml:"packaging"`
	Needs   []pomItem `xml:"dependencies>dependency"`
	Plugin  pomPlugin `xml:"build>plugins>plugin"`
}

type pomPlugin struct {
	Group   string    `xml:"groupId"`
	Name    string    `xml:"artifactId"`
	Version string    `xml:"version"`
	Items   []pomItem `xml:"configuration>artifactItems>artifactItem"`
	Out     string    `xml:"configuration>outputDirectory,omitempty"`
}

type pomItem struct {
	Group      string `xml:"groupId"`
	Name       string `xml:"artifactId"`
	Version    string `xml:"version"`
	Type       string `xml:"type,omitempty"`
	Classifier string `xml:"classifier,omitempty"`
	File       string `xml:"destFileName,omitempty"`
}

func project(pkgs []Package) pom {
	p := pom{Model: "4.0.0", Group: "work", Name: "work", Version: "0", Type: "pom"}
	plugin := strings.Split(mavenPlugin, ":")
	p.Plugin = pomPlugin{Group: plugin[0], Name: plugin[1], Version: plugin[2]}
	for _, pkg := range pkgs {
		a := mavenArtifact(pkg, "")
		p.Needs = append(p.Needs, pomItem{Group: a.group, Name: a.name, Version: a.version})
	}
	return p
}

func writePOM(file string, p pom) error {
	text, err := xml.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// run runs Maven with a repository of the store's own, one at a time: Maven 3's repository bears no second writer.
func (m maven) run(ctx context.Context, dir, goal string, args ...string) error {
	if err := quickJVM(dir); err != nil {
		return err
	}
	lock, err := flock(ctx, m.s.path("locks", "maven"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	args = append([]string{"mvn", "--batch-mode", "--no-transfer-progress", "--update-snapshots", "--strict-checksums",
		"-Daether.connector.connectTimeout=15000", "-Daether.connector.requestTimeout=60000",
		"-Dstyle.color=never", "-Dmaven.repo.local=" + m.s.path("clients", "maven"), goal}, args...)
	_, err = m.s.client.run(ctx, job{tool: "mvn", dir: dir, args: args, symptoms: mavenSymptoms})
	return err
}

// quickJVM spares the optimisations that a run of a few seconds never earns back: it halves the processor time.
func quickJVM(dir string) error {
	config := filepath.Join(dir, ".mvn", "jvm.config")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		return err
	}
	return os.WriteFile(config, []byte("-XX:TieredStopAtLevel=1\n-XX:+UseSerialGC\n"), 0o644)
}

var mavenSymptoms = []symptom{
	{regexp.MustCompile(`Connect to .* failed|Connection (refused|timed out|reset)|connect timed out|Read timed out|Unknown host|UnknownHostException|Network is unreachable|status code: 5\d\d|status: 5\d\d|Service Unavailable|Internal Server Error|PKIX path|Could not transfer artifact`),
		crisol.KindInfrastructure, "the registry doesn't answer as it should", hintRetry},
	{regexp.MustCompile(`Could not find artifact|Unable to find artifact|was not found in`), crisol.KindNotFound, "no such artifact, or no such version", hintVersion},
	{regexp.MustCompile(`JAVA_HOME|java: not found`), crisol.KindInfrastructure, "no Java", "install a JDK"},
}
