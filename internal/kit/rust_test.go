package kit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rustProgram uses every door of the kit, chosen by its argument.
const rustProgram = `
use work::trial;

fn main() {
    match std::env::args().nth(1).unwrap().as_str() {
        "effect" => trial::exploit(|t| t.attack(|| 7) == Ok(7)),
        "refused" => trial::exploit(|t| t.attack(|| panic!("no {}", "entry")) != Err::<(), _>("no entry".to_string())),
        "word" => trial::exploit(|t| t.attack(|| panic!("no")) == Err::<(), _>("no".to_string())),
        "unreached" => trial::exploit(|_| true),
        "trouble" => trial::exploit(|t| { t.attack(|| ()).unwrap(); panic!("no such file") }),
        "healthy" => trial::benign(|_| ()),
        "ill" => trial::benign(|_| assert_eq!(1, 2)),
        "slow" => trial::slow(|t| { t.attack(|| ()).unwrap(); println!("{} {}", t.size, t.hostile) }),
        "payload" => trial::slow(|t| println!("{:?}", t.payload)),
        other => panic!("{other}"),
    }
}
`

// TestRust compiles a program with the kit and gives it orders.
func TestRust(t *testing.T) {
	program := compileRust(t)
	const plain = `{"token":"secret","size":40,"hostile":false}` + "\n"
	for _, c := range []struct {
		name, order string
		exit        int
		says        string // all of standard output
	}{
		{"effect", plain, 0, "\ncrisol reached secret\n"},
		{"refused", plain, 1, "\ncrisol reached secret\n"},
		{"word", plain, 0, "\ncrisol reached secret\n"},
		{"unreached", plain, 0, ""},
		{"trouble", plain, 3, ""},
		{"healthy", plain, 0, "\ncrisol healthy secret\n"},
		{"ill", plain, 3, ""},
		{"slow", plain, 0, "40 false\n\ncrisol reached secret\n"},
		{"slow", `{"token":"secret"}`, 0, "0 true\n\ncrisol reached secret\n"},
		{"slow", "", 0, "0 true\n\ncrisol reached \n"},
		{"payload", plain, 0, "None\n"},
		{"payload", `{"payload":"a\"\\\/\n\u00e9\ud83d\ude00 é","size":1}`, 0, `Some("a\"\\/\né😀 é")` + "\n"},
		{"payload", `{"deep":[{"a":[1,-2.5e3,null],"b":{}},[],true],"payload":"x"}`, 0, `Some("x")` + "\n"},
		{"payload", ` { "payload" : [ "x" , "y" ] , "size" : 1 } `, 0, "None\n"},
		{"payload", `{"payload":null}`, 0, "None\n"},
		{"payload", `{"payload":"x`, 0, "None\n"},
		{"payload", `{"payload":"\q"}`, 0, "None\n"},
		{"payload", `{"payload":"x";}`, 0, "None\n"},
		{"payload", `["payload","x"]`, 0, "None\n"},
	} {
		cmd := exec.Command(program, c.name)
		cmd.Stdin = strings.NewReader(c.order)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != c.exit || stdout.String() != c.says {
			t.Errorf("%s %s: exit %d, %q\n%s", c.name, c.order, got, stdout.String(), stderr.String())
		}
	}
}

func compileRust(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "program.rs"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(rustProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(dir, "libwork.rlib")
	for _, args := range [][]string{
		{"--crate-type", "lib", "--crate-name", "work", "-D", "warnings", "-o", library, "rust/src/lib.rs"},
		{"--extern", "work=" + library, "-o", program, source},
	} {
		if out, err := exec.Command("rustc", append([]string{"--edition", "2021"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("rustc: %v\n%s", err, out)
		}
	}
	return program
}
