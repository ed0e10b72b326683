package runtimes

import (
	"crisol/internal/sandbox"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestQuick(t *testing.T) {
	r, err := Open(t.Context(), os.Getenv("RT"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.(io.Closer).Close()
	d := t.TempDir()
	os.WriteFile(filepath.Join(d, "a"), []byte("hi"), 0644)
	sandbox.Own(d)
	for _, a := range [][]string{
		{"sh", "-c", "id; env; cat /proc/self/status | egrep 'Cap|NoNew|Secc|NSpid'; ls -la / /work /dev /etc /opt/*; ls -l /proc/self/fd; mount; touch /x /dev/x /usr/x; echo > a; touch b; df /tmp /work /dev/shm; ulimit -a; ls -la /root"},
		{"sh", "-c", "node -e 'console.log(1)'; python3 -c 'print(2)'; java -version; go version; rustc --version; cargo --version; mvn -version; gcc --version"},
		{"nosuch"}, {"/etc/passwd"}, {"sh", "-c", "kill -SEGV $$"}, {"sh", "-c", "exit 7"}} {
		res, err := r.Run(t.Context(), sandbox.Command{Args: a, Layers: []string{d}, After: func(r *os.Root) error { b, e := r.ReadFile("b"); fmt.Println("after", b, e); return nil }})
		fmt.Printf("%s\n%s\n%v %v %v %v %v %v\n", res.Stdout.Head, res.Stderr.Head, res.Exit, res.Signal, res.Wall, res.CPU, res.MaxRSS, err)
	}
}
