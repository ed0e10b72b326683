package target_test
import ("testing";"context";"os";"os/exec";"time";"strings";"crisol/internal/target")
func TestAdhoc(t *testing.T) {
	for _, purl := range strings.Fields(os.Getenv("PURLS")) {
		s := open(t, "/tmp/adhoc-store", target.Options{GoPackages: []string{"errors"}})
		start := time.Now()
		f := strings.Split(purl, ",")
		tree, err := s.Prepare(context.Background(), target.Spec{Package: f[0], With: f[1:]})
		t.Log(purl, time.Since(start), err, tree)
		if err == nil { out, _ := exec.Command("sh", "-c", "ls "+tree.Dir+" "+tree.Dir+"/"+tree.Root+" | head -30; du -sh "+tree.Dir).CombinedOutput(); t.Log(string(out)) }
	}
}
