package stage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// use is what a tree of processes takes, as /proc tells.
type use struct {
	cpu time.Duration
	rss int64
}

// ticks is the kernel's USER_HZ, which is 100 on every architecture that Go runs on.
const ticks = 100

// measureTree sums up a tree. Processes that left their parents are found too, as children of the namespace's first
// process. Memory shared between processes is counted once, as that of the one which has most of it.
func measureTree(process *Process) use {
	var total use
	var shared int64
	visit := []int{process.Cmd.Process.Pid}
	if process.Init > 0 {
		visit = append(visit, process.Init)
	}
	seen := map[int]bool{}
	for len(visit) > 0 {
		pid := visit[len(visit)-1]
		visit = visit[:len(visit)-1]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		total.cpu += processCPU(pid)
		private, common := processMemory(pid)
		total.rss += private
		shared = max(shared, common)
		visit = append(visit, children(pid)...)
	}
	total.rss += shared
	return total
}

// children lists the children of every thread of a process.
func children(pid int) []int {
	var found []int
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, _ := os.ReadDir(dir)
	for _, t := range threads {
		content, _ := os.ReadFile(dir + "/" + t.Name() + "/children")
		for field := range strings.FieldsSeq(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// processCPU is what a process and the children that it has waited for have used.
func processCPU(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name stands in parentheses and may hold anything; utime, stime, cutime, cstime are fields 14 to 17.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	var sum int64
	for i := 11; i <= 14 && i < len(fields); i++ {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks
}

// processMemory is a process's resident memory: its own, and the shared part that is not a file.
func processMemory(pid int) (private, shared int64) {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(line, ":")
		if key != "RssAnon" && key != "RssShmem" {
			continue
		}
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if key == "RssAnon" {
			private = kib << 10
		} else {
			shared = kib << 10
		}
	}
	return private, shared
}
